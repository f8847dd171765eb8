"""What synthetic scenes are held to: the same seed gives the same scenes, and what is written reopens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.plugins.scenes import build_scenes, write_scenes
from anydet.testing.comparison import same_columns
from anydet.testing.kit import Subject, checks_of
from anydet.types import Size

if TYPE_CHECKING:
    from typing_extensions import Self

_COUNT = 4
_SIZE_WH = (96, 72)


@dataclass(frozen=True)
class SceneSubject(Subject):
    """Scenes under test.

    Attributes:
        build: gives scenes for a count, a seed, (width, height) in pixels and the name of a split.
        writers: format -> function that writes scenes into a folder.
        plugins: whose formats open what was written.
    """

    build: Callable[[int, int, Size, str], Dataset]
    writers: Mapping[str, Callable[[Dataset, Path], None]]
    plugins: Plugins

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed scenes called ``name``, which have no options."""
        del options

        def build(count: int, seed: int, image_wh: Size, split: str) -> Dataset:
            return build_scenes(plugins, name, count=count, seed=seed, image_wh=image_wh, split=split)

        def writer(layout: str) -> Callable[[Dataset, Path], None]:
            return lambda dataset, out: write_scenes(
                plugins, name, dataset, out, layout=layout, report=lambda _: None
            )

        writers = {layout: writer(layout) for layout in plugins.spec("scenes", name).writers}
        return cls(build, writers, plugins, folder=folder)

    def set_up(self) -> None:
        """Build one scene."""
        self.build(1, 0, _SIZE_WH, "val")

    def scenes(self, count: int = _COUNT, seed: int = 0) -> Dataset:
        """Small scenes."""
        return self.build(count, seed, _SIZE_WH, "val")


def count_size_and_split_are_those_requested(subject: SceneSubject) -> None:
    """There are ``count`` scenes of the given size, in the given split, with keys of their own."""
    scenes = subject.scenes()
    found = len(scenes), len(list(scenes)), len(set(scenes.keys))
    assert found == (_COUNT,) * 3, (
        f"len, scenes and different keys are {found} for {_COUNT}; give count scenes"
    )
    assert scenes.split == "val", f"the split is {scenes.split!r}; give the argument split"
    for record in scenes:
        shape = record.image().shape
        assert shape == (*_SIZE_WH[::-1], 3), f"{record.key} has shape {shape}; paint in image_wh"
        assert record.size_wh == _SIZE_WH, f"{record.key} states the size {record.size_wh}"


def the_same_seed_gives_the_same_scenes(subject: SceneSubject) -> None:
    """Pixels, labels and fingerprint depend on the seed alone, and another seed gives other scenes."""
    first, again, other = subject.scenes(), subject.scenes(), subject.scenes(seed=1)
    difference = _difference(first, again, _COUNT)
    assert not difference, f"{difference} the second time; draw from default_rng((seed, index))"
    assert first.fingerprint() == again.fingerprint(), "the fingerprint is another the second time"
    assert _difference(first, other, _COUNT), "seeds 0 and 1 give the same scenes; draw from the seed"


def the_count_changes_no_scene(subject: SceneSubject) -> None:
    """Two scenes are the first two of four, in whatever order they are looked at."""
    few, many = subject.scenes(2), subject.scenes()
    many[3].image()
    difference = _difference(few, many, 2)
    assert not difference, f"{difference} with a larger count; draw from default_rng((seed, index))"


def labels_are_in_the_image_and_the_class_table(subject: SceneSubject) -> None:
    """Boxes are finite and inside the image, class ids in the table."""
    scenes = subject.scenes()
    truth = scenes.ground_truth()
    boxes, ids = truth.labels.boxes_xywh_px, truth.labels.class_ids
    ends = boxes[:, :2] + boxes[:, 2:]
    inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > 0).all() and (ends <= _SIZE_WH).all()
    # Written so that a NaN is outside, too.
    assert inside, f"boxes reach from {boxes.min(initial=0)} to {ends.max(initial=0)}; cut them to the image"
    known = 0 if scenes.classes is None else len(scenes.classes)
    assert ((ids >= 0) & (ids < known)).all(), f"class ids {sorted(set(ids.tolist()))} of {known} classes"


def what_is_written_reopens(subject: SceneSubject) -> None:
    """Each writer's output opens in the format that it is registered for, with the same images and boxes."""
    scenes = subject.scenes()
    for layout, write in subject.writers.items():
        out = subject.folder / layout
        write(scenes, out)
        formats = [f for f in installed_formats(subject.plugins) if f.name == layout]
        assert formats, f"there is a writer of {layout!r}, which is no registered data set format"
        found = open_dataset(out, "val", formats=formats)
        assert len(found) == len(scenes), f"{layout}: {len(scenes)} scenes written, {len(found)} read"
        for record, again in zip(scenes, found, strict=True):
            same = np.array_equal(record.image(), again.image())
            assert same, f"{layout}: {record.key} has other pixels; write without loss"
        _assert_boxes(layout, scenes, found)


def _assert_boxes(layout: str, scenes: Dataset, found: Dataset) -> None:
    """Boxes that are read are those of the scenes, where the format has boxes."""
    written, read = scenes.ground_truth(), found.ground_truth()
    if not len(read):
        return
    names = [np.array(truth.classes.names)[truth.labels.class_ids] for truth in (written, read)]
    a, b = (
        sorted(zip(truth.image_index.tolist(), of_class, truth.labels.boxes_xywh_px.tolist(), strict=True))
        for truth, of_class in zip((written, read), names, strict=True)
    )
    assert [row[:2] for row in a] == [row[:2] for row in b], f"{layout}: other objects are read than written"
    near = np.allclose([row[2] for row in a], [row[2] for row in b], atol=0.01)
    assert near, f"{layout}: boxes differ by more than 0.01 px; write more digits"


def _difference(a: Dataset, b: Dataset, count: int) -> str:
    for i in range(count):
        if not np.array_equal(a[i].image(), b[i].image()):
            return f"scene {i} has other pixels"
        if not same_columns(a[i].labels, b[i].labels):
            return f"scene {i} has other labels"
    return ""


CHECKS = checks_of(
    count_size_and_split_are_those_requested,
    the_same_seed_gives_the_same_scenes,
    the_count_changes_no_scene,
    labels_are_in_the_image_and_the_class_table,
    what_is_written_reopens,
)
"""Name -> check, in the order in which they are run."""
