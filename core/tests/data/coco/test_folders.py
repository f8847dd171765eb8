from __future__ import annotations

import warnings

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError


def document(*names: str, **image) -> dict:
    return {
        "images": [{"id": i, "file_name": name, "width": 40, "height": 20, **image}
                   for i, name in enumerate(names, 1)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 3, "name": "dog"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "image", "key", "split"),
    [
        ("valid/_annotations.coco.json", "valid/a.jpg", "a.jpg", "valid"),  # Roboflow
        ("_annotations.coco.json", "a.jpg", "a.jpg", ""),
        ("annotations/val.json", "val/a.jpg", "a.jpg", "val"),  # MMDetection
        ("annotations/val.json", "images/a.jpg", "a.jpg", "val"),
        ("annotations/custom.json", "images/a.jpg", "a.jpg", ""),
        ("train/annotation_coco.json", "train/a.jpg", "a.jpg", "train"),
        ("annotations/person_keypoints_val2017.json", "val2017/a.jpg", "a.jpg", "val2017"),
        ("annotations/lvis_v1_val.json", "val2017/a.jpg", "val2017/a.jpg", "val"),
        ("lvis_v1_val.json", "val2017/a.jpg", "val2017/a.jpg", "val"),
        ("result.json", "images/a.jpg", "images/a.jpg", ""),  # Label Studio
        ("labels.json", "data/a.jpg", "a.jpg", ""),  # FiftyOne
        ("instances_val.json", "val/a.jpg", "a.jpg", "val"),
    ],
)
def test_layouts_that_tools_write(put, paint, tmp_path, file, image, key, split):
    paint(image)
    put(file, document(key))
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.keys) == (split, (key,))
    assert dataset.ground_truth().labels.boxes_xywh_px.tolist() == [[1, 2, 3, 4]]
    assert dataset[0].image().shape == (20, 40, 3)
    assert dataset.classes.source_ids == (3,)


def test_splits_are_the_folders_of_roboflow(put, paint, tmp_path):
    for split in ("train", "valid", "test"):
        paint(f"{split}/{split}.jpg")
        put(f"{split}/_annotations.coco.json", document(f"{split}.jpg"))
    assert open_dataset(tmp_path).note == "split valid (of test, train, valid)"
    assert open_dataset(tmp_path, "test").keys == ("test.jpg",)
    assert open_dataset(tmp_path / "train").keys == ("train.jpg",)
    with pytest.raises(DatasetError, match=r"no split 'vald'.*did you mean 'valid'"):
        open_dataset(tmp_path, "vald")


@pytest.mark.parametrize("content", [[], {"images": []}, "{", {"images": 1, "annotations": 2}])
def test_other_json_beside_images_is_no_annotations_file(put, paint, tmp_path, content):
    paint("a.jpg")
    put("config.json", content)
    # What looks like labels is named; it is not read as COCO.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnydetWarning)
        assert type(open_dataset(tmp_path)).__name__ == "FolderDataset"


def test_a_broken_annotations_file_is_reported(put, paint, tmp_path):
    paint("a.jpg")
    put("config.json", document("a.jpg") | {"annotations": "none"})
    with pytest.raises(DatasetError, match="annotations"):
        open_dataset(tmp_path)
    put("config.json", document("a.jpg") | {"categories": []})
    with pytest.warns(AnydetWarning, match="in a file without categories: 1"):
        assert open_dataset(tmp_path).classes.names == ("3",)


def test_a_document_with_scores_is_predictions(put, paint, tmp_path):
    paint("a.jpg")
    scored = document("a.jpg")
    scored["annotations"][0]["score"] = 0.5
    put("predictions.json", scored)
    with pytest.warns(AnydetWarning, match="JSON files that look like labels"):
        assert type(open_dataset(tmp_path)).__name__ == "FolderDataset"


