"""A copy of a data set without what is odd in its annotations."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anydet.data.coco.folders import find_annotations
from anydet.data.coco.mending import load, mend
from anydet.data.coco.parsing import read_document
from anydet.data.dataset.oddities import repairs
from anydet.data.dataset.protocols import DatasetFormat
from anydet.data.opening import DeferredFormat, open_dataset
from anydet.data.writing.repair_yolo import repair_labels
from anydet.data.writing.repaired import Repaired
from anydet.data.yolo.dataset import YoloDataset
from anydet.errors import DatasetError, OptionError
from anydet.outputs import new_file


def repair_dataset(
    source: Path,
    split: str | None,
    output: Path,
    *,
    formats: Sequence[DatasetFormat | DeferredFormat] | None = None,
) -> Repaired:
    """Write a copy of COCO annotations (a JSON file) or of a YOLO data set (a folder) without what is odd.

    Args:
        source: the data set.
        split: of it; by default that which opening it takes.
        output: where to.
        formats: what to try, as ``open_dataset`` has it.

    Raises:
        OptionError: the data set is neither, or ``output`` is no place for it.
        DatasetError: it cannot be opened at all, as ``repair_annotations`` and ``repair_labels`` say.
    """
    file = find_annotations(source, split)
    if file is not None:
        return repair_annotations(file, output)
    opened = open_dataset(source, split, formats=formats)
    if isinstance(opened, YoloDataset):
        return repair_labels(opened, output)
    raise OptionError(
        f"{source}: --repair mends COCO annotations and YOLO labels, and this data set has neither",
        fix="correct its labels where 'anydet check-dataset' says",
    )


def repair_annotations(file: Path, output: Path) -> Repaired:
    """Write a copy of a COCO annotations file in which every entry is as COCO has it.

    Args:
        file: the file.
        output: a JSON file; image files are not copied.

    Raises:
        OptionError: ``output`` is no name of a JSON file.
        DatasetError: the file is no COCO annotations file, or not even JSON.
    """
    if output.suffix.lower() != ".json":
        raise OptionError(
            f"{output}: the repaired copy of {file.name} is a JSON file", fix=f"name it {output}.json"
        )
    data = load(file)
    if data is None:
        read_document(file)  # says what is wrong with the text, if anything is
        raise DatasetError(
            f"{file}: not a COCO annotations file that can be repaired",
            fix="give a JSON object with images, annotations and categories",
        )
    mended = mend(data)
    repaired = _finite(mended.repaired)
    with new_file(output) as target:
        target.write(json.dumps(repaired, allow_nan=False).encode())
    before = data.get("annotations")
    return Repaired(
        output,
        len(repaired["annotations"]),
        len(before) if isinstance(before, list) else 0,
        tuple(repairs(mended.oddities)),
    )


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON cannot hold, which only keys have that are not read."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
