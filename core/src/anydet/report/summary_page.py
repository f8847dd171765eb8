"""``write_page``: tables, charts and pictures of a result as one HTML file that needs no network.

The page runs no script. Charts are SVG and pictures JPEG or PNG, all within the file; it follows the reader's
choice of dark or light, fits a phone, and prints.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from anydet.dataclass import dataclass
from anydet.errors import AnydetError
from anydet.evaluation.figures import Figure
from anydet.evaluation.tables import Cell, Table, format_cell
from anydet.outputs import write_file
from anydet.report.charts import encode_figure
from anydet.text import escaped

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""First bytes of the pictures that a page holds, and how browsers call them."""
_MARKED = {"missed": "missed", "met": "met"}
"""Cells of these words, and notes that begin with one, are colored; the word itself says it, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture of a page.

    Attributes:
        title: what it shows, as its caption and for readers who cannot see it.
        content: a PNG or JPEG file.
    """

    title: str
    content: bytes


Shown: TypeAlias = Figure | Picture


def write_page(
    path: Path | str,
    title: str,
    tables: Sequence[Table] = (),
    figures: Sequence[Shown] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write a page; its text is shown as it is, whatever marks of HTML are in it.

    Args:
        path: file to write, which takes its name when it is complete.
        title: of the page.
        tables: in their order.
        figures: charts and pictures in their order; charts stand beside each other.
        notes: lines below the title: what was measured, on what, and what is left out.

    Raises:
        OutputError: the file cannot be written.
        ValueError: a picture is neither PNG nor JPEG.
    """
    write_file(path, page(title, tables, figures, notes))


def page(
    title: str, tables: Sequence[Table] = (), figures: Sequence[Shown] = (), notes: Sequence[str] = ()
) -> str:
    """The HTML of ``write_page``."""
    charts, missing = _charts([one for one in figures if not isinstance(one, Picture)])
    pictures = [_picture(one) for one in figures if isinstance(one, Picture)]
    lines = [*notes, *missing]
    style = (files("anydet.report") / "summary_page.css").read_text("utf-8")
    said = f'<ul class="notes">{"".join(map(_note, lines))}</ul>' if lines else ""
    body = [
        f"<h1>{_text(title)}</h1>",
        said,
        *map(_table, tables),
        f'<h2>Charts</h2><div class="charts">{"".join(charts)}</div>' if charts else "",
        f"<h2>Pictures</h2>{''.join(pictures)}" if pictures else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{chr(10).join(filter(None, body))}</main></body></html>\n"
    )


def _note(line: str) -> str:
    kind = _MARKED.get(line.partition(":")[0])
    return f'<li class="{kind}">{_text(line)}</li>' if kind else f"<li>{_text(line)}</li>"


def _charts(figures: Sequence[Figure]) -> tuple[list[str], list[str]]:
    """Charts as elements, and a note where they cannot be drawn."""
    try:
        drawn = [
            f"<figure>{_image(figure.title, encode_figure(figure, 'svg'), 'image/svg+xml')}</figure>"
            for figure in figures
        ]
    except AnydetError as exc:
        return [], [f"no charts: {exc.problem}; {exc.fix}"]
    return drawn, []


def _picture(picture: Picture) -> str:
    kind = next((kind for start, kind in _KINDS.items() if picture.content.startswith(start)), None)
    if kind is None:
        raise ValueError(f"picture {picture.title!r} is neither PNG nor JPEG")
    return (
        f'<figure><div class="scroll" tabindex="0" role="region" aria-label="{_text(picture.title)}">'
        f"{_image(picture.title, picture.content, kind)}</div>"
        f"<figcaption>{_text(picture.title)}</figcaption></figure>"
    )


def _image(title: str, content: bytes, kind: str) -> str:
    # As an image, a chart cannot reach the page: ids of two SVG files would be mixed up otherwise.
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{_text(title)}" src="data:{kind};base64,{data}">'


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_class_of(column)}>{_text(name)}</th>'
        for name, *column in zip(table.header, *table.rows, strict=True)
    )
    rows = "".join(f"<tr>{_row(row)}</tr>" for row in table.rows)
    # What scrolls can be reached with the keyboard, and has a name then.
    return (
        f"<section><h2>{_text(table.title)}</h2>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _row(row: Sequence[Cell]) -> str:
    first, *others = row
    return f'<th scope="row">{_text(format_cell(first))}</th>' + "".join(map(_cell, others))


def _class_of(column: Sequence[Cell]) -> str:
    """The heading of a column of words stands at their left."""
    return ' class="text"' if any(isinstance(cell, str) for cell in column) else ""


def _cell(value: Cell) -> str:
    kinds = ["text", _MARKED.get(value, "")] if isinstance(value, str) else []
    attribute = f' class="{" ".join(filter(None, kinds))}"' if kinds else ""
    return f"<td{attribute}>{_text(format_cell(value))}</td>"


def _text(text: str) -> str:
    """Text from outside within HTML; control characters as escape sequences."""
    return escape(escaped(text))
