"""``anydet predict``: predict images without labels and print the detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.json_output import STDOUT, json_option
from anydet.commands.messages import echo, echo_encoded, say, warn
from anydet.commands.paths import OUTPUT, OUTPUT_FOLDER
from anydet.commands.recipe_options import (
    adapter_options,
    max_detections_option,
    opened,
    predict_on_error_option,
    read_recipe,
    report_skipped,
    score_threshold_option,
)
from anydet.errors import ImageError
from anydet.text import shortened

if TYPE_CHECKING:
    from anydet.data.dataset.image_files import ImageFilesDataset
    from anydet.plugins.manager import Plugins
    from anydet.prediction.pipeline import Pipeline
    from anydet.types import ClassTable, ImagePredictions


@click.command(
    "predict",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 4\n"
        "  anydet predict data/scenes/images/val --adapter toy --save-overlays overlays"
    ),
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER|GLOB...")
@adapter_options
@score_threshold_option(0.25, "shown")
@max_detections_option
@predict_on_error_option
@click.option(
    "--save-overlays",
    "overlays",
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Draw the detections of each image into a PNG in this folder.",
)
@click.option(
    "--output",
    type=OUTPUT,
    help="Predictions file to write: .json, .jsonl or .parquet.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run with --output.")
@click.option(
    "--max-rows",
    type=click.IntRange(0, MOST_INTEGER),
    default=50,
    show_default=True,
    help="Detections to print.",
)
@json_option("a predictions document")
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Predict images without labels: files, folders (searched recursively), quoted patterns (also **).

    Boxes are left, top, right, bottom in pixels. Images are named relative to their common folder.
    """
    from anydet.commands.progress import progress
    from anydet.data.dataset.image_files import open_image_files
    from anydet.report.files import picture_paths

    if flags["resume"] and not flags["output"]:
        raise click.UsageError("--resume needs --output")
    recipe = read_recipe(plugins, flags)
    pictures = open_image_files(flags["images"])
    if flags["overlays"]:
        # Refuses a folder in which an overlay would overwrite its image, before anything is predicted.
        picture_paths(flags["overlays"], pictures.keys, (record.path for record in pictures))
    with opened(recipe, plugins) as pipeline, progress("predict", len(pictures)) as advance:
        found = _predict(pipeline, pictures, flags, advance)
        _show(found, pictures, pipeline.adapter.classes, flags)


def _predict(
    pipeline: Pipeline, pictures: ImageFilesDataset, flags: dict[str, Any], advance: Callable[[int], None]
) -> Iterator[ImagePredictions]:
    """Yield results one at a time; with ``--output`` they are read back from the finished file."""
    from anydet.contract.columns import read_images
    from anydet.prediction.export import export_predictions

    output = flags["output"]
    if output is None:
        for chunk in pipeline.run(pictures, total=len(pictures)):
            advance(len(chunk))
            yield from chunk
        return
    export_predictions(pipeline, pictures, output, wrap=True, resume=flags["resume"], progress=advance)
    say(f"wrote {output}")
    yield from read_images(output)


def _show(
    results: Iterator[ImagePredictions],
    pictures: ImageFilesDataset,
    classes: ClassTable | None,
    flags: dict[str, Any],
) -> None:
    """Draw the overlay and print the rows or the JSON of each result as it comes."""
    if flags["overlays"]:
        skip = flags["on_error"] == "skip"
        results = _save_overlays(results, pictures, classes, flags["overlays"], skip=skip)
    skipped: list[tuple[str, str]] = []
    results = _keep_skipped(results, skipped)
    path = flags["json_path"]
    if path is not None and path != STDOUT:
        results = _written(results, classes, path)
    if path == STDOUT:
        for text in _document(results, classes):
            echo_encoded(text, end="")
        echo_encoded("")
    else:
        _print_rows(results, classes, flags["max_rows"])
    if flags["overlays"]:
        say(f"overlays are in {flags['overlays']}")
    report_skipped(skipped, len(pictures))


