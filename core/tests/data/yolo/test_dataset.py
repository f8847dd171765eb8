from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from anydet.data.coco.dataset import CocoDataset
from anydet.data.dataset.splits import Split
from anydet.data.dataset.subset import FirstImages
from anydet.data.opening import open_dataset
from anydet.data.writing.yolo import write_yolo
from anydet.data.yolo.dataset import YoloDataset, open_layout
from anydet.errors import AnydetWarning, DatasetError, ImageError, SplitError
from anydet.evaluation.dataset_check import check_dataset
from anydet.geometry import boxes


def test_boxes_come_in_pixels_and_missing_label_files_mean_no_objects(paint, put, tmp_path):
    paint("images/val/b.png", (40, 20))
    paint("images/val/a.jpg", (10, 10))
    put("labels/val/b.txt", "2 0.5 0.5 0.5 0.5\n")
    dataset = open_dataset(tmp_path)
    assert (dataset.keys, dataset.note, dataset.source) == (("a.jpg", "b.png"), "split val", "labels/val")
    first, second = dataset
    assert len(first.labels) == 0
    assert second.labels.boxes_xywh_px.tolist() == [[10, 5, 20, 10]]
    truth = dataset.ground_truth()
    assert truth.images == ("a.jpg", "b.png")
    assert truth.sizes_wh.tolist() == [[10, 10], [40, 20]]
    assert truth.image_index.tolist() == [1]
    assert truth.labels.areas.tolist() == [200]
    assert truth.image_ids is None


def test_classes_are_numbered_where_no_file_names_them(paint, put, tmp_path):
    paint("images/val/b.png")
    put("labels/val/b.txt", "2 0.5 0.5 0.5 0.5\n")
    dataset = open_dataset(tmp_path)
    assert dataset.classes is None
    assert dataset.ground_truth().classes.names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "names: [cat, no]\nval: images/val"),
        ("data.yaml", "names:\n  1: no\n  0: cat\nnc: 2\n"),
        ("dataset.yaml", "names: [cat, no]"),
        ("classes.txt", "cat\nno\n\n"),
    ],
)
def test_names_come_from_the_root(paint, put, tmp_path, name, content):
    paint("images/val/b.png")
    put("labels/val/b.txt", "2 0.5 0.5 0.5 0.5\n")
    put(name, content)
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, YoloDataset)
    assert dataset.classes.names == ("cat", "no")
    with pytest.raises(DatasetError, match=r"b\.txt:1: class 2, but the data set names 2 classes"):
        dataset[0]


def test_pose_labels_follow_the_keypoint_shape_of_the_root(paint, put, tmp_path):
    paint("images/val/b.png", (40, 20))
    put("labels/val/b.txt", "0 0.5 0.5 0.5 0.5 0.25 0.5 1")
    put("data.yaml", "kpt_shape: [1, 3]\nnames: [cat]")
    assert open_dataset(tmp_path)[0].labels.keypoints.tolist() == [[[10, 10, 1]]]


def test_flip_idx_is_read_written_and_says_what_swaps_in_the_mirror(paint, put, tmp_path):
    paint("images/val/b.png", (40, 20))
    put("labels/val/b.txt", "0 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 0.5 2 0.5 0.5 2")
    put("data.yaml", "kpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\nnames: [cat]")
    dataset = open_dataset(tmp_path)
    assert dataset.keypoint_pairs == ((0, 1),)
    assert FirstImages(dataset, 1).keypoint_pairs == ((0, 1),)
    write_yolo(dataset, tmp_path / "copy", task="pose")
    assert open_dataset(tmp_path / "copy").names.flip_indices == (1, 0, 2)
    put("data.yaml", "kpt_shape: [3, 3]\nnames: [cat]")
    assert open_dataset(tmp_path).keypoint_pairs == ()


