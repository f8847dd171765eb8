"""``COCO``: annotations of a file by image, class and id, as in pycocotools."""

from __future__ import annotations

import json
import time
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray
from pycocotools import coco as original


class COCO(original.COCO):  # type: ignore[misc]
    """pycocotools' ``COCO``, which also takes a dictionary and path objects, and reads JSON faster.

    Args:
        annotation_file: a path, the content of such a file, or ``None`` for no annotations.
    """

    def __init__(self, annotation_file: str | PathLike[str] | dict[str, Any] | None = None) -> None:
        super().__init__()
        if annotation_file is None:
            return
        if isinstance(annotation_file, dict):
            self.dataset = annotation_file
        else:
            print("loading annotations into memory...")
            start = time.time()
            dataset = _read(annotation_file)
            assert type(dataset) is dict, f"annotation file format {type(dataset)} not supported"
            print(f"Done (t={time.time() - start:0.2f}s)")
            self.dataset = dataset
        self.createIndex()

    def loadRes(self, resFile: str | PathLike[str] | list[dict[str, Any]] | NDArray[Any]) -> COCO:  # noqa: N802 (its own names)
        """Results of a file, a list of dictionaries or an (N, 7) array, over the images of this object."""
        results = _read(resFile) if isinstance(resFile, str | PathLike) else resFile
        loaded = COCO()
        # pycocotools makes an object of its own class, of which there is nothing but these attributes.
        loaded.__dict__.update(vars(super().loadRes(results)))
        return loaded


def _read(path: str | PathLike[str]) -> Any:
    """What ``json.load`` gives for a file, read faster."""
    text = Path(path).read_bytes()
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        # NaN and Infinity, which Python's reader takes though JSON has neither; its errors are expected.
        return json.loads(text)