def test_images_of_lvis_are_named_by_their_address(put, paint, tmp_path):
    paint("val2017/000000000042.jpg")
    lvis = document("x")
    del lvis["images"][0]["file_name"]
    lvis["images"][0]["coco_url"] = "http://images.cocodataset.org/val2017/000000000042.jpg"
    put("lvis_v1_val.json", lvis)
    for path in (tmp_path, tmp_path / "lvis_v1_val.json"):
        dataset = open_dataset(path)
        assert dataset.keys == ("val2017/000000000042.jpg",)
        assert dataset[0].image().shape == (20, 40, 3)


def test_two_forms_of_labels_in_one_folder_are_refused_with_what_to_name(put, paint, tmp_path):
    paint("a.jpg")
    put("_annotations.coco.json", document("a.jpg"))
    put("a.xml", "<annotation><filename>a.jpg</filename></annotation>")
    put("Annotations/a.xml", "<annotation><filename>a.jpg</filename></annotation>")
    with pytest.raises(DatasetError, match="holds labels in several forms: voc, coco-folder") as caught:
        open_dataset(tmp_path)
    assert f"{tmp_path / 'Annotations'} (voc) or {tmp_path / '_annotations.coco.json'}" in caught.value.fix
    assert len(open_dataset(tmp_path / "_annotations.coco.json").ground_truth()) == 1
    assert len(open_dataset(tmp_path / "Annotations").ground_truth()) == 0


@pytest.mark.parametrize(
    "name",
    [
        "..\\..\\label-studio\\media\\upload\\4\\my cat é.jpg",
        "/srv/x/data/images/my cat é.jpg",
        "C:\\data\\my cat é.jpg",
        "images/my%20cat%20%C3%A9.jpg",
        "https://example.org/data/my%20cat%20%C3%A9.jpg?token=1",
        "/data/local-files/?d=pets/my cat é.jpg",
        "/data/upload/4/0a1b2c3d-my%20cat%20%C3%A9.jpg",
        "s3://bucket/my cat é.jpg",
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_name_that_a_tool_wrote_is_resolved_by_its_tail(put, paint, tmp_path, name, named):
    paint("images/pets/my cat é.jpg")
    paint("images/dog.jpg")
    file = put("result.json", document(name, "dog.jpg" if named else "images/dog.jpg"))
    dataset = open_dataset(file, images=tmp_path / "images" if named else None)
    assert dataset.keys[0] == "pets/my cat é.jpg"
    assert dataset[0].image().shape == (20, 40, 3)
    assert dataset[0].size_wh == (40, 20)


def test_a_plain_name_below_another_folder_is_resolved_where_the_folder_is_named(put, paint, tmp_path):
    paint("photos/a.jpg")
    file = put("result.json", document("images/a.jpg", "images/gone.jpg"))
    dataset = open_dataset(file, images=tmp_path / "photos")
    assert dataset.keys == ("a.jpg", "images/gone.jpg")
    # The fingerprint is that of what the file says, wherever images are.
    assert dataset.fingerprint() == open_dataset(file).fingerprint()


def test_the_longest_equal_end_decides_and_what_stays_ambiguous_is_not_guessed(put, paint, tmp_path):
    paint("images/a/1.jpg")
    paint("images/b/1.jpg")
    file = put("result.json", document("/x/b/1.jpg", "/x/c/1.jpg", "/y/b/1.jpg"))
    with pytest.warns(AnydetWarning, match="3 file names may be several files"):
        dataset = open_dataset(file, images=tmp_path / "images")
    assert dataset.keys == ("/x/b/1.jpg", "/x/c/1.jpg", "/y/b/1.jpg")
    file = put("result.json", document("/x/b/1.jpg", "/x/c/1.jpg"))
    with pytest.warns(AnydetWarning, match="1 file name may be several files"):
        dataset = open_dataset(file, images=tmp_path / "images")
    assert dataset.keys == ("b/1.jpg", "/x/c/1.jpg")
    with pytest.raises(DatasetError, match="outside of the data set's folder"):
        dataset[1].image()
