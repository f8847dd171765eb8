"""A label file is the image's whatever the case of its name, or it is named: none is lost without a word."""

from __future__ import annotations

import sys

import pytest

from anydet.data.opening import open_dataset
from anydet.data.writing.repair import repair_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.evaluation.dataset_check import check_dataset

LINE = "0 0.5 0.5 0.5 0.5\n"
pytestmark = pytest.mark.skipif(
    sys.platform in {"win32", "darwin"}, reason="file names that differ in case alone are one file"
)


@pytest.fixture
def labeled(paint, put, tmp_path):
    """Images ``images/val/...`` and label files ``labels/val/...``, the first with one line, and so on."""

    def write(images: str, labels: str):
        for name in images.split():
            paint(f"images/val/{name}")
        for count, name in enumerate(labels.split(), 1):
            put(f"labels/val/{name}", LINE * count)
        put("data.yaml", "val: images/val\nnames: [cat]\n")
        return tmp_path

    return write


def objects(dataset) -> dict[str, int]:
    truth = dataset.ground_truth()
    counts = dict.fromkeys(truth.images, 0)
    for index in truth.image_index:
        counts[truth.images[index]] += 1
    return counts


@pytest.mark.parametrize("label", ["A.TXT", "A.Txt"])
def test_a_suffix_in_any_case_is_read_without_a_word(labeled, label):
    root = labeled("A.JPG b.jpg", f"{label} b.txt")
    dataset = open_dataset(root)
    assert objects(dataset) == {"A.JPG": 1, "b.jpg": 2}
    assert (dataset.oddities, dataset.lost_label_files()) == ((), [])


def test_a_stem_in_another_case_is_read_with_a_warning(labeled):
    root = labeled("A.jpg ÄB.jpg c.jpg", "a.txt äb.TXT c.txt")
    dataset = open_dataset(root)
    said = r"in upper and lower case: 2 \(the first: .*a\.txt\); read as the image's"
    with pytest.warns(AnydetWarning, match=said):
        assert objects(dataset) == {"A.jpg": 1, "c.jpg": 3, "ÄB.jpg": 2}
    assert [one.check for one in check_dataset(root).findings if one.severity == "broken"] == [
        "case of label files"
    ]
    with pytest.warns(AnydetWarning), pytest.raises(DatasetError, match="in upper and lower case: 2"):
        open_dataset(root, refuse_odd=True)


@pytest.mark.parametrize(
    ("images", "labels", "counts", "unclear"),
    [
        ("Ab.jpg aB.jpg", "ab.txt", {"Ab.jpg": 0, "aB.jpg": 0}, 1),
        ("ab.jpg", "Ab.txt aB.txt", {"ab.jpg": 0}, 2),
        ("a.jpg", "a.TXT a.Txt", {"a.jpg": 0}, 2),
        ("A.jpg a.jpg", "a.txt a.TXT", {"A.jpg": 0, "a.jpg": 1}, 1),
    ],
)
def test_where_several_fit_none_is_taken_and_they_are_counted(labeled, images, labels, counts, unclear):
    root = labeled(images, labels)
    dataset = open_dataset(root)
    with pytest.warns(AnydetWarning, match=f"not the only fit: {unclear} .*; not read"):
        assert objects(dataset) == counts
    assert dataset.lost_label_files() == []


def test_a_file_of_another_image_stays_its_own(labeled):
    dataset = open_dataset(labeled("A.jpg a.jpg", "a.txt"))
    assert objects(dataset) == {"A.jpg": 0, "a.jpg": 1}
    assert dataset.oddities == ()


def test_a_repaired_copy_names_label_files_like_their_images(labeled, tmp_path):
    root = labeled("A.jpg", "a.TXT")
    with pytest.warns(AnydetWarning):
        done = repair_dataset(root, None, tmp_path / "mended")
    assert [line.partition("; ")[2] for line in done.repairs] == ["named like their image"]
    assert (tmp_path / "mended/labels/val/A.txt").read_text("utf-8") == LINE


def test_label_files_beside_images_may_end_in_capitals(paint, put, tmp_path):
    paint("A.JPG")
    put("A.TXT", LINE)
    put("classes.txt", "cat\n")
    assert objects(open_dataset(tmp_path)) == {"A.JPG": 1}
