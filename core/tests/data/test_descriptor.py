from __future__ import annotations

import re

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError

BOX = "0 0.5 0.5 0.5 0.5"


def yaml_of(**keys):
    return "\n".join(f"{key}: {value}" for key, value in keys.items())


@pytest.mark.parametrize("path", ["file", "folder"])
def test_a_data_yaml_names_folders_of_images(paint, put, tmp_path, path):
    paint("train/images/a.jpg")
    paint("valid/images/sub/b.jpg")
    put("valid/labels/sub/b.txt", BOX)
    file = put("data.yaml", yaml_of(train="train/images", val="valid/images", nc=1, names="[cat]"))
    dataset = open_dataset(file if path == "file" else tmp_path)
    assert (dataset.split, dataset.note) == ("val", "split val (of train, val)")
    assert dataset.keys == ("sub/b.jpg",)
    assert dataset.classes.names == ("cat",)
    assert len(dataset.ground_truth()) == 1
    assert dataset.source == "label files of data.yaml (val: valid/images)"
    assert len(open_dataset(file, "train").ground_truth()) == 0


def test_a_path_is_looked_for_from_the_file(paint, put, tmp_path):
    paint("sets/coco8/images/val/a.jpg")
    put("sets/coco8/labels/val/a.txt", BOX)
    for name, path in (
        ("configs/data.yaml", "../sets/coco8"),
        ("sets/coco8/data.yaml", "coco8"),
        ("x.yaml", tmp_path / "sets/coco8"),
    ):
        assert len(open_dataset(put(name, yaml_of(path=path, val="images/val"))).ground_truth()) == 1
    with pytest.raises(DatasetError, match="path: no folder 'nowhere'"):
        open_dataset(put("y.yaml", yaml_of(path="nowhere", val="images/val")))


def test_roboflows_parent_folders_are_understood(paint, put, tmp_path):
    paint("set/valid/images/a.jpg")
    put("set/valid/labels/a.txt", BOX)
    put("set/data.yaml", yaml_of(val="../valid/images"))
    assert len(open_dataset(tmp_path / "set").ground_truth()) == 1


def test_several_folders_make_one_split(paint, put, tmp_path):
    for folder in ("one", "two"):
        paint(f"images/{folder}/a.jpg")
        put(f"labels/{folder}/a.txt", BOX)
    dataset = open_dataset(put("data.yaml", yaml_of(val="[images/one, images/two]")))
    assert dataset.keys == ("one/a.jpg", "two/a.jpg")
    assert len(dataset.ground_truth()) == 2
    assert dataset[1].image().shape == (20, 40, 3)


def test_a_list_file_names_its_images(paint, put, tmp_path):
    for name in "abc":
        paint(f"images/train/{name}.jpg")
        put(f"labels/train/{name}.txt", BOX)
    put("val.txt", f"./images/train/c.jpg\n\nimages/train/a.jpg\n{tmp_path}/images/train/a.jpg\n")
    dataset = open_dataset(put("data.yaml", yaml_of(val="val.txt")))
    assert dataset.keys == ("a.jpg", "c.jpg")
    assert len(dataset.ground_truth()) == 2
    assert dataset[1].image().shape == (20, 40, 3)


def test_a_list_file_that_leads_outside_is_refused_when_images_are_opened(paint, put, tmp_path):
    paint("secret/images/s.jpg")
    paint("set/images/a.jpg")
    put("set/val.txt", "images/a.jpg\n../secret/images/s.jpg\n")
    dataset = open_dataset(put("set/data.yaml", yaml_of(val="val.txt")))
    index = dataset.keys.index("secret/images/s.jpg")
    with pytest.raises(DatasetError, match="is outside of"):
        dataset[index]
    assert dataset[1 - index].image().shape == (20, 40, 3)


