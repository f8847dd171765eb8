"""Flags of the data set and the engine, for every command that evaluates, and what they open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import BOX_FORMATS, ENGINE_OPTIONS
from anydet.commands.json_output import json_option
from anydet.commands.messages import say, warn
from anydet.commands.paths import DATASET
from anydet.commands.result_options import CLASS_MAP, MAX_PIXELS, STRICT
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.evaluation.evaluator import Engine
    from anydet.evaluation.reading import Inputs
    from anydet.plugins.manager import Plugins
    from anydet.scanner import Scanner

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--dataset",
        type=DATASET,
        required=True,
        help="Data set in any format that is read (COCO, YOLO, Pascal VOC, CVAT, ...): its folder or file.",
    ),
    click.option(
        "--bbox-format",
        "box_format",
        type=click.Choice(BOX_FORMATS),
        help="Box format of the predictions.  [default: from the file's meta, else cxcywh_norm]",
    ),
    click.option(
        "--split", help="Split; the first of val2017, val, valid, validation, train2017, train by default."
    ),
    click.option(
        "--max-images",
        type=click.IntRange(1, MOST_INTEGER),
        help="Evaluate only the first N images of the data set.",
    ),
    CLASS_MAP,
    STRICT,
    MAX_PIXELS,
    json_option(),
)


def dataset_options(function: _F) -> _F:
    """Decorator: the flags that ``open_data`` and ``read_predictions`` read, and ``--json``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def engine_options(function: _F) -> _F:
    """Decorator: ``--engine`` and ``--workers``, which ``open_data`` reads too; ``coco_options`` has them."""
    for option in reversed(ENGINE_OPTIONS):
        function = option(function)
    return function


def open_data(
    plugins: Plugins, flags: Mapping[str, Any], ahead: Path | None = None
) -> tuple[Engine, Scanner | None, Dataset]:
    """The engine and the data set that the flags name, and the engine's file scanner.

    Args:
        plugins: where engines and formats come from.
        flags: of ``dataset_options`` and ``engine_options``.
        ahead: a predictions file to be read later.
    """
    from anydet.evaluation.engines import choose_engine

    # The scanner reads in a thread of its own. It is started before the imports below, so that reading
    # overlaps with them and with opening the data set.
    engine = choose_engine(plugins, flags["engine"], flags["workers"])
    scanner = engine.scanner
    if scanner and ahead is not None and ahead.is_file():
        truth = Path(flags["dataset"])
        scanner = scanner.ahead(ahead, truth if truth.suffix == ".json" and truth.is_file() else None)
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    formats = installed_formats(plugins)
    strict = flags.get("strict", False)
    dataset = open_dataset(
        flags["dataset"], flags["split"], formats=formats, scanner=scanner, refuse_odd=strict
    )
    say(f"{dataset.root}: {counted(len(dataset), 'image')}, {dataset.note}")
    if flags.get("protocol") == "coco" and dataset.classes is not None and dataset.classes.frequencies:
        # LVIS says of each image which classes were looked for; COCO's protocol counts the others as missed.
        say("the categories have LVIS's frequencies: --protocol lvis computes the numbers of LVIS")
    return engine, scanner, dataset


def read_predictions(
    dataset: Dataset, predictions: Path, flags: Mapping[str, Any], scanner: Scanner | None
) -> Iterator[Inputs]:
    """Predictions joined to the images of the data set; warnings go to stderr as they come."""
    from anydet.evaluation.reading import read_shards

    limits = {name: flags[name] for name in ("box_format", "max_images")}
    return _warned(
        read_shards(
            dataset,
            predictions,
            **limits,
            scanner=scanner,
            class_map=flags.get("class_map"),
            refuse_odd=flags.get("strict", False),
        )
    )


def _warned(parts: Iterable[Inputs]) -> Iterator[Inputs]:
    """Pass on what was read, printing its warnings."""
    for part in parts:
        for warning in part.warnings:
            warn(warning)
        yield part
