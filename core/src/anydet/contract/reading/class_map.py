"""Class maps: how the category ids of predictions count, where they are not those of the data set."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anydet.contract.hints import CLASS_MAPS, COCO_IDS
from anydet.contract.locations import show
from anydet.errors import OptionError, did_you_mean
from anydet.ids import integer
from anydet.inputs import SAVE_AS_UTF8, read_text_bytes, text_problem
from anydet.text import listed, one_line, quoted
from anydet.types import ClassTable

EXAMPLE = '{"1": "cat", "2": "dog"}, with classes of the data set'
_WRAPPED = "category_id_to_class_id"
"""The key under which files of the package yolozu have the table."""


def read_class_map(text: str, classes: ClassTable) -> dict[Any, int]:
    """The class id of each category id; raises ``OptionError`` where it fits none.

    Category ids of a file are integers where their text is one.

    Args:
        text: one of ``CLASS_MAPS``, or the path of a JSON or YAML file of ids, and the names of classes or
            their numbers from 0.
        classes: the data set's.
    """
    count = len(classes)
    if text == "coco91" and count != len(COCO_IDS):
        raise OptionError(
            f"--class-map coco91: the data set has {count} classes, not COCO's {len(COCO_IDS)}",
            fix="give a JSON file that says which class each category id means",
        )
    known = {"zero-based": range(count), "one-based": range(1, count + 1), "coco91": COCO_IDS}.get(text)
    if known is not None:
        return {category: i for i, category in enumerate(known)}
    table = read_table(text)
    wrong = next(((one, own) for one, own in table.items() if _class_id(own, classes) is None), None)
    if wrong is not None:
        raise OptionError(f"class map {quoted(text)}: {_misfit(*wrong, classes)}", fix=f"write {EXAMPLE}")
    return {integer(one): _class_id(own, classes) or 0 for one, own in table.items()}


def read_table(text: str, maps: Sequence[str] = CLASS_MAPS) -> Mapping[Any, Any]:
    """Category ids and classes as a file has them; raises ``OptionError`` where it is none of such.

    Args:
        text: the path of a JSON or YAML file.
        maps: what may be given instead of a file.
    """
    path = Path(text)
    try:
        raw = read_text_bytes(path).removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError as exc:
        # A name without a suffix was hardly meant to be a file's.
        names = "" if path.suffix or path.name != text else did_you_mean(text, maps)
        raise OptionError(
            f"class map {quoted(text)}: no such file{names}",
            fix=f"give {', '.join(maps)}, or a JSON or YAML file like {EXAMPLE}",
        ) from exc
    except OSError as exc:
        raise OptionError(
            f"class map {quoted(text)}: cannot be read: {exc.strerror or exc}",
            fix=f"give a file like {EXAMPLE}",
        ) from exc
    problem = text_problem(raw)
    if problem:
        raise OptionError(f"class map {quoted(text)}: {problem}", fix=SAVE_AS_UTF8)
    value, problem = _yaml(raw) if path.suffix.lower() in (".yaml", ".yml") else _json(raw)
    if not problem and not isinstance(value, Mapping):
        problem = f"{show(value)} where an object of category ids and classes belongs"
    table = {} if problem else value.get(_WRAPPED, value)
    if not problem and not isinstance(table, Mapping):
        problem = f"{_WRAPPED}: {show(table)} where an object of category ids and classes belongs"
    if problem:
        raise OptionError(f"class map {quoted(text)}: {problem}", fix=f"write it like {EXAMPLE}")
    return table


def _json(raw: bytes) -> tuple[Any, str]:
    from anydet.contract.violations import parse

    value, problems = parse(raw)
    return value, problems[0][1] if problems else ""


def _yaml(raw: bytes) -> tuple[Any, str]:
    import yaml

    from anydet.inputs import unique_keys

    try:
        return yaml.load(raw, unique_keys(yaml.SafeLoader)), ""
    except yaml.YAMLError as exc:
        return None, f"not YAML: {one_line(str(exc), 200)}"


def _class_id(own: Any, classes: ClassTable) -> int | None:
    """The class that a value of a table means."""
    if isinstance(own, str):
        return classes.names.index(own) if own in classes.names else None
    good = isinstance(own, int) and not isinstance(own, bool) and 0 <= own < len(classes)
    return own if good else None


def _misfit(one: Any, own: Any, classes: ClassTable) -> str:
    names = classes.names
    if isinstance(own, str):
        close = did_you_mean(own, names) or f" ({listed(names)})"
        return f"{quoted(own)}, for id {quoted(one)}, is no class of the data set{close}"
    belongs = f"the name of a class, or its number from 0 to {len(names) - 1}, belongs"
    return f"{quoted(own)}, for id {quoted(one)}, where {belongs}"