def test_folders_outside_the_root_and_linked_ones_are_the_users_choice(paint, put, tmp_path):
    paint("far/images/val/a.jpg")
    put("far/labels/val/a.txt", BOX)
    put("far/masks/a.png")
    put("far/labels/val/a.json", {"mask_path": "../../masks/a.png"})
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/images/val").symlink_to(tmp_path / "far/images/val")
    put("set/labels/val/a.txt", BOX)
    for place in (tmp_path / "far/images/val", "images/val", f"[images/val, {tmp_path}/far/images]"):
        dataset = open_dataset(put("set/data.yaml", yaml_of(val=place)))
        assert [len(record.labels) for record in dataset] == [1] * len(dataset)
    record = open_dataset(put("set/data.yaml", yaml_of(val=tmp_path / "far/images/val")))[0]
    assert record.image().shape == (20, 40, 3)
    assert record.class_mask.path == (tmp_path / "far/masks/a.png").resolve()


def test_labels_are_beside_images_where_no_folder_is_called_images(paint, put, tmp_path):
    paint("pics/a.jpg")
    put("pics/a.txt", BOX)
    assert len(open_dataset(put("data.yaml", yaml_of(val="pics"))).ground_truth()) == 1


def test_a_data_yaml_that_is_named_is_not_overridden_by_an_annotations_json(paint, put, instances, tmp_path):
    paint("images/val/b.jpg")
    put("labels/val/b.txt", BOX)
    put("annotations/instances_val.json", instances)
    file = put("data.yaml", yaml_of(val="images/val", names="[bird]"))
    with pytest.warns(AnydetWarning) as warned:
        dataset = open_dataset(file)
    assert dataset.source == (
        "label files of data.yaml (val: images/val) (annotations/instances_val.json not used)"
    )
    assert (len(dataset.ground_truth()), dataset.classes.names) == (1, ("bird",))
    assert str(warned[0].message) == (
        f"{file}: taken, with its label files; {tmp_path}/annotations/instances_val.json disagrees with it: "
        "2 classes against 1 of data.yaml (it alone has 'cat', 'dog', data.yaml alone has 'bird'); it has "
        "2 images, the split 1; to use that, name it as the data set"
    )


def test_an_annotations_json_that_agrees_is_no_reason_for_a_warning(paint, put, instances):
    for name in "ab":
        paint(f"images/val/{name}.jpg")
        put(f"labels/val/{name}.txt", BOX)
    put("annotations/instances_val.json", instances)
    put("data.yaml", yaml_of(val="images/val", names="[cat, dog]"))
    file = put("data.yaml", yaml_of(val="images/val", names="[cat, dog]"))
    assert len(open_dataset(file).ground_truth()) == 2
    assert open_dataset(file.parent).source == "annotations/instances_val.json (labels/val not used)"


@pytest.mark.parametrize(
    ("names", "labels", "difference"),
    [
        ("[dog, cat]", "ab", "data.yaml has the 2 classes in another order"),
        ("[cat, dog]", "abc", "3 label files for 2 images"),
        ("[cat, dog]", "b", "1 label file for 2 images"),
        ("[cat, dog, cow]", "ab", "2 classes against 3 of data.yaml (data.yaml alone has 'cow')"),
    ],
)
def test_of_a_folder_the_annotations_json_is_taken_and_a_warning_says_where_labels_disagree(
    paint, put, instances, tmp_path, names, labels, difference
):
    paint("images/val/b.jpg")
    for name in labels:
        put(f"labels/val/{name}.txt", BOX)
    put("annotations/instances_val.json", instances)
    put("data.yaml", yaml_of(val="images/val", names=names))
    with pytest.warns(AnydetWarning, match=f"instances_val.json: taken; .*: {re.escape(difference)}; to use"):
        assert len(open_dataset(tmp_path).ground_truth()) == 3


