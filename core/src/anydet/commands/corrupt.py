"""``anydet corrupt``: data sets with corrupted images, on disk, and a picture of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER, MOST_THREADS
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.paths import DATASET, OUTPUT_FOLDER, OutputPath
from anydet.commands.result_options import MAX_PIXELS
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.data.corruptions.corruption import Corruption
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.manager import Plugins

LAYOUTS = ("coco", "yolo", "class-masks", "images")


def _read_severities(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[int, ...]:
    """``3``, ``1,3,5`` or ``1..5``, ascending."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("..")
        try:
            span = range(int(first), int(last or first) + 1)
        except ValueError as exc:
            raise click.BadParameter(f"{text!r} is not like 3, 1,3,5 or 1..5") from exc
        if not span or span[0] < 1 or span[-1] > 5:
            raise click.BadParameter(f"{part!r} is not within 1 to 5")
        found.update(span)
    return tuple(sorted(found))


@click.command(
    "corrupt",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet corrupt --dataset data/scenes --out data/scenes-c --corruptions fog,noise --severity 3"
    ),
)
@click.option("--dataset", type=DATASET, required=True, help="Data set, in any format that is read.")
@click.option(
    "--images", type=click.Path(path_type=Path), help="Image folder, if the data set does not state it."
)
@click.option("--split", help="Split; chosen as by export-predictions if omitted.")
@click.option("--max-images", type=click.IntRange(1, MOST_INTEGER), help="Corrupt only the first N images.")
@click.option("--out", type=OUTPUT_FOLDER, help="Folder for the data sets NAME/SEVERITY.")
@click.option(
    "--corruptions",
    "names",
    default="all",
    show_default=True,
    metavar="all|NAME,...",
    help="Corruptions, by name or kind: noise, blur, weather, digital.",
)
@click.option(
    "--severity",
    "severities",
    callback=_read_severities,
    default="1..5",
    show_default=True,
    metavar="N,...|N..M",
    help="Severities, 1 to 5.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, MOST_INTEGER),
    default=0,
    show_default=True,
    help="Seed of the random choices.",
)
@click.option(
    "--to",
    "layout",
    type=click.Choice(LAYOUTS),
    help="Format of the data sets.  [default: that of the data set, else coco]",
)
@click.option(
    "--sheet",
    type=OutputPath(suffixes=(".png", ".jpg", ".jpeg")),
    metavar="PICTURE",
    help="Draw an image under all these corruptions (.png, .jpg): the first with objects.",
)
@click.option("--workers", type=click.IntRange(1, MOST_THREADS), help="Threads.  [default: one a processor]")
@click.option("--resume", is_flag=True, help="Continue an interrupted run, and leave out what is complete.")
@json_option("the summary")
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Corrupt the images of a data set: 15 corruptions (of ImageNet-C and COCO-C), 5 severities.

    Each corruption and severity becomes a data set OUT/NAME/SEVERITY with the keys, sizes and labels of the
    clean one. What is drawn at random depends on the seed and the image's key alone. An interrupted run
    leaves OUT/NAME/SEVERITY.partial, from which --resume continues.

    Nothing need be written to measure robustness: corruption:NAME:SEVERITY:PATH, wherever a data set is
    named, is the data set at PATH with its images corrupted as they are read.
    """
    from anydet.data.corruptions.corruption import Corruption, choose_names
    from anydet.data.dataset.subset import FirstImages
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    if flags["out"] is None and flags["sheet"] is None:
        raise click.UsageError("nothing to write: add --out DIR or --sheet PICTURE")
    names = choose_names([name.strip() for name in flags["names"].split(",")])
    corruptions = [Corruption(n, s, flags["seed"]) for n in names for s in flags["severities"]]
    formats = installed_formats(plugins)
    dataset = open_dataset(flags["dataset"], flags["split"], images=flags["images"], formats=formats)
    if flags["max_images"] is not None:
        dataset = FirstImages(dataset, flags["max_images"])
    say(f"{dataset.root}: {counted(len(dataset), 'image')}, {dataset.note}")
    if flags["sheet"] is not None:
        _draw(dataset, corruptions, flags["sheet"])
    if flags["out"] is not None:
        _write(dataset, corruptions, flags)


def _draw(dataset: Dataset, corruptions: list[Corruption], sheet: Path) -> None:
    from anydet.inputs import keep
    from anydet.outputs import new_file
    from anydet.report.corruption_sheet import draw_corruptions, encode_picture

    # An empty scene would show little; labels of a large data set need not all be looked at.
    first = [dataset[position] for position in range(min(len(dataset), 20))]
    record = next((one for one in first if one.labels is not None and len(one.labels)), first[0])
    picture = encode_picture(draw_corruptions(record.image(), record.key, corruptions), sheet.suffix)
    if record.path is not None:
        keep(Path(record.path))
    with new_file(sheet) as file:
        file.write(picture)
    say(f"wrote {sheet}")


def _write(dataset: Dataset, corruptions: list[Corruption], flags: dict[str, Any]) -> None:
    import os

    from anydet.commands.progress import progress
    from anydet.data.writing.corrupted import layout_of, losses_of, write_corrupted
    from anydet.prediction.export import InterruptedRunError

    layout = flags["layout"] or layout_of(dataset)
    total = len(dataset) * len(corruptions)
    workers = flags["workers"] or os.cpu_count() or 1
    try:
        with progress("corrupt", total) as advance:
            done = write_corrupted(
                dataset,
                flags["out"],
                corruptions,
                layout,
                workers=workers,
                resume=flags["resume"],
                report=advance,
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; what was written is kept in {flags['out']}",
            fix="add --resume to the same command to go on",
        ) from None
    lost = losses_of(dataset, layout)
    for name, count in lost.items():
        say(f"{layout.upper()} cannot hold {name}: {count} lost")
    resumed = f" ({done.resumed} from the earlier run)" if done.resumed else ""
    written = {
        "layout": layout,
        "datasets": [
            {**one.as_dict(), "dataset": str(folder)}
            for one, folder in zip(corruptions, done.folders, strict=True)
        ],
        "images": total,
        "resumed": done.resumed,
        "lost": lost,
    }
    if not write_json(written, flags["json_path"]):
        echo(
            f"{flags['out']}: {counted(len(done.folders), 'data set')}, layout {layout}, "
            f"{counted(total, 'image')}{resumed}"
        )