@pytest.mark.parametrize(
    "value", ["[1, 0]", "[1, 2, 0]", "[0, 0, 2]", "[1, 0, x]", "7", "[1, 0, -1]", "{a: 1}"]
)
def test_flip_idx_that_is_no_mirror_is_refused(put, paint, tmp_path, value):
    paint("images/val/b.png", (40, 20))
    put("labels/val/b.txt", "")
    put("data.yaml", f"kpt_shape: [3, 3]\nflip_idx: {value}\nnames: [cat]")
    with pytest.raises(DatasetError, match=r"flip_idx: expected each of 0\.\.2 once, in pairs that swap"):
        open_dataset(tmp_path)


def test_keys_keep_nested_folders_and_hidden_files_are_left_out(paint, put, tmp_path):
    paint("images/val/night/1/b.png")
    paint("images/val/a.jpg")
    paint("images/val/.thumbs/a.jpg")
    paint("images/val/._a.jpg")
    put("images/val/readme.txt")
    put("labels/val/night/1/b.txt", "0 0.5 0.5 0.5 0.5")
    dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.jpg", "night/1/b.png")
    assert len(dataset[1].labels) == 1


def test_a_layout_without_splits(paint, put, tmp_path):
    paint("images/a.jpg")
    paint("images/extra/b.jpg")
    put("labels/extra/b.txt", "0 0.5 0.5 0.5 0.5")
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.note, dataset.source) == ("", "no splits", "labels")
    assert dataset.keys == ("a.jpg", "extra/b.jpg")
    assert len(dataset.ground_truth()) == 1
    with pytest.raises(DatasetError, match=r"no split 'val' \(there are: none\)"):
        open_dataset(tmp_path, "val")


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["train", "train2017", "validation", "valid", "val", "val2017"], "val2017"),
        (["train", "train2017", "validation", "valid", "val"], "val"),
        (["train", "train2017", "validation", "valid"], "valid"),
        (["train", "train2017", "validation"], "validation"),
        (["train", "train2017"], "train2017"),
        (["train", "test"], "train"),
        (["summer"], "summer"),
    ],
)
def test_splits_are_looked_for_in_order(paint, tmp_path, there, chosen):
    (tmp_path / "labels").mkdir()
    for split in there:
        paint(f"images/{split}/a.jpg")
        (tmp_path / "labels" / split).mkdir()
    dataset = open_dataset(tmp_path)
    assert dataset.split == chosen
    assert dataset.note.startswith(f"split {chosen}")
    assert all(split in dataset.note for split in there)


def test_splits_of_unknown_names_must_be_chosen(paint, tmp_path):
    for split in ("summer", "winter"):
        paint(f"images/{split}/a.jpg")
        (tmp_path / "labels" / split).mkdir(parents=True)
    with pytest.raises(
        SplitError, match=r"several splits and none given \(there are: summer, winter\)"
    ) as caught:
        open_dataset(tmp_path)
    assert caught.value.fix == "name the split"
    assert open_dataset(tmp_path, "winter").split == "winter"


def test_a_split_without_label_folder_has_no_labels(paint, put, tmp_path):
    paint("images/test/a.jpg")
    put("labels/train/b.txt")
    dataset = open_dataset(tmp_path, "test")
    assert dataset.source == "none"
    with pytest.raises(DatasetError, match="has no labels"):
        dataset.ground_truth()


def test_a_malformed_label_is_named_when_its_record_is_made_and_not_before(paint, put, tmp_path):
    paint("images/val/a.jpg")
    file = put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5\n0 2 2 2 2")
    dataset = open_dataset(tmp_path)
    for read in (lambda: dataset[0], dataset.ground_truth, lambda: list(dataset)):
        with pytest.raises(DatasetError, match=re.escape(f"{file}:2: center")):
            read()


