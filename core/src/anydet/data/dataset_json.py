"""The format ``dataset.json``; what it takes to open one is imported when there is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anydet.inputs import read_json

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset

_DESCRIPTOR_BYTES = 1_000_000  # a JSON file above this holds annotations, not a description


class DatasetJsonFormat:
    """``dataset.json`` with ``images_dir``, ``labels_dir``, ``split`` and perhaps ``annotations``."""

    name = "dataset.json"

    def matches(self, path: Path) -> bool:
        """Whether it is such a file, or a folder with one."""
        file = path / "dataset.json" if path.is_dir() else path
        if file.suffix.lower() != ".json" or not file.is_file() or file.stat().st_size > _DESCRIPTOR_BYTES:
            return False
        # Most JSON files are annotations, which this look tells apart before anything is decoded.
        if file.name != "dataset.json" and not _mentions(file, b'"images_dir"'):
            return False
        import msgspec

        try:
            data = msgspec.json.decode(read_json(file))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return file.name == "dataset.json"  # opening it reports what is wrong
        return isinstance(data, dict) and "images_dir" in data

    def open(self, path: Path, split: str | None, images: Path | None) -> Dataset:
        """Open the split it describes, or another that is beside it."""
        from anydet.data.descriptor import open_described

        return open_described(path, split, images)


FORMAT = DatasetJsonFormat()


def _mentions(file: Path, text: bytes) -> bool:
    try:
        return text in read_json(file)
    except OSError:
        return False