def test_the_yolo_layout_is_preferred_to_a_data_yaml_in_the_folder(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("labels/val/a.txt", BOX)
    put("data.yaml", yaml_of(path="/nowhere", val="images/val", names="[cat]"))
    dataset = open_dataset(tmp_path)
    assert dataset.source == "labels/val"
    assert dataset.classes.names == ("cat",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("names: [a, b\nval: x", r":2: cannot be read as YAML"),
        ("names: [a]\nval: x\nnames: [b]", r":3: cannot be read as YAML: 'names' occurs twice"),
        ("names: {0: a, 0: b}\nval: x", r":1: cannot be read as YAML: '0' occurs twice"),
        ("val: images\nnc: 3\nnames: [a, b]", r": nc is 3, but names has 2"),
        ("val: images\nnc: many", r": nc: expected a number"),
        ("val: images\nnames: {0: a, 2: b}", r": names: keys are not 0..1: 0, 2"),
        ("val: images\nnames: {a: 0}", r": names: keys are not 0..0: a"),
        ("val: images\nnames: [[a]]", r": names: expected a list of names"),
        ("val: images\nkpt_shape: [17]", r": kpt_shape: expected \[K, 2\] or \[K, 3\]"),
        ("val: images\nkpt_shape: [17, 4]", r": kpt_shape: expected"),
        ("val: {a: b}", r": val: expected a folder"),
        ("val: nowhere", r": val: no folder or .txt list 'nowhere'"),
        ("names: [a]", r": no train, val or test"),
        ("train:\nval:  # nothing\ntest: null", r": no train, val or test"),
        ("- a", r": expected keys"),
        ("val: list.txt", r"list.txt:2: 'a.doc' is not the path of an image"),
        ("val: empty.txt", r"empty.txt: lists no images"),
    ],
)
def test_malformed_yaml_is_named_with_its_key_or_line(put, content, expected):
    put("list.txt", "a.jpg\na.doc")
    put("empty.txt", "\n")
    with pytest.raises(DatasetError, match=expected) as caught:
        open_dataset(put("data.yaml", content))
    assert caught.value.fix


def test_a_data_yaml_lists_its_splits_and_takes_no_image_folder(paint, put, tmp_path):
    paint("images/a.jpg")
    file = put("data.yaml", yaml_of(train="images", test="images"))
    with pytest.raises(DatasetError, match=r"no split 'val' \(there are: test, train\)"):
        open_dataset(file, "val")
    with pytest.raises(DatasetError, match="names its own image folders"):
        open_dataset(file, images=tmp_path)


def describe(put, tmp_path, **keys):
    return put("prepared/dataset.json", {k: str(v) for k, v in keys.items()}).parent


def test_a_dataset_json_may_use_absolute_paths(paint, put, tmp_path):
    paint("coco/val2017/a.jpg")
    put("prepared/labels/val2017/a.txt", BOX)
    put("prepared/labels/val2017/a.json", {"scene": 1})
    root = describe(
        put, tmp_path, images_dir=tmp_path / "coco/val2017", labels_dir="labels/val2017", split="val2017", x=1
    )
    for path in (root, root / "dataset.json"):
        dataset = open_dataset(path)
        assert (dataset.split, dataset.source, dataset.root) == ("val2017", "labels/val2017", path)
        assert len(dataset.ground_truth()) == 1
        assert dataset[0].image().shape == (20, 40, 3)
        assert dataset[0].extra == {"scene": 1}


def test_labels_may_be_elsewhere_with_their_side_files(paint, put, tmp_path):
    paint("coco/images/val/a.jpg")
    put("other/labels/val/a.txt", BOX)
    put("other/masks/a.png")
    put("other/labels/val/a.json", {"mask_path": "../../masks/a.png"})
    root = describe(
        put,
        tmp_path,
        images_dir=tmp_path / "coco/images/val",
        labels_dir=tmp_path / "other/labels/val",
    )
    dataset = open_dataset(root)
    assert dataset.split == "val"
    assert dataset[0].class_mask.path == (tmp_path / "other/masks/a.png").resolve()


