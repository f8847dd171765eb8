"""YOLO layout: ``images/<split>`` beside ``labels/<split>/*.txt``, with sidecars ``*.json``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.columns import columns_of_records, no_labels
from anydet.data.dataset.folder import FolderDataset, image_splits, list_keys, open_looked_over, subfolders
from anydet.data.dataset.oddities import Found, Oddity, warn_of
from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.data.record.class_mask import ClassMaskFile
from anydet.data.record.containment import ContainedImage, contained
from anydet.data.record.record import Record
from anydet.data.yolo.data_yaml import DataYaml, read_names
from anydet.data.yolo.elsewhere import find_elsewhere, other_label_folders
from anydet.data.yolo.label_file import LabelLines, parse_labels
from anydet.data.yolo.name_case import OtherCase, find_other_case, text_files
from anydet.data.yolo.sidecar import load_sidecar
from anydet.errors import DatasetError
from anydet.inputs import SAVE_AS_UTF8, read_text_bytes, text_problem
from anydet.types import ClassTable, GroundTruthColumns, Poses, Size

_NAMES = frozenset(
    {"classes.txt", "labels.txt", "readme.txt", "train.txt", "val.txt", "test.txt", "notes.txt"}
)
"""Text files beside label files that are none."""


@dataclass(frozen=True, slots=True, eq=False)
class YoloDataset(BaseDataset):
    """Images with label files; the other attributes are those of ``Dataset``.

    Attributes:
        images_dir: folder that the keys are relative to.
        labels_dir: folder of the label files, or ``None`` where each is at the image's path with the last
            ``images`` replaced by ``labels`` (Ultralytics' rule).
        limit: folder that images must be in, links followed: ``images_dir`` or one above it.
        home: folder that side files must be in.
        names: classes and keypoint shape.
    """

    root: Path
    split: str
    note: str
    images_dir: Path
    labels_dir: Path | None
    limit: Path
    home: Path
    keys: tuple[str, ...]
    names: DataYaml
    source: str

    @property
    def classes(self) -> ClassTable | None:
        """The class table, where a file names the classes."""
        return self.names.classes

    def record(self, position: int) -> Record:
        """An image with its label file and sidecar; raises ``DatasetError`` where one is malformed."""
        return self._read(self.keys[position])[0]

    def label_file(self, key: str) -> Path:
        """Path of the labels of an image, whether or not the file exists; its case may differ."""
        expected = self._expected_label(key)
        return expected if expected.exists() else self.other_case.taken.get(expected, expected)

    @property
    def other_case(self) -> OtherCase:
        """Label files whose name differs from their image's in case, or whose folder is another."""
        return _find_other_case(self)

    @property
    def above(self) -> Path:
        """Folder in which label files may lie: that of the data set, or around images that lie elsewhere."""
        if self.labels_dir is not None or self.home != self.images_dir:
            return self.home
        folder = self.images_dir.parent if self.images_dir.name in SPLITS else self.images_dir
        # Around any other folder there may be all that its user has.
        return folder.parent if folder.name.casefold() == "images" else self.images_dir

    def _expected_label(self, key: str) -> Path:
        if self.labels_dir is not None:
            return self.labels_dir / PurePosixPath(key).with_suffix(".txt")
        return label_beside(self.images_dir / key).with_suffix(".txt")

    def lost_label_files(self) -> list[Path]:
        """Label files beside those of the images that no image of the split has."""
        labels = set(map(self.label_file, self.keys))
        there = sorted(file for folder in {label.parent for label in labels} for file in text_files(folder))
        known = labels.union(self.other_case.unclear)
        return [file for file in there if file not in known and file.name.lower() not in _NAMES]

    def label_text(self, key: str) -> str | None:
        """Content of the label file of an image, or ``None``; ``DatasetError`` where it is no text."""
        label = self.label_file(key)
        return _text(label) if label.exists() else None

    @property
    def keypoint_pairs(self) -> tuple[tuple[int, int], ...]:
        """(left, right) positions of keypoints that swap names in the mirror, as ``flip_idx`` says."""
        return tuple((here, there) for here, there in enumerate(self.names.flip_indices) if here < there)

    def annotations_of(self, position: int) -> Iterator[bytes | None]:
        """Label file and sidecar of an image."""
        label = self.label_file(self.keys[position])
        yield _bytes(label)
        yield _bytes(label.with_suffix(".json"))

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images; sizes come from the images' headers."""
        read = map(self._read, islice(self.keys, max_images))
        return columns_of_records(
            ((record, size or record.size_wh) for record, size in read), self.classes, self.source
        )

    def _read(self, key: str) -> tuple[Record, Size | None]:
        """The record, and the image's size where its labels made it necessary to look."""
        label, path = self.label_file(key), self.images_dir / key
        if self.limit != self.images_dir:
            contained(self.limit, path.absolute(), links=True)  # before its label is opened
        lines = self._parse(label)
        sidecar = load_sidecar(label.with_suffix(".json"), root=self.home, objects=lines.lines)
        name = key if self.limit == self.images_dir else str(path.absolute())
        pixels = ContainedImage(self.limit, name, sidecar.stated_wh)
        # Fractions become pixels with the size of the file itself; images without objects are not opened.
        size = pixels.size_wh() if len(lines) or sidecar.stated_wh else None
        if size and sidecar.stated_wh and size != sidecar.stated_wh:
            raise DatasetError(
                f"{label.with_suffix('.json')}: image_hw: {list(sidecar.stated_wh[::-1])}, but {path} has "
                f"height and width {list(size[::-1])}",
                fix="correct image_hw or remove it",
            )
        labels = lines.in_pixels(size) if size else no_labels()
        record = Record(
            key,
            pixels,
            path=path,
            stated_wh=sidecar.stated_wh,
            labels=replace(labels, poses=_of_kept(sidecar.poses, lines)),
            camera=sidecar.camera,
            class_mask=None if sidecar.mask_path is None else ClassMaskFile(sidecar.mask_path),
            depth_path=sidecar.depth_path,
            cad_points_path=sidecar.cad_points_path,
            extra=sidecar.extra,
        )
        return record, size

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """Odd names and lines of all label files and what reading makes of them; looks into every one."""
        return (*self.other_case.oddities(), *_look_over(self).listed())

    def _parse(self, label: Path) -> LabelLines:
        """The lines of a file; odd ones are read where they are the lesser part of all lines of the split."""
        text, grammar = _text(label), self.names.grammar
        try:
            return parse_labels(text, label, grammar)
        except DatasetError:
            # Where most lines are odd, the files are not what they are taken for: coordinates in pixels,
            # confidences behind the boxes.
            if not _tolerates(self):
                raise
            return parse_labels(text, label, grammar, Found())


@lru_cache(maxsize=4)
def _find_other_case(dataset: YoloDataset) -> OtherCase:
    """Label files that are not called like their image, or in another folder, with a warning of each kind."""
    expected = {key: dataset._expected_label(key) for key in dataset.keys}
    others = other_label_folders(dataset.images_dir, expected) if dataset.labels_dir is None else {}
    found = find_other_case(expected.values(), others)
    if found.missing:
        labeled = {label.parent for label in expected.values() if label not in found.missing}
        lost = {dataset.images_dir / key: label for key, label in expected.items() if label in found.missing}
        found = replace(found, elsewhere=find_elsewhere(lost, labeled, dataset.above))
    warn_of(found.oddities(), dataset.root)
    return found


@lru_cache(maxsize=4)
def _look_over(dataset: YoloDataset) -> Found:
    """What is odd in all label files; counts a file that cannot be read at all as nothing."""
    found = Found()
    for label in dict.fromkeys(map(dataset.label_file, dataset.keys)):
        with suppress(DatasetError):
            found.seen += parse_labels(_text(label), label, dataset.names.grammar, found).lines
    return found


@lru_cache(maxsize=4)
def _tolerates(dataset: YoloDataset) -> bool:
    """Whether odd lines are the lesser part, with a warning of each kind."""
    found = _look_over(dataset)
    oddities = found.listed()
    tolerable = 2 * max((one.count for one in oddities), default=0) < found.seen
    if tolerable:
        warn_of(oddities, dataset.root)
    return tolerable


def _of_kept(poses: Poses | None, lines: LabelLines) -> Poses | None:
    """The poses of the lines that were read."""
    return poses if poses is None or len(lines) == lines.lines else poses.take(lines.kept)


class YoloFormat:
    """A folder with ``images/`` and ``labels/``."""

    name = "yolo"

    def matches(self, path: Path) -> bool:
        """Whether both folders are there."""
        return (path / "images").is_dir() and (path / "labels").is_dir()

    def open(self, path: Path, split: str | None, images: Path | None) -> YoloDataset | FolderDataset:
        """Open one split, or the whole where there are none; without label folder it has no labels."""
        names = image_splits(path / "images") or (subfolders(path / "labels") if images else [])
        chosen = UNSPLIT if split is None and not names else choose_split(path, names, split)
        return open_layout(path, chosen, images)


FORMAT = YoloFormat()


def labeled_splits(root: Path) -> list[str]:
    """The splits that have an image folder and a label folder."""
    return [name for name in image_splits(root / "images") if (root / "labels" / name).is_dir()]


def open_layout(root: Path, split: Split, images: Path | None = None) -> YoloDataset | FolderDataset:
    """``images/<split>`` and ``labels/<split>`` below ``root``."""
    images_dir = images or root / "images" / split.name
    labels_dir = root / "labels" / split.name
    return open_folders(root, split, images_dir, labels_dir, names=read_names(root))


def open_folders(
    root: Path, split: Split, images_dir: Path, labels_dir: Path, *, names: DataYaml
) -> YoloDataset | FolderDataset:
    """An image folder and its label folder, wherever they are; without the latter there are no labels."""
    if not labels_dir.is_dir():
        return open_looked_over(root, split, images_dir)
    base = root if root.is_dir() else root.parent
    inside = labels_dir.is_relative_to(base)
    return YoloDataset(
        root,
        split.name,
        split.note,
        images_dir,
        labels_dir,
        limit=images_dir,
        home=base if inside else _above_labels(labels_dir),
        keys=list_keys(images_dir),
        names=names,
        source=labels_dir.relative_to(base).as_posix() if inside else str(labels_dir),
    )


def label_beside(image: Path) -> Path:
    """A path with its last folder called ``images`` replaced by ``labels``; the same where there is none."""
    parts = list(image.parts)
    for position in range(len(parts) - 1, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            return Path(*parts)
    return image


def _above_labels(labels_dir: Path) -> Path:
    """The folder that holds ``labels/...``, or the label folder itself where it is called otherwise."""
    return next((p.parent for p in (labels_dir, *labels_dir.parents) if p.name == "labels"), labels_dir)


def _bytes(path: Path) -> bytes | None:
    try:
        return read_text_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be read: {exc.strerror}", fix="check its permissions") from exc


def _text(path: Path) -> str:
    raw = _bytes(path) or b""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{path}: {text_problem(raw)}", fix=SAVE_AS_UTF8) from exc
    if "\0" in text:
        raise DatasetError(f"{path}: {text_problem(raw)}", fix=SAVE_AS_UTF8)
    return text
