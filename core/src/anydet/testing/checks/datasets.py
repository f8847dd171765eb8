"""What a data set format is held to: keys, sizes and annotations that every command relies on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.dataset.columns import columns_of_records
from anydet.data.dataset.protocols import Dataset, DatasetFormat
from anydet.data.opening import BUILTIN
from anydet.errors import DatasetError
from anydet.plugins.manager import Plugins
from anydet.plugins.scenes import build_scenes, write_scenes
from anydet.testing.comparison import same_columns
from anydet.testing.kit import NotApplicable, Subject, checks_of

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class DatasetSubject(Subject):
    """A data set format under test.

    Attributes:
        name: as it is registered.
        format: what its factory names.
        plugins: whose scenes are written as examples of this format and of others.
        example: a data set of this format; ``None`` for scenes that are written in it.
    """

    name: str
    format: DatasetFormat
    plugins: Plugins
    example: Path | None = None

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed format called ``name``, which has no options."""
        del options
        return cls(name, plugins.load("datasets", name), plugins, folder=folder)

    def showing(self, example: Path | None) -> Self:
        """The same with a data set of the author's own."""
        return replace(self, example=example)

    def set_up(self) -> None:
        """It is imported already."""

    def path(self) -> Path:
        """A data set of this format."""
        found = self.example or next((path for _, path in self._written(self.name)), None)
        if found is None:
            raise NotApplicable("no installed scenes are written in this format; give a data set of it")
        return found

    def open(self, split: str | None = None) -> Dataset:
        """The example, opened anew."""
        return self.format.open(self.path(), split, None)

    def others(self) -> Iterator[tuple[str, Path]]:
        """Data sets of other formats, each with the format's name."""
        return ((layout, path) for layout, path in self._written(None) if layout != self.name)

    def _written(self, wanted: str | None) -> Iterator[tuple[str, Path]]:
        """Scenes in one format, or in all that installed scenes are written in."""
        for name, spec in self.plugins.specs("scenes").items():
            for layout in spec.writers:
                if wanted in {None, layout}:
                    out = self.folder / "examples" / f"{name}-{layout}"
                    if not out.exists():
                        out.parent.mkdir(exist_ok=True)
                        scenes = build_scenes(
                            self.plugins, name, count=3, seed=0, image_wh=(96, 72), split="val"
                        )
                        write_scenes(self.plugins, name, scenes, out, layout=layout, report=lambda _: None)
                    yield layout, out


def its_own_data_is_recognized(subject: DatasetSubject) -> None:
    """``name`` is the registered one, and ``matches`` is true for a data set of this format."""
    assert subject.format.name == subject.name, f"it calls itself {subject.format.name!r}"
    found = subject.format.matches(subject.path())
    assert found is True, f"matches() gave {found!r} for {subject.path().name}; give True"


def other_data_is_left_alone(subject: DatasetSubject) -> None:
    """``matches`` is false for what is no data set, and for data of formats that are tried after this one."""
    order = [name for name, *_ in BUILTIN]
    rank = order.index(subject.name) if subject.name in order else -1
    for layout, path in subject.others():
        # A built-in format may take what an earlier one has taken already.
        if layout in order and order.index(layout) > rank:
            found = _matches(subject.format, path)
            assert found is False, f"matches() gave {found!r} for a data set of {layout}; look closer"
    for path in _no_datasets(subject.folder):
        found = _matches(subject.format, path)
        assert isinstance(found, bool), f"matches() gave {found!r} for {path.name}; give True or False"
        # Any JSON file may be COCO's, any YAML file Ultralytics'; their readers say what is wrong with it.
        assert not found or (subject.name in order and path.suffix in {".json", ".yaml"}), (
            f"matches() is true for {path.name}, which is no data set; look closer"
        )


def keys_are_unique_relative_paths(subject: DatasetSubject) -> None:
    """Keys are relative paths with unix slashes, each once, and those of the records in their order."""
    dataset = subject.open()
    keys = dataset.keys
    assert keys, "the data set has no image; give one with some"
    for key in keys:
        path = PurePosixPath(key)
        plain = not path.is_absolute() and ".." not in path.parts and "\\" not in key and str(path) == key
        assert plain, f"key {key!r}; give the path relative to the image folder, with unix slashes"
    assert len(set(keys)) == len(keys), f"{len(keys)} keys, {len(set(keys))} different ones; keep folders"
    assert tuple(record.key for record in dataset) == keys, "records have other keys than 'keys' says"
    counted = len(dataset), dataset[-1].key
    assert counted == (len(keys), keys[-1]), f"len and last key are {counted}; count as a sequence does"


def sizes_are_those_of_the_images(subject: DatasetSubject) -> None:
    """Sizes of records and columns are those of the decoded images."""
    dataset = subject.open()
    for record in dataset:
        shown = record.image().shape[1::-1]
        assert record.size_wh == shown, f"{record.key}: the record says {record.size_wh}, the image {shown}"
    if not _has_labels(dataset):
        return
    stated = dataset.ground_truth().sizes_wh.tolist()
    for record, (width, height) in zip(dataset, stated, strict=True):
        shown = record.image().shape[1::-1]
        known = (width, height) in {shown, (-1, -1)}
        assert known, f"{record.key}: the columns say {(width, height)}, the image has {shown}"