def test_annotations_win_over_label_files(paint, put, instances, tmp_path):
    paint("coco/val/b.jpg")
    put("prepared/labels/val/b.txt", BOX)
    file = put("coco/annotations/instances_val.json", instances)
    root = describe(
        put,
        tmp_path,
        images_dir=tmp_path / "coco/val",
        labels_dir="labels/val",
        split="val",
        annotations=file,
    )
    dataset = open_dataset(root)
    assert dataset.source == f"instances_val.json ({root}/labels/val not used)"
    assert len(dataset.ground_truth()) == 3
    assert dataset[0].image().shape == (20, 40, 3)


def test_another_split_is_the_sibling_of_that_name(paint, put, instances, tmp_path):
    for split in ("val", "train", "test"):
        paint(f"coco/{split}/b.jpg")
        put(f"prepared/labels/{split}/b.txt", BOX)
    for split in ("val", "train"):
        put(f"coco/annotations/instances_{split}.json", instances)
    root = describe(
        put,
        tmp_path,
        images_dir=tmp_path / "coco/val",
        labels_dir="labels/val",
        split="val",
        annotations="../coco/annotations/instances_val.json",
    )
    assert open_dataset(root).note == "split val (of test, train, val)"
    train, test = open_dataset(root, "train"), open_dataset(root, "test")
    assert (train.split, train.annotation_files[0].name) == ("train", "instances_train.json")
    assert train.images_dir == tmp_path / "coco/train"
    assert (test.source, len(test.ground_truth())) == ("labels/test", 1)
    with pytest.raises(DatasetError, match=r"no split 'other' \(there are: test, train, val\)"):
        open_dataset(root, "other")


def test_names_come_from_the_descriptor_or_the_folder(paint, put, tmp_path):
    paint("prepared/images/val/a.jpg")
    put("prepared/labels/val/a.txt", BOX)
    put("prepared/classes.txt", "dog")
    keys = {"images_dir": "images/val", "labels_dir": "labels/val"}
    put("prepared/dataset.json", keys)
    assert open_dataset(tmp_path / "prepared").classes.names == ("dog",)
    put("prepared/dataset.json", {**keys, "names": {"0": "cat"}})
    assert open_dataset(tmp_path / "prepared").classes.names == ("cat",)
    put("prepared/dataset.json", {**keys, "classes": ["cow"]})
    assert open_dataset(tmp_path / "prepared").classes.names == ("cow",)


def test_folders_of_all_splits_are_understood(paint, put, tmp_path):
    paint("prepared/images/val/a.jpg")
    put("prepared/labels/val/a.txt", BOX)
    root = describe(put, tmp_path, images_dir="images", labels_dir="labels", split="val")
    assert open_dataset(root).keys == ("a.jpg",)


def test_without_labels_there_is_no_ground_truth(paint, put, tmp_path):
    paint("prepared/pics/a.jpg")
    assert open_dataset(describe(put, tmp_path, images_dir="pics")).source == "none"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot be read as JSON"),
        ({"images_dir": 3}, "images_dir: expected a path, got 3"),
        ({"images_dir": ""}, "images_dir: missing"),
        ({"images_dir": "x", "split": 3}, "split: expected text"),
        ({"images_dir": "x", "names": [["a"]]}, "names: expected a list"),
        ({"images_dir": "x", "names": {"1": "a"}}, r"names: keys are not 0\.\.0"),
        ({"images_dir": "nowhere"}, "nowhere: no such image folder"),
    ],
)
def test_malformed_descriptors_are_named_with_their_key(put, content, expected):
    file = put("dataset.json", content)
    with pytest.raises(DatasetError, match=expected) as caught:
        open_dataset(file.parent)
    assert re.match(re.escape(str(file.parent)), caught.value.problem)


def test_a_coco_file_called_dataset_json_is_still_coco(put, instances):
    assert len(open_dataset(put("dataset.json", instances)).ground_truth()) == 3
