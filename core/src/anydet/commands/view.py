"""``anydet view``: predictions drawn on their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.manager import Plugins
    from anydet.report.view import Scenes
    from anydet.types import Intrinsics

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
    "--dataset",
    type=click.Path(path_type=Path),
    help="Whose images they are; its labels are shown. By default the one that the file names.",
)
@click.option("--split", help="Split of the data set.")
@click.option("--images", type=click.Path(path_type=Path), help="Image folder; enough without --dataset.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("view"), show_default=True)
@click.option("--max-images", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--score-threshold", type=click.FloatRange(0, 1), default=0.3, show_default=True)
@click.option("--worst", is_flag=True, help="Images with the lowest F1 at IoU 0.5 first; needs labels.")
@click.option(
    "--states",
    metavar="NAME,NAME,...",
    help="Names of states 0, 1, ...; by default those of the file, else of the data set.",
)
@click.option(
    "--intrinsics", metavar="FX,FY,CX,CY", help="Camera in pixels, for poses of images that have none."
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="At an image that cannot be read.",
)
@click.option(
    "--sheet-columns", type=click.IntRange(min=0), default=3, show_default=True, help="0 for no sheets."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Draw predictions on their images: OUT/overlays, a PNG an image, and OUT/sheet-001.png, ...

    With labels, ground truth stands to the left and predictions to the right. Objects for whose names there
    is no room are counted below.
    """
    from anydet.report.view import open_scenes

    scenes = open_scenes(
        flags["predictions"],
        _dataset(plugins, flags),
        states=tuple((flags["states"] or "").split(",")) if flags["states"] else (),
        camera=_camera(flags["intrinsics"]),
        **{name: flags[name] for name in ("score_threshold", "worst", "max_images")},
    )
    for warning in scenes.warnings:
        click.secho(f"warning: {warning}", err=True, fg="yellow")
    rows, drawn = _save_overlays(scenes, flags["out"], skip=flags["on_error"] == "skip")
    sheets = _save_sheets(scenes, drawn, flags["out"], flags["sheet_columns"])
    _print(rows, sheets, as_json=flags["as_json"])


def _dataset(plugins: Plugins, flags: dict[str, Any]) -> Dataset:
    from anydet.data.dataset.pictures import open_pictures
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    root, split = flags["dataset"], flags["split"]
    if root is None and flags["images"] is not None:
        return open_pictures([flags["images"]])
    if root is None:
        root, split = _dataset_of(flags["predictions"], split)
    formats = installed_formats(plugins)
    return open_dataset(root, split, images=flags["images"], formats=formats)


def _dataset_of(predictions: Path, split: str | None) -> tuple[Path, str | None]:
    """The data set that the file itself names, where it is still there."""
    from anydet.report.view import dataset_of

    stated = dataset_of(predictions)
    if stated is None:
        raise click.UsageError("say where the images are: --dataset D, or --images DIR")
    root = Path(stated[0])
    if not root.exists():
        raise click.UsageError(f"{root}, which the file names, is not there: --dataset D, or --images DIR")
    click.echo(f"images of {root}, which the file names", err=True)
    return root, split or stated[1] or None


def _camera(text: str | None) -> Intrinsics | None:
    from anydet.types import Intrinsics

    if text is None:
        return None
    try:
        fx, fy, cx, cy = map(float, text.split(","))
    except ValueError as exc:
        raise click.UsageError(f"--intrinsics {text}: four numbers FX,FY,CX,CY in pixels") from exc
    return Intrinsics(fx, fy, cx, cy)


def _save_overlays(scenes: Scenes, out: Path, *, skip: bool) -> tuple[list[dict[str, Any]], list[int]]:
    """A row for each image that was drawn, and its place in ``scenes``."""
    from anydet.commands.progress import progress
    from anydet.errors import ImageError
    from anydet.report.files import picture_paths, save_png

    keys = [scenes.key(shown) for shown in range(len(scenes.order))]
    paths = picture_paths(out / "overlays", keys, (scenes.dataset[at].path for at in scenes.order))
    rows: list[dict[str, Any]] = []
    drawn: list[int] = []
    with progress("draw", len(paths)) as advance:
        for shown, path in enumerate(paths):
            try:
                save_png(scenes.overlay(shown), path)
                rows.append({**scenes.summary(shown), "overlay": str(path)})
                drawn.append(shown)
            except ImageError as exc:
                if not skip:
                    raise
                click.echo(f"skipped {keys[shown]}: {exc.problem}", err=True)
            advance(1)
    return rows, drawn


def _save_sheets(scenes: Scenes, places: Sequence[int], out: Path, columns: int) -> list[str]:
    from anydet.report.files import save_png

    page = max(1, columns * ROWS)
    sheets: list[Path] = []
    for first in range(0, len(places), page) if columns else ():
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