def columns_are_those_of_the_records(subject: DatasetSubject) -> None:
    """``ground_truth`` has the keys of all images and the rows of all records."""
    dataset = _labeled(subject)
    truth = dataset.ground_truth()
    wanted = columns_of_records(((r, r.size_wh) for r in dataset), dataset.classes, dataset.source)
    assert truth.images == dataset.keys, "ground_truth().images are other keys than 'keys'"
    if any(record.labels is None and record.class_mask is not None for record in dataset):
        raise NotApplicable("its annotations are the regions of class masks, which records do not list")
    for name in ("class_ids", "boxes_xywh_px", "areas", "iscrowd"):
        same = np.array_equal(getattr(truth.labels, name), getattr(wanted.labels, name))
        assert same, f"{name} of ground_truth() are not those of the records' labels"
    assert np.array_equal(truth.image_index, wanted.image_index), "annotations are of other images"


def classes_are_contiguous(subject: DatasetSubject) -> None:
    """Class ids are below the length of the class table, whose names and source ids are there once."""
    dataset = _labeled(subject)
    truth, classes = dataset.ground_truth(), dataset.classes
    ids = truth.labels.class_ids
    if classes is None:
        raise NotApplicable("the data set has no class table")
    assert ((ids >= 0) & (ids < len(classes))).all(), (
        f"class ids up to {ids.max()} for {len(classes)} classes; count classes from 0 without gaps"
    )
    for what in (classes.names, classes.source_ids):
        assert len(set(what)) == len(what), f"the class table has an entry twice: {what}"
    assert truth.classes == classes, "ground_truth() has another class table"


def splits_are_listed(subject: DatasetSubject) -> None:
    """The split that was chosen opens by its name; one that does not exist is an error that lists it."""
    dataset = subject.open()
    if not dataset.split:
        raise NotApplicable("it has no splits")
    assert subject.open(dataset.split).keys == dataset.keys, f"split {dataset.split!r} by name is another"
    try:
        subject.open("no-such-split")
        message = ""
    except DatasetError as exc:
        message = str(exc)
    assert message, "a split that does not exist was opened; use splits.choose_split"
    assert dataset.split in message, f"the error does not list {dataset.split!r}: {message}"


def opening_twice_gives_the_same(subject: DatasetSubject) -> None:
    """Keys, fingerprint and ground truth are the same again, and after pickling."""
    first = subject.open()
    for again, how in ((subject.open(), "opened again"), (pickle.loads(pickle.dumps(first)), "unpickled")):
        assert again.keys == first.keys, f"{how}: other keys; sort what a folder lists"
        assert again.fingerprint() == first.fingerprint(), f"{how}: another fingerprint"
        if _has_labels(first):
            same = same_columns(again.ground_truth().labels, first.ground_truth().labels)
            assert same, f"{how}: other labels"


def a_limit_takes_the_first_images(subject: DatasetSubject) -> None:
    """``ground_truth(n)`` has the first n images and their annotations."""
    dataset = _labeled(subject)
    whole = dataset.ground_truth()
    for count in (0, 1, len(dataset), len(dataset) + 1):
        part = dataset.ground_truth(count)
        assert part.images == whole.images[:count], f"ground_truth({count}) has other images than the first"
        rows = whole.image_index < count
        same = same_columns(part.labels.boxes_xywh_px, whole.labels.boxes_xywh_px[rows])
        assert same, f"ground_truth({count}) has other annotations than those of its images"


def reading_writes_nothing(subject: DatasetSubject) -> None:
    """Files of the data set are the same after all of it was read, and no file is new."""
    before = _contents(subject.path())
    dataset = subject.open()
    dataset.fingerprint()
    if _has_labels(dataset):
        dataset.ground_truth()
    for record in dataset:
        record.image()
    changed = {path for path, _ in before.items() ^ _contents(subject.path()).items()}
    assert not changed, f"reading changed {sorted(changed)[0]}; keep caches elsewhere"


def _has_labels(dataset: Dataset) -> bool:
    return dataset.source != "none"


def _labeled(subject: DatasetSubject) -> Dataset:
    dataset = subject.open()
    if not _has_labels(dataset):
        raise NotApplicable("the data set has no labels")
    return dataset


def _matches(known: DatasetFormat, path: Path) -> bool:
    try:
        return known.matches(path)
    except Exception as exc:
        raise AssertionError(
            f"matches() raised {type(exc).__name__} for {path.name}: {exc}; give False"
        ) from exc


def _no_datasets(folder: Path) -> list[Path]:
    """An empty folder, files of other kinds, and a path that leads nowhere."""
    found = {
        "notes.txt": b"no data set\n",
        "bytes.bin": bytes(range(256)),
        "null.json": b"null",
        "list.json": b"[]",
        "cut.json": b'{"images": [',
        "list.yaml": b"- 1\n",
    }
    for name, content in found.items():
        (folder / name).write_bytes(content)
    (folder / "empty").mkdir(exist_ok=True)
    return [folder / name for name in (*found, "empty", "nowhere")]


def _contents(root: Path) -> dict[str, str]:
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in files}


CHECKS = checks_of(
    its_own_data_is_recognized,
    other_data_is_left_alone,
    keys_are_unique_relative_paths,
    sizes_are_those_of_the_images,
    columns_are_those_of_the_records,
    classes_are_contiguous,
    splits_are_listed,
    opening_twice_gives_the_same,
    a_limit_takes_the_first_images,
    reading_writes_nothing,
)
"""Name -> check, in the order in which they are run."""
