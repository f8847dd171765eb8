"""``anydet view``: predictions drawn on their images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from anydet.data.dataset import Dataset
    from anydet.plugins.manager import Plugins
    from anydet.report.view import Scenes

ROWS = 6


@click.command(
    "view",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 8\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet view predictions.json --dataset data/scenes --worst --out view"
    ),
)
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option(
    "--dataset", type=click.Path(path_type=Path), help="Whose images they are; its labels are shown."
)
@click.option("--split", help="Split of the data set.")
@click.option("--images", type=click.Path(path_type=Path), help="Image folder; enough without --dataset.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("view"), show_default=True)
@click.option("--max-images", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--score-threshold", type=click.FloatRange(0, 1), default=0.3, show_default=True)
@click.option("--worst", is_flag=True, help="Images with the lowest F1 at IoU 0.5 first; needs labels.")
@click.option("--states", metavar="NAME,NAME,...", help="Names of states 0, 1, ...; numbers by default.")
@click.option(
    "--sheet-columns", type=click.IntRange(min=0), default=3, show_default=True, help="0 for no sheets."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Draw predictions on their images: OUT/overlays, a PNG an image, and OUT/sheet-001.png, ...

    With labels, ground truth stands to the left and predictions to the right.
    """
    from anydet.report.view import open_scenes

    scenes = open_scenes(
        flags["predictions"],
        _dataset(plugins, flags),
        states=tuple((flags["states"] or "").split(",")) if flags["states"] else (),
        **{name: flags[name] for name in ("score_threshold", "worst", "max_images")},
    )
    rows = _save_overlays(scenes, flags["out"])
    sheets = _save_sheets(scenes, flags["out"], flags["sheet_columns"])
    _print(rows, sheets, as_json=flags["as_json"])


def _dataset(plugins: Plugins, flags: dict[str, Any]) -> Dataset:
    from anydet.data.dataset import open_dataset
    from anydet.data.pictures import open_pictures

    if flags["dataset"] is None and flags["images"] is None:
        raise click.UsageError("say where the images are: --dataset D, or --images DIR")
    if flags["dataset"] is None:
        return open_pictures([flags["images"]])
    formats = [plugins.load("datasets", name) for name in plugins.specs("datasets")]
    return open_dataset(flags["dataset"], flags["split"], images=flags["images"], formats=formats)


def _save_overlays(scenes: Scenes, out: Path) -> list[dict[str, Any]]:
    from anydet.commands.progress import progress
    from anydet.report.files import picture_paths
    from anydet.report.overlay import save_png

    keys = [scenes.dataset.keys[at] for at in scenes.order]
    paths = picture_paths(out / "overlays", keys, (scenes.dataset[at].path for at in scenes.order))
    with progress("draw", len(paths)) as advance:
        for shown, path in enumerate(paths):
            save_png(scenes.overlay(shown), path)
            advance(1)
    return [{**scenes.summary(shown), "overlay": str(path)} for shown, path in enumerate(paths)]


def _save_sheets(scenes: Scenes, out: Path, columns: int) -> list[str]:
    from anydet.report.overlay import save_png

    places, page = range(len(scenes.order)), max(1, columns * ROWS)
    sheets: list[Path] = []
    for first in places[::page] if columns else ():
        sheets.append(out / f"sheet-{len(sheets) + 1:03}.png")
        save_png(scenes.sheet(places[first : first + page], columns), sheets[-1])
    return [str(sheet) for sheet in sheets]


def _print(rows: list[dict[str, Any]], sheets: list[str], *, as_json: bool) -> None:
    import json

    from anydet.commands.tables import print_table

    if as_json:
        click.echo(json.dumps({"images": rows, "sheets": sheets}, indent=2))
        return
    if rows:
        names = [name for name in rows[0] if name != "overlay"]
        print_table(names, [[str(row[name]) for name in names] for row in rows])
    click.echo("\n".join([f"{len(rows)} images drawn", *sheets]))
