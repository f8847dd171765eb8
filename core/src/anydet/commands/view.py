"""``anydet view``: draw predictions on their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import BOX_FORMATS
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, echo_path, say, warn
from anydet.commands.paths import DATASET, OUTPUT_FOLDER, clean_path
from anydet.commands.predictions import predictions_arguments
from anydet.commands.recipe_options import on_error_option, score_threshold_option
from anydet.commands.result_options import MAX_PIXELS
from anydet.text import counted, shortened

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
@predictions_arguments("predictions")
@click.option(
    "--dataset",
    type=DATASET,
    help="Data set with images and ground truth; by default the one that PREDICTIONS names in its meta.",
)
@click.option("--split", help="Split of the data set.")
@click.option(
    "--bbox-format",
    "box_format",
    type=click.Choice(BOX_FORMATS),
    help="Box format of the predictions.  [default: from the file's meta, else cxcywh_norm]",
)
@click.option("--images", type=click.Path(path_type=Path), help="Image folder; --dataset is optional then.")
@click.option("--out", type=OUTPUT_FOLDER, default=Path("view"), show_default=True, help="Output folder.")
@click.option(
    "--max-images",
    type=click.IntRange(1, MOST_INTEGER),
    default=24,
    show_default=True,
    help="Images to draw.",
)
@score_threshold_option(0.3, "drawn")
@click.option(
    "--worst",
    is_flag=True,
    help="Draw images with the lowest F1 at IoU 0.5 first, and say why; needs ground truth.",
)
@click.option(
    "--states",
    metavar="NAME,NAME,...",
    help="Names of states 0, 1, ...; by default from the file, else from the data set.",
)
@click.option(
    "--intrinsics",
    metavar="FX,FY,CX,CY",
    help="Camera intrinsics in pixels, for poses in images that have none.",
)
@on_error_option("an image cannot be read")
@click.option(
    "--sheet-columns",
    type=click.IntRange(0, MOST_INTEGER),
    default=3,
    show_default=True,
    help="Columns of a contact sheet; 0 writes no sheets.",
)
@json_option()
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Draw predictions on their images: one PNG per image in OUT/overlays, and OUT/sheet-001.png, ...

    If there is ground truth, it is drawn to the left and predictions to the right, marked by COCO's matching
    at IoU 0.5: right (check), wrong (cross, dashed; the tag says how) and missed (ring, corners). Where there
    is no room for a tag, a line or a number leads to the box.
    """
    from anydet.report.view import open_scenes

    scenes = open_scenes(
        flags["predictions"],
        _dataset(plugins, flags),
        states=tuple((flags["states"] or "").split(",")) if flags["states"] else (),
        camera=_camera(flags["intrinsics"]),
        **{name: flags[name] for name in ("box_format", "score_threshold", "worst", "max_images")},
    )
    for warning in scenes.warnings:
        warn(warning)
    rows, drawn = _save_overlays(scenes, flags["out"], skip=flags["on_error"] == "skip")
    sheets = _save_sheets(scenes, drawn, flags["out"], flags["sheet_columns"])
    _print(rows, sheets, json_path=flags["json_path"])


def _dataset(plugins: Plugins, flags: dict[str, Any]) -> Dataset:
    from anydet.data.dataset.image_files import open_image_files
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    root, split = flags["dataset"], flags["split"]
    if root is None and flags["images"] is not None:
        return open_image_files([flags["images"]])
    if root is None:
        root, split = _dataset_of(flags["predictions"], split)
    formats = installed_formats(plugins)
    return open_dataset(root, split, images=flags["images"], formats=formats)


def _dataset_of(predictions: Path, split: str | None) -> tuple[Path, str | None]:
    """The data set and split that the meta of a predictions file names."""
    from anydet.report.view import dataset_of

    stated = dataset_of(predictions)
    if stated is None:
        raise click.UsageError("no images given: add --dataset DIR or --images DIR")
    root = Path(stated[0])
    if not clean_path(root).exists():
        raise click.UsageError(
            f"data set {root} of {predictions} does not exist: add --dataset DIR or --images DIR"
        )
    say(f"images of {root}, named by {predictions}")
    return root, split or stated[1] or None


def _camera(text: str | None) -> Intrinsics | None:
    from anydet.types import Intrinsics

    if text is None:
        return None
    try:
        fx, fy, cx, cy = map(float, text.split(","))
    except ValueError as exc:
        raise click.UsageError(f"--intrinsics {text}: expected four numbers FX,FY,CX,CY in pixels") from exc
    return Intrinsics(fx, fy, cx, cy)


def _save_overlays(scenes: Scenes, out: Path, *, skip: bool) -> tuple[list[dict[str, Any]], list[int]]:
    """A row of the table for each image that was drawn, and its index in ``scenes``."""
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
                say(f"skipped {shortened(keys[shown])}: {exc.problem}")
            advance(1)
    return rows, drawn


def _save_sheets(scenes: Scenes, drawn: Sequence[int], out: Path, columns: int) -> list[str]:
    from anydet.report.files import save_png

    page = max(1, columns * ROWS)
    sheets: list[Path] = []
    for first in range(0, len(drawn), page) if columns else ():
        sheets.append(out / f"sheet-{len(sheets) + 1:03}.png")
        save_png(scenes.sheet(drawn[first : first + page], columns), sheets[-1])
    return [str(sheet) for sheet in sheets]


def _print(rows: list[dict[str, Any]], sheets: list[str], *, json_path: Path | None) -> None:

    from anydet.commands.tables import print_table

    if write_json({"images": rows, "sheets": sheets}, json_path):
        return
    if rows:
        names = [name for name in rows[0] if name != "overlay"]
        print_table(names, [[str(row[name]) for name in names] for row in rows], words=("mistakes",))
    echo(f"{counted(len(rows), 'image')} drawn")
    for sheet in sheets:
        echo_path(sheet)
