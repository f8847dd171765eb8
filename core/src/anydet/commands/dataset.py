"""``anydet dataset``: describe data sets, and write some, several or parts of them as new ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.convert import LAYOUTS, say_losses
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say, warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import DATASET, OUTPUT_FOLDER
from anydet.commands.result_options import MAX_PIXELS, STRICT
from anydet.text import counted, first_of, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anydet.data.dataset.protocols import Dataset
    from anydet.evaluation.dataset_statistics import DatasetStatistics
    from anydet.plugins.manager import Plugins

_F = TypeVar("_F", bound=Callable[..., Any])

_SPLIT = click.option("--split", help="Split; chosen as by export-predictions if omitted.")
_IMAGE_FOLDER = click.option(
    "--image-folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Image folder, if the images are not where the format has them.",
)
_SEED = click.option(
    "--seed",
    type=click.IntRange(0, MOST_INTEGER),
    default=0,
    show_default=True,
    help="Seed of the choice.",
)
_AREA = FiniteRange(0)


def _options(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_OUTPUT = _options(
    click.option(
        "--output",
        "output",
        type=OUTPUT_FOLDER,
        required=True,
        help="Folder of the new data set, with copies of the image files.",
    ),
    click.option(
        "--to",
        "layout",
        type=click.Choice(LAYOUTS),
        help="Format of the new data set, as convert writes it.  [default: yolo of YOLO, else coco]",
    ),
    STRICT,
    json_option("the summary"),
    MAX_PIXELS,
)


@click.group("dataset", epilog=("\b\nExample:\n  anydet dataset stats --help"))
def command() -> None:
    """Describe, filter, merge, split and sample data sets of any format that is read.

    Nothing is lost without a word: what goes is counted by its reason, and what the new format cannot hold is
    listed, as by convert.
    """


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet dataset stats data/scenes\n"
        "  anydet dataset stats data/scenes --json"
    )
)
@click.argument("dataset", type=DATASET)
@_SPLIT
@_IMAGE_FOLDER
@click.option(
    "--rows",
    type=click.IntRange(0, MOST_INTEGER),
    default=15,
    show_default=True,
    help="Classes printed; the most frequent come first.",
)
@json_option("the numbers")
@click.option(
    "--plots",
    "plots_dir",
    metavar="DIR",
    type=OUTPUT_FOLDER,
    help="Draw classes, sizes, aspects and objects an image as PNG files (extra 'plot').",
)
@STRICT
@MAX_PIXELS
@click.pass_obj
def stats(plugins: Plugins, /, dataset: Path, **flags: Any) -> None:
    """Print how many images, objects and classes there are, how large objects are, and what they have.

    Small, medium and large are COCO's, by area: up to 32 x 32 pixels, up to 96 x 96, and above.
    """
    from anydet.commands.progress import steps
    from anydet.evaluation.dataset_statistics import describe_dataset

    with steps() as step:
        step("annotations")
        opened = _open(plugins, dataset, flags)
        found = describe_dataset(opened)
    if not write_json(found.as_dict(), flags["json_path"]):
        _print(found, opened, flags["rows"])
    if flags["plots_dir"] is not None:
        from anydet.commands.figures import draw_figures

        draw_figures(found.figures, flags["plots_dir"])


def _print(found: DatasetStatistics, opened: Dataset, rows: int) -> None:
    """A screen: the numbers in four lines, then classes and sizes of images."""
    from anydet.commands.tables import print_result_table
    from anydet.evaluation.dataset_statistics import SIZES
    from anydet.evaluation.tables import format_cell

    numbers = found.metrics
    whole = {name: f"{value:g}" for name, value in numbers.items() if value is not None}
    if not found.tables:
        echo(f"{opened.root}: {whole['images']} images without labels ({opened.note})")
        return
    echo(
        f"{opened.root}: {whole['images']} images, {whole['annotations']} annotations of "
        f"{whole['classes']} classes ({found.source}; {opened.note})"
    )
    each = [format_cell(numbers[f"annotations an image{part}"]) for part in ("", ", median", ", most")]
    echo(
        f"  an image: {each[0]} annotations, median {each[1]}, most {each[2]}; "
        f"{whole['images without annotations']} without any"
    )
    aspects = [format_cell(numbers[f"width / height, {part}"]) for part in ("5 %", "median", "95 %")]
    sizes = ", ".join(f"{name} {whole[name]}" for name in SIZES)
    echo(f"  sizes (borders at 32 x 32 and 96 x 96 px): {sizes}")
    echo(f"  width / height: median {aspects[1]}, 5 to 95 % {aspects[0]} to {aspects[2]}")
    beside = ("masks", "keypoints", "states", "poses", "crowds")
    of_images = tuple(name for name in whole if name.startswith("images with "))
    has = [f"{name} {whole[name]}" for name in (*beside, *of_images) if whole[name] != "0"]
    echo(f"  beside boxes: {', '.join(has) or 'nothing'}")
    for table in found.tables:
        print_result_table(table, rows)


@command.command(
    "filter",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet dataset filter data/scenes --output data/large --min-area 1024 --empty drop"
    ),
)
@click.argument("dataset", type=DATASET)
@_SPLIT
@_IMAGE_FOLDER
@click.option("--classes", metavar="NAME,...", help="Classes that stay; they are numbered anew.")
@click.option("--drop-classes", "dropped", metavar="NAME,...", help="Classes that go.")
@click.option("--min-area", "least", type=_AREA, metavar="PX", help="Smallest area of an object.")
@click.option("--max-area", "most", type=_AREA, metavar="PX", help="Largest area of an object.")
@click.option(
    "--images",
    metavar="GLOB|FILE",
    help="Images that stay: a pattern of their names, quoted, or a file with a name a line.",
)
@click.option(
    "--empty",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="What becomes of images without annotations.",
)
@_OUTPUT
@click.pass_obj
def filter_(plugins: Plugins, /, dataset: Path, **flags: Any) -> None:
    """Write some classes, sizes or images of a data set.

    An area is that which the data set states, else that of the mask, else that of the box. The folder of
    --output may be a data set that was written so and lacks this split.
    """
    from anydet.data.derivation.filtering import Criteria, filter_dataset

    classes = _names(flags["classes"]), _names(flags["dropped"])
    if all(classes):
        raise click.UsageError("--classes and --drop-classes exclude each other")
    limits = {"least_px": flags["least"], "most_px": flags["most"]}
    criteria = Criteria(
        classes=classes[0] or None,
        dropped_classes=classes[1],
        images=flags["images"],
        empty=flags["empty"] == "keep",
        **{name: value for name, value in limits.items() if value is not None},
    )
    if criteria == Criteria():
        raise click.UsageError(
            "nothing to leave out: add --classes, --drop-classes, --min-area, --max-area, --images or "
            "--empty drop; convert writes a data set as it is"
        )
    if criteria.least_px > criteria.most_px:
        raise click.UsageError(f"--min-area {criteria.least_px:g} is above --max-area {criteria.most_px:g}")
    opened = _open(plugins, dataset, flags)
    found = filter_dataset(opened, criteria)
    for what, count in found.dropped.items():
        say(f"dropped {what}: {count}")
    if found.unknown:
        warn(f"{flags['images']}: names that are no image: {listed(found.unknown)}")
    _write({_split(opened): found.dataset}, flags, {"dropped": dict(found.dropped)})


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 8\n"
        "  anydet synth --out data/more --images 8 --seed 1\n"
        "  anydet dataset merge data/scenes data/more --prefixes a,b --output data/both"
    )
)
@click.argument("datasets", type=DATASET, nargs=-1, required=True, metavar="DATASET DATASET...")
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="Split of all data sets, or, given once for each, of each in turn.",
)
@click.option(
    "--prefixes",
    metavar="NAME,...",
    help="A folder for the images of each data set, where names of images collide.",
)
@_OUTPUT
@click.pass_obj
def merge(plugins: Plugins, /, datasets: tuple[Path, ...], **flags: Any) -> None:
    """Write several data sets as one: classes are joined by name.

    The classes are those of the first data set, then what others add; the split is called as that of the
    first. A name of an image that two of them have is refused.
    """
    from anydet.data.derivation.merging import merge_datasets

    if len(datasets) < 2:
        raise click.UsageError("one data set: name two or more")
    splits = flags["splits"] or (None,)
    if len(splits) not in {1, len(datasets)}:
        raise click.UsageError(f"--split is given {len(splits)} times for {len(datasets)} data sets")
    each = splits * len(datasets) if len(splits) == 1 else splits
    opened = [
        _open(plugins, path, {**flags, "split": split, "image_folder": None})
        for path, split in zip(datasets, each, strict=True)
    ]
    merged = merge_datasets(opened, _names(flags["prefixes"]))
    for note in merged.notes:
        say(note)
    _write({_split(opened[0]): merged.dataset}, flags, {"notes": list(merged.notes)})


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 40\n"
        "  anydet dataset split data/scenes --output data/parts --parts train=0.8,val=0.1,test=0.1 --stratify"
    )
)
@click.argument("dataset", type=DATASET)
@_SPLIT
@_IMAGE_FOLDER
@click.option(
    "--parts",
    metavar="NAME=FRACTION,...",
    default="train=0.8,val=0.1,test=0.1",
    show_default=True,
    help="Names of the parts and their fractions of the images.",
)
@_SEED
@click.option(
    "--stratify", is_flag=True, help="Give each part its fraction of the images with each class, too."
)
@click.option(
    "--group-by",
    metavar="folder|REGEX",
    help="Images that stay together: those in one folder, or those whose names agree in what the groups of "
    "the expression match.",
)
@_OUTPUT
@click.pass_obj
def split(plugins: Plugins, /, dataset: Path, **flags: Any) -> None:
    """Write a data set in parts, as splits of one data set.

    An image's part follows from its name and the seed alone: images that are added later move none, and
    fractions are met on average. With --stratify they are met as well as can be, and an added image may move
    others.
    """
    from anydet.data.derivation.splitting import read_parts, split_dataset

    shares = read_parts(flags["parts"])
    opened = _open(plugins, dataset, flags)
    found = split_dataset(
        opened, shares, seed=flags["seed"], stratify=flags["stratify"], group_by=flags["group_by"]
    )
    if flags["group_by"] is not None:
        by_itself = f", {found.alone} of them images that match nothing" if found.alone else ""
        say(f"{counted(found.groups, 'group')}{by_itself}")
    _write(found.datasets, flags, {"groups": found.groups}, whole=opened)


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet dataset sample data/scenes --output data/few --images 4"
    )
)
@click.argument("dataset", type=DATASET)
@_SPLIT
@_IMAGE_FOLDER
@click.option(
    "--images", type=click.IntRange(1, MOST_INTEGER), required=True, metavar="N", help="Number of images."
)
@_SEED
@_OUTPUT
@click.pass_obj
def sample(plugins: Plugins, /, dataset: Path, images: int, **flags: Any) -> None:
    """Write a random choice of the images of a data set.

    A larger sample of the same seed holds a smaller one. The folder of --output may be a data set that was
    written so and lacks this split.
    """
    from anydet.data.derivation.splitting import sample_dataset

    opened = _open(plugins, dataset, flags)
    _write({_split(opened): sample_dataset(opened, images, seed=flags["seed"])}, flags, {})


def _open(plugins: Plugins, path: Path, flags: Mapping[str, Any]) -> Dataset:
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    return open_dataset(
        path,
        flags["split"],
        images=flags["image_folder"],
        formats=installed_formats(plugins),
        refuse_odd=flags["strict"],
    )


def _split(dataset: Dataset) -> str:
    return dataset.split or "val"


def _write(
    parts: Mapping[str, Dataset],
    flags: Mapping[str, Any],
    more: Mapping[str, Any],
    *,
    whole: Dataset | None = None,
) -> None:
    """Write a data set, or parts of one as its splits, and print what was written."""
    from anydet.commands.progress import progress
    from anydet.data.writing.conversion import convert_dataset, convert_parts, decided, layout_like

    output, first = flags["output"], next(iter(parts.values()))
    layout = decided(whole or first, flags["layout"] or layout_like(first))
    images = {name: len(part) for name, part in parts.items()}
    with progress("writing", sum(images.values())) as advance:
        if whole is not None:
            lost = convert_parts(whole, parts, output, layout, report=advance)
        else:
            lost = convert_dataset(first, output, layout, split=next(iter(parts)), report=advance)
    say_losses(layout, lost)
    result = {"output": str(output), "layout": layout, "images": images, "lost": lost, **more}
    if write_json(result, flags["json_path"]):
        return
    shown = (f"{counted(number, 'image')} of split {name}" for name, number in images.items())
    echo(f"{output}: {', '.join(first_of(list(shown)))}, {layout}")
