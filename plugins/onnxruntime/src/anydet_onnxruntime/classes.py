"""Names of what a model predicts: from the options, from the file, or COCO's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anydet.errors import OptionError
from anydet.types import ClassTable, IntArray
from anydet_onnxruntime.errors import ModelError
from anydet_onnxruntime.stated import stated_names

_COCO = """1 person, 2 bicycle, 3 car, 4 motorcycle, 5 airplane, 6 bus, 7 train, 8 truck, 9 boat,
10 traffic light, 11 fire hydrant, 13 stop sign, 14 parking meter, 15 bench, 16 bird, 17 cat, 18 dog,
19 horse, 20 sheep, 21 cow, 22 elephant, 23 bear, 24 zebra, 25 giraffe, 27 backpack, 28 umbrella,
31 handbag, 32 tie, 33 suitcase, 34 frisbee, 35 skis, 36 snowboard, 37 sports ball, 38 kite,
39 baseball bat, 40 baseball glove, 41 skateboard, 42 surfboard, 43 tennis racket, 44 bottle,
46 wine glass, 47 cup, 48 fork, 49 knife, 50 spoon, 51 bowl, 52 banana, 53 apple, 54 sandwich,
55 orange, 56 broccoli, 57 carrot, 58 hot dog, 59 pizza, 60 donut, 61 cake, 62 chair, 63 couch,
64 potted plant, 65 bed, 67 dining table, 70 toilet, 72 tv, 73 laptop, 74 mouse, 75 remote,
76 keyboard, 77 cell phone, 78 microwave, 79 oven, 80 toaster, 81 sink, 82 refrigerator, 84 book,
85 clock, 86 vase, 87 scissors, 88 teddy bear, 89 hair drier, 90 toothbrush"""
_PAIRS = [entry.split(maxsplit=1) for entry in _COCO.split(",")]
COCO80 = ClassTable(
    names=tuple(" ".join(name.split()) for _, name in _PAIRS),
    source_ids=tuple(int(source_id) for source_id, _ in _PAIRS),
)
_COCO_COLUMNS = 91
"""Models trained on COCO's own ids 0..90 have so many columns, some of which no class uses."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelClasses:
    """What the columns of a model's scores mean.

    Attributes:
        table: names, or ``None`` where nobody knows them.
        columns: columns that are classes, in the order of the table; ``None`` means all.
    """

    table: ClassTable | None
    columns: IntArray | None = None


def model_classes(count: int | None, *, names: str | None, metadata: Mapping[str, str]) -> ModelClasses:
    """Classes of a model with ``count`` score columns.

    Args:
        count: score columns; ``None`` where the model does not tell, which is no claim about the names.
        names: the option: a file with a name a line, or names with commas.
        metadata: of the model file; Ultralytics writes ``names`` into it.

    Raises:
        OptionError: the option's names are not as many as the model's classes.
        ModelError: the file's names are not; it is a pose or oriented-box model, say.
    """
    if names is not None:
        given = _read_names(names)
        if count not in (None, len(given)):
            raise OptionError(f"names= gives {len(given)} names, and the model has {count} classes")
        return ModelClasses(ClassTable(given))
    stored = stated_names(metadata)
    if stored is not None:
        _check_stored(stored, count)
        return ModelClasses(COCO80 if stored == COCO80.names else ClassTable(stored))
    if count == len(COCO80):
        return ModelClasses(COCO80)
    if count == _COCO_COLUMNS:
        return ModelClasses(COCO80, np.array(COCO80.source_ids, np.int64))
    return ModelClasses(None)


def _read_names(text: str) -> tuple[str, ...]:
    path = Path(text)
    if path.is_file():
        lines = path.read_text("utf-8").splitlines()
    elif path.suffix in {".txt", ".names"}:
        raise OptionError(
            f"names={text}: no such file", fix="give a file with one name a line, or names=a,b,c"
        )
    else:
        lines = text.split(",")
    return tuple(line.strip() for line in lines if line.strip())


def _check_stored(stored: tuple[str, ...], count: int | None) -> None:
    if count not in (None, len(stored)):
        raise ModelError(
            f"the model file has {len(stored)} class names, and its outputs have room for {count} classes: "
            "it is no model of this layout",
            fix="check preset= and layout=",
        )