def _save_overlays(
    results: Iterator[ImagePredictions],
    pictures: ImageFilesDataset,
    classes: ClassTable | None,
    folder: Path,
    *,
    skip: bool,
) -> Iterator[ImagePredictions]:
    from anydet.report.files import picture_paths, save_png
    from anydet.report.marks import font_warning
    from anydet.report.sheet import draw_panel

    warning = font_warning(classes)
    if warning is not None:
        warn(warning)
    paths = picture_paths(folder, pictures.keys)
    for record, path, found in zip(pictures, paths, results, strict=True):
        if "error" not in found.extra:
            try:
                save_png(draw_panel(record.image(), found, classes), path)
            except ImageError as exc:  # the adapter needed no pixels
                if not skip:
                    raise
                say(f"no overlay of {shortened(found.image)}: {exc.problem}")
        yield found


def _keep_skipped(
    results: Iterator[ImagePredictions], skipped: list[tuple[str, str]]
) -> Iterator[ImagePredictions]:
    """Pass results on and list what was skipped, with the reason."""
    for found in results:
        if "error" in found.extra and not len(found):
            skipped.append((found.image, str(found.extra["error"])))
        yield found


def _print_rows(results: Iterator[ImagePredictions], classes: ClassTable | None, limit: int) -> None:
    """Print the first ``limit`` detections by image, and the number of all."""
    from anydet.commands.tables import print_table
    from anydet.report.marks import class_name

    rows: list[tuple[str, ...]] = []
    starts: list[int] = []
    images = detections = shown = 0
    for found in results:
        images, detections = images + 1, detections + len(found)
        if len(rows) >= limit:
            continue
        starts.append(len(rows))
        whole = found.classification
        if whole is not None:
            name = f"{class_name(whole.class_id, classes)} (the image)"
            rows.append((found.image, name, f"{whole.score:.2f}", *[""] * 4))
        elif not len(found):
            rows.append((found.image, "(nothing)", "", *[""] * 4))
        for row in range(min(len(found), limit - len(rows))):
            box = [f"{edge:.1f}" for edge in found.boxes_xyxy_px[row].tolist()]
            name = class_name(int(found.class_ids[row]), classes)
            image = found.image if len(rows) == starts[-1] else ""
            rows.append((image, name, f"{found.scores[row]:.2f}", *box))
            shown += 1
    if rows:
        print_table(
            ("image", "class", "score", "left", "top", "right", "bottom"), rows, left=2, starts=starts
        )
    rest = f"; {detections - shown} not shown, see --max-rows and --json" if shown < detections else ""
    echo(f"{images} image{'s' * (images != 1)}, {detections} detection{'s' * (detections != 1)}{rest}")


def _written(
    results: Iterator[ImagePredictions], classes: ClassTable | None, path: Path
) -> Iterator[ImagePredictions]:
    """Pass results on, and write the document of all."""
    from anydet.outputs import new_file

    passed: list[ImagePredictions] = []

    def seen() -> Iterator[ImagePredictions]:
        for found in results:
            passed.append(found)
            yield found

    with new_file(path) as file:
        for text in _document(seen(), classes):
            file.write(text.encode())
            yield from passed
            passed.clear()
        file.write(b"\n")
    say(f"wrote {path}")


def _document(results: Iterator[ImagePredictions], classes: ClassTable | None) -> Iterator[str]:
    """The text of a wrapped predictions document, entry by entry."""
    from anydet.contract.encode import encode_entry, encode_json
    from anydet.contract.schema import VERSION

    between = f'{{"schema_version":{VERSION},"predictions":[\n'
    for found in results:
        yield between + encode_entry(found).decode()
        between = ",\n"
    meta = {} if classes is None else {"classes": list(classes.names)}
    yield f'\n],"meta":{encode_json(meta, where="meta").decode()}}}'
