"""Each check of data set formats catches a bad format of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from anydet.data.coco.dataset import FORMAT as COCO
from anydet.data.dataset.base import DatasetView
from anydet.plugins.manager import Plugins
from anydet.testing.checks.datasets import CHECKS, DatasetSubject
from anydet.testing.kit import NotApplicable
from anydet.types import ClassTable


class Format:
    """COCO under another name, as a plugin's format that is tried before all others."""

    name = "mine"

    def matches(self, path):
        return path.is_dir() and (path / "annotations" / "instances_val.json").is_file()

    def open(self, path, split, images):
        return COCO.open(path, split, images)


@dataclass(frozen=True, eq=False)
class View(DatasetView):
    """A data set that changes what another one gives."""

    def __len__(self):
        return len(self.dataset)

    def record(self, position):
        return self.dataset[position]


def opening(view):
    class Changed(Format):
        def open(self, path, split, images):
            return view(super().open(path, split, images))

    return Changed


class NamesItself(Format):
    name = "another"


class SaysYesInWords(Format):
    def matches(self, path):
        return "yes" if super().matches(path) else False


class TakesAll(Format):
    def matches(self, path):
        return True


class TakesFolders(Format):
    def matches(self, path):
        return path.is_dir() and any(path.iterdir())


class ReadsToMatch(Format):
    def matches(self, path):
        return super().matches(path) or b"magic" in path.read_bytes()


class AbsoluteKeys(View):
    @property
    def keys(self):
        return tuple(f"/data/{key}" for key in self.dataset.keys)


class SameKeys(View):
    @property
    def keys(self):
        return ("a.png",) * len(self)

    def record(self, position):
        return replace(self.dataset[position], key="a.png")


class RecordsHaveOtherKeys(View):
    def record(self, position):
        return replace(self.dataset[position], key=f"{position}.png")


class StatesAnotherSize(View):
    def record(self, position):
        return replace(self.dataset[position], stated_wh=(5, 5))


class ColumnsStateAnotherSize(View):
    def ground_truth(self, max_images=None):
        found = self.dataset.ground_truth(max_images)
        return replace(found, sizes_wh=found.sizes_wh + 1)


class ColumnsLackBoxes(View):
    def ground_truth(self, max_images=None):
        found = self.dataset.ground_truth(max_images)
        labels = replace(found.labels, boxes_xywh_px=found.labels.boxes_xywh_px * 0)
        return replace(found, labels=labels)


class FewClasses(View):
    @property
    def classes(self):
        return ClassTable(("one",))


class DoubleClasses(View):
    @property
    def classes(self):
        return ClassTable(("thing",) * len(self.dataset.classes))


class TakesAnySplit(Format):
    def open(self, path, split, images):
        return super().open(path, None, images)


class ListsNoSplit(Format):
    def open(self, path, split, images):
        from anydet.errors import SplitError

        if split not in {None, "val"}:
            raise SplitError("no such split", fix="choose another")
        return super().open(path, split, images)


class FingerprintOfTheObject(View):
    def fingerprint(self):
        return f"sha256:{id(self)}"


class IgnoresTheLimit(View):
    def ground_truth(self, max_images=None):
        return self.dataset.ground_truth()


class LimitsImagesAlone(View):
    def ground_truth(self, max_images=None):
        whole = self.dataset.ground_truth()
        return replace(whole, images=whole.images[:max_images])


class KeepsACache(View):
    @cached_property
    def _cached(self):
        (Path(self.dataset.root) / "labels.cache").write_bytes(b"fast")
        return True

    def record(self, position):
        assert self._cached
        return self.dataset[position]


BAD = [
    ("its_own_data_is_recognized", NamesItself, "calls itself 'another'"),
    ("its_own_data_is_recognized", SaysYesInWords, "gave 'yes'"),
    ("other_data_is_left_alone", TakesAll, "for a data set of yolo"),
    ("other_data_is_left_alone", TakesFolders, "for a data set of yolo"),
    ("other_data_is_left_alone", ReadsToMatch, "matches.. raised IsADirectoryError"),
    ("keys_are_unique_relative_paths", opening(AbsoluteKeys), "relative to the image folder"),
    ("keys_are_unique_relative_paths", opening(SameKeys), "3 keys, 1 different"),
    ("keys_are_unique_relative_paths", opening(RecordsHaveOtherKeys), "records have other keys"),
    ("sizes_are_those_of_the_images", opening(StatesAnotherSize), "the record says"),
    ("sizes_are_those_of_the_images", opening(ColumnsStateAnotherSize), "the columns say"),
    ("columns_are_those_of_the_records", opening(ColumnsLackBoxes), "boxes_xywh_px of ground_truth"),
    ("classes_are_contiguous", opening(FewClasses), "without gaps"),
    ("classes_are_contiguous", opening(DoubleClasses), "an entry twice"),
    ("splits_are_listed", TakesAnySplit, "was opened"),
    ("splits_are_listed", ListsNoSplit, "does not list 'val'"),
    ("opening_twice_gives_the_same", opening(FingerprintOfTheObject), "another fingerprint"),
    ("a_limit_takes_the_first_images", opening(IgnoresTheLimit), r"ground_truth\(0\) has other images"),
    ("a_limit_takes_the_first_images", opening(LimitsImagesAlone), r"has other annotations"),
    ("reading_writes_nothing", opening(KeepsACache), "labels.cache"),
]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    from anydet.data.scenes.shape_scenes import SyntheticDataset, write_coco_shapes

    folder = tmp_path_factory.mktemp("example") / "scenes"
    write_coco_shapes(SyntheticDataset(3, image_wh=(96, 72)), folder)
    return folder


@pytest.fixture
def subject(example, tmp_path):
    return lambda known: DatasetSubject("mine", known, Plugins([]), example, folder=tmp_path)


class Layout(Format):
    """Leaves the layout that it shares with COCO to itself."""

    def __init__(self, example):
        self.example = example

    def matches(self, path):
        return path == self.example


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_format_passes(check, subject, example):
    CHECKS[check](subject(Layout(example)))


def test_every_check_has_a_bad_format():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_format(check, bad, message, subject):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](subject(bad()))


def test_a_format_without_an_example_is_skipped_with_what_to_give(tmp_path):
    with pytest.raises(NotApplicable, match="give a data set of it"):
        DatasetSubject("mine", Format(), Plugins([]), folder=tmp_path).path()


def test_examples_of_the_kit_have_images_with_and_without_many_objects(tmp_path):
    subject = DatasetSubject.installed(Plugins([]), "coco", tmp_path)
    counts = np.bincount(subject.open().ground_truth().image_index, minlength=3)
    assert len(set(counts.tolist())) > 1
