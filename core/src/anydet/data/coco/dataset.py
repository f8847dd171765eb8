"""COCO instances (and person keypoints) JSON, bare or in a root with its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.coco.reading import read_coco
from anydet.data.dataset.locating import locate_images
from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.data.dataset.table import TableDataset
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.inputs import keep
from anydet.scanner import Scanner

if TYPE_CHECKING:
    from anydet.data.dataset.folder import FolderDataset
    from anydet.data.yolo.dataset import YoloDataset

_PREFIXES = ("instances_", "person_keypoints_")


class CocoDataset(TableDataset):
    """One COCO annotations file; keys are ``file_name``, ``source_ids`` of the classes COCO's ids."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CocoFormat:
    """A JSON file, or a folder with ``annotations/instances_<split>.json``."""

    name: str = "coco"
    scanner: Scanner | None = None

    def with_scanner(self, scanner: Scanner | None) -> CocoFormat:
        """The same format, reading with this scanner."""
        return replace(self, scanner=scanner)

    def matches(self, path: Path) -> bool:
        """Whether it is a JSON file or a folder with such annotations."""
        return bool(_annotation_files(path)) if path.is_dir() else path.suffix.lower() == ".json"

    def open(
        self, path: Path, split: str | None, images: Path | None
    ) -> CocoDataset | YoloDataset | FolderDataset:
        """Open one split; in a root, a split that has only label files opens as YOLO."""
        if path.is_file():
            return _open_bare(path, split, images, self.scanner)
        from anydet.data.yolo.dataset import labeled_splits, open_layout

        # Some splits of a root may have label files alone: they are offered, and open as YOLO.
        files = _annotation_files(path)
        chosen = choose_split(path, {*files, *labeled_splits(path)}, split)
        if chosen.name not in files:
            return open_layout(path, chosen, images)
        labels_dir = path / "labels" / chosen.name
        unused = f"labels/{chosen.name} not used" if labels_dir.is_dir() else ""
        opened = open_file(
            files[chosen.name],
            root=path,
            split=chosen,
            images_dir=images,
            unused=unused,
            base=path,
            scanner=self.scanner,
        )
        if unused:
            from anydet.data.other_labels import compare_with_label_files

            compare_with_label_files(files[chosen.name], opened.table, labels_dir, path)
        return opened


FORMAT = CocoFormat()


def open_file(
    annotations: Path,
    *,
    root: Path,
    split: Split,
    images_dir: Path | None,
    unused: str = "",
    base: Path | None = None,
    scanner: Scanner | None = None,
) -> CocoDataset:
    """Open an annotations file.

    Args:
        annotations: the JSON file.
        root: what the user named.
        split: the split it stands for.
        images_dir: image folder, or ``None`` to look for it below ``base``.
        unused: other annotations that are there, for the protocol of results.
        base: folder of the data set; that of the file where ``None``.
        scanner: reads the file faster, with the same result.
    """
    keep(annotations)  # a scanner reads it by itself
    table = read_coco(annotations, scanner)
    if table.labels.states is not None:
        from anydet.data.coco.states import with_states

        table = with_states(annotations, table)
    base = base or annotations.parent
    folder = images_dir or find_images_dir(annotations, base, split.name, table.files or table.keys)
    table = locate_images(table, folder, named=images_dir is not None)
    inside = annotations.is_relative_to(base)
    source = annotations.relative_to(base).as_posix() if inside else str(annotations)
    return CocoDataset(
        root,
        split.name,
        split.note,
        source + (f" ({unused})" if unused else ""),
        folder,
        table,
        annotation_files=(annotations,),
    )


def _open_bare(file: Path, wanted: str | None, images: Path | None, scanner: Scanner | None) -> CocoDataset:
    name = split_of(file)
    if name:
        split = choose_split(file, [name], wanted)
    elif wanted is not None:
        raise DatasetError(f"{file}: the file has no split in its name", fix="leave out --split")
    else:
        split = UNSPLIT
    base = file.parent.parent if file.parent.name == "annotations" else file.parent
    unused = f"labels/{name} not used" if name and (base / "labels" / name).is_dir() else ""
    return open_file(
        file, root=file, split=split, images_dir=images, unused=unused, base=base, scanner=scanner
    )


def split_of(annotations: Path) -> str:
    """The split in a file's name: ``instances_val2017.json``, ``val.json``; "" for other names."""
    stem = annotations.stem
    for prefix in _PREFIXES:
        if stem.startswith(prefix):
            return stem[len(prefix) :]
    return stem if stem in SPLITS else ""


def find_annotations(path: Path, split: str | None) -> Path | None:
    """The annotations file that opening ``path`` reads, or ``None`` where it is another format's."""
    if path.is_file():
        return path if path.suffix.lower() == ".json" else None
    from anydet.data.yolo.dataset import labeled_splits

    files = _annotation_files(path)
    if not files:
        return None
    return files.get(choose_split(path, {*files, *labeled_splits(path)}, split).name)


def _annotation_files(root: Path) -> dict[str, Path]:
    found = sorted((root / "annotations").glob("instances_*.json"))
    return {split_of(file): file for file in found if split_of(file)}


def find_images_dir(annotations: Path, base: Path, split: str, keys: tuple[str, ...]) -> Path:
    """The first of the usual folders that holds the first image, else the first that exists."""
    usual = [base / "images" / split, base / split, base / "images", base / "data", annotations.parent, base]
    folders = [folder for folder in usual if folder.is_dir()]
    return next((folder for folder in folders if keys and _holds(folder, keys[0])), folders[0])


def _holds(folder: Path, name: str) -> bool:
    try:
        # A name that leads outside is refused, wherever it leads.
        return ".." not in name.split("/") and (folder / name).is_file()
    except (OSError, ValueError):  # a name that no file can have; reading the image reports it
        return False