def test_a_label_file_that_is_no_text_is_refused(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("labels/val/a.txt").write_bytes(b"\xff\xfe0\x00")
    with pytest.raises(DatasetError, match=r"a\.txt: it is UTF-16, where plain UTF-8 belongs"):
        open_dataset(tmp_path)[0]


def test_an_empty_image_folder_is_refused(tmp_path):
    (tmp_path / "images/val").mkdir(parents=True)
    (tmp_path / "labels/val").mkdir(parents=True)
    with pytest.raises(DatasetError, match="holds no images"):
        open_dataset(tmp_path)


def test_a_link_that_the_folder_holds_is_read_and_a_folder_that_is_one_is_refused(paint, tmp_path):
    paint("secret/c.jpg")
    paint("set/images/val/a.jpg")
    (tmp_path / "set/labels/val").mkdir(parents=True)
    (tmp_path / "set/images/val/b.jpg").symlink_to("../../../secret/c.jpg")
    (tmp_path / "set/images/val/sub").symlink_to("../../../secret")
    dataset = open_dataset(tmp_path / "set")
    assert dataset.keys == ("a.jpg", "b.jpg")
    assert dataset[1].image().shape == (20, 40, 3)
    (tmp_path / "set/val.txt").write_text("images/val/a.jpg\nimages/val/sub/c.jpg\n")
    (tmp_path / "set/x.yaml").write_text("val: val.txt\n")
    with pytest.raises(DatasetError, match="is outside of"):
        open_dataset(tmp_path / "set/x.yaml")[1].image()


ODD = [
    ("0 0.5 0.5 0 0.1", "whose box or polygon has no area", "count as missed", [20, 9, 0, 2]),
    ("0 1.25 0.5 0.1 0.1", "outside of 0 to 1", "read as they are", [48, 9, 4, 2]),
    ("0 -0.0011 0.1 0.5 0.1 0.5 0.6", "outside of 0 to 1", "read as they are", [-0.044, 2, 20.044, 10]),
    ("0 0.5 0.5 0.1", "are no numbers or too many", "left out", None),
    ("0 0.5 0.5 0.1 0.1 0.97", "are no numbers or too many", "left out", None),
    ("0 0.5 x 0.1 0.1", "are no numbers or too many", "left out", None),
    ("0 0.5 nan 0.1 0.1", "are no numbers or too many", "left out", None),
]


@pytest.mark.parametrize(("line", "what", "effect", "box"), ODD)
def test_one_odd_line_is_read_or_left_out_alone_with_a_warning(paint, put, tmp_path, line, what, effect, box):
    good = "1 0.5 0.5 0.5 0.5\n"
    for name, lines in (("a", f"{good}{line}\n{good}"), ("b", good * 2), ("c", "")):
        paint(f"images/val/{name}.jpg")
        put(f"labels/val/{name}.txt", lines)
    dataset = open_dataset(tmp_path)
    named = re.escape(f"{tmp_path}/labels/val/a.txt:2")
    with pytest.warns(AnydetWarning, match=f"{what}.*: 1 \\(the first: {named}: .*\\); .*{effect}"):
        labels = dataset[0].labels
    assert labels.class_ids.tolist() == ([1, 0, 1] if box else [1, 1])
    if box:
        np.testing.assert_allclose(labels.boxes_xywh_px[1], box, atol=1e-9)
    assert len(dataset.ground_truth()) == 4 + (box is not None)
    assert [one.count for one in dataset.oddities] == [1]
    check = check_dataset(tmp_path)
    assert (check.ok, check.images, check.annotations) == (False, 3, 4 + (box is not None))


def test_where_most_lines_are_odd_the_first_is_refused(paint, put, tmp_path):
    for name in "ab":
        paint(f"images/val/{name}.jpg")
        put(f"labels/val/{name}.txt", "0 120 80 30 20\n0 0.5 0.5 0.1 0.1\n0 9 9 9 9\n")
    with pytest.raises(DatasetError, match=r"a\.txt:1: center \(120, 80\) is outside"):
        open_dataset(tmp_path).ground_truth()


def test_a_class_that_is_none_is_refused_however_rare(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("labels/val/a.txt", "0 0.5 0.5 0.1 0.1\n" * 9 + "2 0.5 0.5 0.1 0.1\n")
    put("classes.txt", "cat\ndog\n")
    with pytest.raises(DatasetError, match=r"a\.txt:10: class 2, but the data set names 2 classes"):
        open_dataset(tmp_path).ground_truth()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_label_files_that_are_not_utf8_say_what_they_are(paint, tmp_path, encoding):
    paint("images/val/a.jpg")
    (tmp_path / "labels/val").mkdir(parents=True)
    text = "0 0.5 0.5 0.1 0.1\n" + "\xe9" * (encoding == "latin-1")
    (tmp_path / "labels/val/a.txt").write_bytes(text.encode(encoding))
    name = {"latin-1": "perhaps latin-1"}.get(encoding, encoding.upper()[:6])
    with pytest.raises(DatasetError, match=f"a.txt: .*{name}") as caught:
        open_dataset(tmp_path).ground_truth()
    assert "save it as UTF-8" in caught.value.fix


def test_an_unreadable_image_names_itself(paint, put, tmp_path):
    paint("images/val/a.jpg").write_bytes(b"no image")
    put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        open_dataset(tmp_path)[0]


def test_boxes_of_a_rotated_photo_are_those_of_its_upright_view(put, tmp_path):
    (tmp_path / "images/val").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "images/val/a.jpg", exif=exif)
    put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5")
    record = open_dataset(tmp_path)[0]
    assert record.image().shape == (40, 20, 3)
    assert record.size_wh == (20, 40)
    assert record.labels.boxes_xywh_px.tolist() == [[5, 10, 10, 20]]


def test_max_images_reads_no_further(paint, put, tmp_path):
    paint("images/val/a.jpg")
    paint("images/val/b.jpg").write_bytes(b"no image")
    put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5")
    truth = open_dataset(tmp_path).ground_truth(1)
    assert (truth.images, len(truth)) == (("a.jpg",), 1)


def test_the_fingerprint_changes_with_a_label_a_sidecar_and_a_key(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("labels/val/x.txt")
    seen = {open_dataset(tmp_path).fingerprint()}
    for change in (
        lambda: put("labels/val/a.txt", ""),
        lambda: put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5"),
        lambda: put("labels/val/a.txt", "1 0.5 0.5 0.5 0.5"),
        lambda: put("labels/val/a.json", {"scene": 1}),
        lambda: paint("images/val/b.jpg"),
    ):
        change()
        assert open_dataset(tmp_path).fingerprint() == open_dataset(tmp_path).fingerprint()
        seen.add(open_dataset(tmp_path).fingerprint())
    assert len(seen) == 6


def test_data_sets_and_records_are_picklable(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5")
    dataset = pickle.loads(pickle.dumps(open_dataset(tmp_path)))
    record = pickle.loads(pickle.dumps(dataset[0]))
    assert record.image().shape == (20, 40, 3)
    assert len(record.labels) == 1


def test_keys_open_no_file(paint, put, tmp_path):
    paint("images/val/a.jpg").write_bytes(b"no image")
    put("labels/val/a.txt", "not a label")
    assert open_dataset(tmp_path).keys == ("a.jpg",)


def test_real_label_files_agree_with_the_real_json(coco128):
    truth = open_dataset(coco128)
    labeled = open_layout(coco128, Split("train2017", ""))
    assert isinstance(truth, CocoDataset)
    assert isinstance(labeled, YoloDataset)
    assert truth.keys == labeled.keys
    assert len(labeled.ground_truth()) == 929
    for ours, theirs in zip(labeled, truth, strict=True):
        kept = theirs.labels.take(~theirs.labels.iscrowd)
        assert len(kept) == len(ours.labels)
        if not len(kept):
            continue
        iou = boxes.iou_xyxy(
            boxes.xywh_to_xyxy(ours.labels.boxes_xywh_px), boxes.xywh_to_xyxy(kept.boxes_xywh_px)
        )
        iou[ours.labels.class_ids[:, None] != kept.class_ids[None, :]] = -1
        match = iou.argmax(axis=1)
        assert sorted(match) == list(range(len(kept)))
        found = kept.boxes_xywh_px[match]
        np.testing.assert_allclose(ours.labels.boxes_xywh_px, found, atol=2e-3)
