"""DelftBikes: ``train_annotations.json`` beside the images of ``train/``.

The data set as published (Kayhan, Vredebregt, van Gemert 2021, "Hallucination in Object Detection: A Study
in Visual Part Verification") and as the VIPriors toolkit splits it: ``train``, ``val``, ``new_train``,
``fake_test``. Reading is imported when there is something to read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.splits import SPLITS, UNSPLIT, choose_split
from anydet.errors import DatasetError
from anydet.inputs import open_file

if TYPE_CHECKING:
    from anydet.data.dataset.table import TableDataset

_SUFFIX = "_annotations"
_BEGINNING = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{\s*"(?:image|parts)"\s*:\s*\{')
_BEGINNING_BYTES = 4096


class DelftBikesFormat:
    """A file, or a folder with ``<split>_annotations.json`` (in ``annotations/`` too) or ``val.json``."""

    name = "delftbikes"

    def matches(self, path: Path) -> bool:
        """Whether it is such a file, by its first bytes, or a folder with one."""
        if path.is_dir():
            return bool(_annotation_files(path))
        return path.suffix.lower() == ".json" and looks_like_delftbikes(path)

    def open(self, path: Path, split: str | None, images: Path | None) -> TableDataset:
        """Open one split; images are in ``images``, or in one of the usual folders."""
        from anydet_delftbikes.dataset import open_file

        if path.is_dir():
            files = _annotation_files(path)
            chosen = choose_split(path, files, split)
            return open_file(files[chosen.name], path, path, chosen, images)
        name = _split_of(path)
        if not name and split is not None:
            raise DatasetError(f"{path}: the file has no split in its name", fix="leave out --split")
        base = path.parent.parent if path.parent.name == "annotations" else path.parent
        return open_file(path, path, base, choose_split(path, [name], split) if name else UNSPLIT, images)


FORMAT = DelftBikesFormat()


def looks_like_delftbikes(path: Path) -> bool:
    """Whether a file begins as such annotations do; raises nothing."""
    try:
        with open_file(path) as file:
            # The first bytes only: detection of formats must not parse a file of many megabytes.
            return _BEGINNING.match(file.read(_BEGINNING_BYTES)) is not None
    except OSError:
        return False


def _annotation_files(root: Path) -> dict[str, Path]:
    """Split -> file; ``train_annotations.json`` goes before that in ``annotations/``, then ``train.json``."""
    named = [*root.glob(f"annotations/*{_SUFFIX}.json"), *root.glob(f"*{_SUFFIX}.json")]
    plain = [root / f"{split}.json" for split in (*SPLITS, "test")]
    # Later files replace earlier ones of the same split.
    return {_split_of(file): file for file in (*plain, *named) if looks_like_delftbikes(file)}


def _split_of(annotations: Path) -> str:
    """The split in a file's name; "" for other names."""
    stem = annotations.stem
    if stem.endswith(_SUFFIX):
        return stem.removesuffix(_SUFFIX)
    return stem if stem in {*SPLITS, "test"} else ""
