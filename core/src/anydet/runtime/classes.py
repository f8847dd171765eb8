"""Names of what a model predicts: from the options, from the file, or COCO's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.errors import OptionError
from anydet.inputs import read_text
from anydet.runtime.errors import ModelError
from anydet.runtime.metadata import stated_names, unread_names
from anydet.text import quoted, shortened
from anydet.types import ClassTable, IntArray

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
COCO_COUNTS = (len(COCO80), _COCO_COLUMNS)
"""Classes of models that ``names=coco`` fits: its 80, or its ids."""
_COCO_WORD = "coco"


@dataclass(frozen=True, slots=True, eq=False)
class ModelClasses:
    """What the columns of a model's scores, or the labels of its detections, mean.

    Attributes:
        table: names, or ``None`` where nobody knows them.
        columns: columns or labels that are classes, ascending, in the order of the table; ``None`` where they
            are simply counted.
        first_label: label of the first class where they are counted.
        assumed: whether the names are COCO's for no other reason than the number of columns.
    """

    table: ClassTable | None
    columns: IntArray | None = None
    first_label: int = 0
    assumed: bool = False

    def class_ids(self, labels: NDArray[Any]) -> IntArray:
        """Class ids of (N,) labels; raises ``ModelError`` where one is of no class."""
        values = labels.astype(np.float64)
        known = self._labels()
        if known is None:
            ids, right = values - self.first_label, values >= self.first_label
        else:
            ids = np.minimum(np.searchsorted(known, values), len(known) - 1)
            right = known[ids] == values
        if not (right & (values == np.round(values))).all():
            raise ModelError(
                f"labels run from {values.min():.4g} to {values.max():.4g} where {self._expected()} were "
                "expected",
                fix="check preset=, layout= and first_label=, and names= where it is given",
            )
        return ids.astype(np.int64)

    def _labels(self) -> IntArray | None:
        """Labels of all classes, where it is known how many there are."""
        if self.columns is not None or self.table is None:
            return self.columns
        return np.arange(len(self.table)) + self.first_label

    def _expected(self) -> str:
        known = self._labels()
        if known is None:
            return f"whole numbers from {self.first_label} on"
        return f"labels of one of the {len(known)} classes ({known[0]} to {known[-1]})"


def model_classes(
    count: int | None,
    *,
    names: str | None,
    metadata: Mapping[str, str],
    described: Sequence[str] = (),
    usual: Sequence[str] = (),
    first_label: int = 0,
    background_last: bool = False,
) -> ModelClasses:
    """Classes of a model with ``count`` score columns.

    Args:
        count: score columns; ``None`` where the model does not show it, and then any number of names fits.
        names: the option: a file with a name a line, names with commas, or ``coco``.
        metadata: of the model file; Ultralytics writes ``names`` into it.
        described: names in the description of one of anydet's exports.
        usual: names of the family's classes, where all its models have the same.
        first_label: label of the first class where the model gives labels; 1 where 0 is background, which
            COCO's own ids 1..90 begin with too.
        background_last: whether the last of the columns is of no class, where ``names`` has no name for it
            and there are not as many as COCO has.

    Raises:
        OptionError: the option's names are not as many as the model's classes.
        ModelError: the file's names are not; it is a pose or oriented-box model, say.
    """
    stored = stated_names(metadata)
    if background_last and count is not None and _has_background(count, names, stored):
        return _before_background(count - 1, names, metadata, usual)
    if described and names is None:
        _check_stored(described, count)
        return ModelClasses(ClassTable(tuple(described)), first_label=first_label)
    table = _table(count, names, stored, usual, unread=unread_names(metadata) is not None)
    assumed = table is COCO80 and names is None and stored is None
    own_ids = count == _COCO_COLUMNS or (count is None and first_label == 1)
    if own_ids and table is not None and table.names == COCO80.names:
        return ModelClasses(COCO80, np.array(COCO80.source_ids, np.int64), assumed=assumed)
    return ModelClasses(table, first_label=first_label, assumed=assumed)


def _has_background(count: int, names: str | None, stored: Sequence[str] | None) -> bool:
    """Whether one of so many columns is of no class, where the last may be."""
    if names is None and stored is not None:
        return len(stored) == count - 1
    if names is None or names == _COCO_WORD:
        return count not in (1, *COCO_COUNTS)
    return len(_read_names(names)) == count - 1


def _before_background(
    count: int, names: str | None, metadata: Mapping[str, str], usual: Sequence[str]
) -> ModelClasses:
    """Classes of the columns before the background's.

    As many as COCO's own ids are of something else, unless ``names`` says so: a family with a background
    column has it among the 91 (rfdetr: ``num_classes = 90``, and one more).
    """
    classes = model_classes(count, names=names, metadata=metadata, usual=usual)
    if classes.columns is None:
        return replace(classes, columns=np.arange(count))
    return classes if names is not None else ModelClasses(None, np.arange(count))


def _table(
    count: int | None,
    names: str | None,
    stored: tuple[str, ...] | None,
    usual: Sequence[str],
    *,
    unread: bool,
) -> ClassTable | None:
    """From the option, else the file, else the family, else COCO's where there are as many classes."""
    if names == _COCO_WORD:
        return _coco(count)
    if names is not None:
        given = _read_names(names)
        if count not in (None, len(given)):
            raise OptionError(
                f"names= gives {len(given)} names, and the model has {count} classes",
                fix="give one name a class, in the model's order",
            )
        return ClassTable(given)
    if stored is not None:
        _check_stored(stored, count)
        return COCO80 if stored == COCO80.names else ClassTable(stored)
    if usual and count in (None, len(usual)):
        return ClassTable(tuple(usual))
    # Names that the file has and nobody can read are of classes that may be others.
    return COCO80 if count in COCO_COUNTS and not unread else None


def _coco(count: int | None) -> ClassTable:
    if count not in (None, *COCO_COUNTS):
        raise OptionError(
            f"names=coco gives {len(COCO80)} names, and the model has {count} classes",
            fix="give one name a class, in the model's order: names=a,b,c, or a file with one a line",
        )
    return COCO80


def _read_names(text: str) -> tuple[str, ...]:
    """Names in their order; raises ``OptionError`` for none, an empty one or one that is there twice."""
    path = Path(text)
    if path.is_file():
        lines = read_text(path, "utf-8").splitlines()
    elif path.suffix in {".txt", ".names"}:
        raise OptionError(
            f"names={text}: no such file", fix="give a file with one name a line, or names=a,b,c"
        )
    else:
        lines = text.split(",")
    names = tuple(line.strip() for line in lines)
    while names and not names[-1]:  # of the last line's end, or a last comma
        names = names[:-1]
    if problem := _problem_of(names):
        raise OptionError(
            f"names={shortened(text)} {problem}",
            fix="give each class a name of its own, in the model's order",
        )
    return names


def _problem_of(names: Sequence[str]) -> str:
    """What keeps names from telling classes apart; empty where nothing does."""
    if not names:
        return "has no name"
    for place, name in enumerate(names):
        if not name:
            return f"has no name for class {place}"
        if name in names[:place]:
            return f"has {quoted(name)} for class {names.index(name)} and for class {place}"
    return ""


def _check_stored(stored: Sequence[str], count: int | None) -> None:
    if count not in (None, len(stored)):
        raise ModelError(
            f"the model file has {len(stored)} class names, and its outputs have room for {count} classes: "
            "it is no model of this layout",
            fix="check preset= and layout=",
        )
