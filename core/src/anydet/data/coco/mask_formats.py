"""COCO files with the class of every pixel: ``annotations/<prefix><split>.json``, bare or in a root.

Reading is imported when there is something to read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.splits import UNSPLIT, choose_split
from anydet.dataclass import dataclass

if TYPE_CHECKING:
    from anydet.data.dataset.table import ImageTable, TableDataset


@dataclass(frozen=True, slots=True)
class CocoMaskFormat:
    """Files that are known by how their names begin.

    Attributes:
        name: as it is registered.
        prefixes: of file names, before the split.
        read: reads a file.
    """

    name: str
    prefixes: tuple[str, ...]
    read: Callable[[Path], ImageTable]

    def matches(self, path: Path) -> bool:
        """Whether it is such a file, or a folder that has one and no ``instances_<split>.json``."""
        if path.is_file():
            return path.suffix.lower() == ".json" and path.stem.startswith(self.prefixes)
        return bool(self._files(path)) and not any((path / "annotations").glob("instances_*.json"))

    def open(self, path: Path, split: str | None, images: Path | None) -> TableDataset:
        """Open one split; a file without one in its name has none."""
        from anydet.data.coco.dataset import find_images_dir
        from anydet.data.dataset.table import TableDataset

        files, base = self._files(path), path
        if path.is_file():
            files = {_split_of(path): path}
            base = path.parent.parent if path.parent.name == "annotations" else path.parent
        chosen = UNSPLIT if set(files) == {""} and split is None else choose_split(path, files, split)
        file = files[chosen.name]
        table = self.read(file)
        return TableDataset(
            path,
            chosen.name,
            chosen.note,
            file.relative_to(base).as_posix(),
            images or find_images_dir(file, base, chosen.name, table.keys),
            table,
            annotation_files=(file,),
        )

    def _files(self, root: Path) -> dict[str, Path]:
        """The files of a root by split."""
        found = [file for prefix in self.prefixes for file in (root / "annotations").glob(f"{prefix}*.json")]
        return {_split_of(file): file for file in sorted(found)}


def _read_panoptic(file: Path) -> ImageTable:
    from anydet.data.coco.panoptic import read_panoptic

    return read_panoptic(file)


def _read_semantic(file: Path) -> ImageTable:
    from anydet.data.coco.semantic import read_semantic

    return read_semantic(file)


PANOPTIC = CocoMaskFormat("coco-panoptic", ("panoptic_",), _read_panoptic)
SEMANTIC = CocoMaskFormat("coco-semantic", ("stuff_", "semantic_"), _read_semantic)


def _split_of(file: Path) -> str:
    return file.stem.partition("_")[2]
