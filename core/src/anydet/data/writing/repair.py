"""A copy of an annotations file without what is odd in it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anydet.data.coco.mending import load, mend
from anydet.data.coco.parsing import read_document
from anydet.data.dataset.oddities import repairs
from anydet.dataclass import dataclass
from anydet.errors import DatasetError, OptionError
from anydet.outputs import new_file


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was written.

    Attributes:
        output: the copy.
        annotations: how many annotations it has, of ``before``.
        before: how many there were.
        repairs: a line for each kind of thing that differs.
    """

    output: Path
    annotations: int
    before: int
    repairs: Sequence[str]


def repair_annotations(file: Path | None, source: Path, output: Path) -> Repaired:
    """Write a copy of a COCO annotations file in which every entry is as COCO has it.

    Args:
        file: the file; ``None`` where the data set has none.
        source: the data set that was named.
        output: a JSON file; image files are not copied.

    Raises:
        OptionError: the data set has no COCO annotations, or ``output`` is no name of a JSON file.
        DatasetError: the file is no COCO annotations file, or not even JSON.
    """
    if file is None:
        raise OptionError(
            f"{source}: --repair mends COCO annotations, and this data set has none",
            fix="correct its labels where 'anydet check-dataset' says; or give an annotations file",
        )
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
