from __future__ import annotations

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError

LINE = "1 0.5 0.5 0.25 0.5\n"


def boxes(dataset):
    truth = dataset.ground_truth()
    names = [truth.classes.names[i] for i in truth.labels.class_ids]
    return list(zip(names, truth.labels.boxes_xywh_px.tolist(), strict=True))


DOG = ("dog", [15, 5, 10, 10])


@pytest.mark.parametrize("names", ["classes.txt", "obj.names", "_darknet.labels"])
@pytest.mark.parametrize("folder", ["", "valid/", "images/"])
def test_label_files_beside_their_images_are_read(put, paint, tmp_path, names, folder):
    paint(f"{folder}a.jpg")
    paint(f"{folder}b.jpg")
    put(f"{folder}a.txt", LINE)
    put(f"{folder}{names}", "cat\ndog\n")
    dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.jpg", "b.jpg")
    assert dataset.split == folder.rstrip("/").replace("images", "")
    assert boxes(dataset) == [DOG]
    assert dataset.classes.names == ("cat", "dog")
    assert dataset[0].image().shape == (20, 40, 3)
    assert open_dataset(tmp_path / folder / names).keys == dataset.keys


def test_without_names_classes_are_numbers(put, paint, tmp_path):
    paint("a.jpg")
    put("a.txt", LINE)
    assert boxes(open_dataset(tmp_path)) == [("1", DOG[1])]


@pytest.mark.parametrize("text", ["a photo of a dog\n", "1 2\n", "", "-1 0.5 0.5 0.1 0.1\n"])
def test_other_text_beside_images_is_no_label_file(put, paint, tmp_path, text):
    paint("a.jpg")
    put("a.txt", text)
    with pytest.warns(AnydetWarning, match="text files named like the images"):
        assert type(open_dataset(tmp_path)).__name__ == "FolderDataset"


@pytest.mark.parametrize("prefix", ["", "data/", "/srv/x/darknet/data/"])
def test_obj_data_names_lists_and_classes_from_the_folder_of_darknet(put, paint, tmp_path, prefix):
    for name in ("a", "b"):
        paint(f"obj_train_data/{name}.jpg")
        put(f"obj_train_data/{name}.txt", LINE)
    put("obj.names", "cat\ndog\n")
    put("train.txt", f"{prefix}obj_train_data/a.jpg\n{prefix}obj_train_data/b.jpg\n")
    put("valid.txt", f"{prefix}obj_train_data/b.jpg\n")
    lists = f"train = {prefix}train.txt\nvalid={prefix}valid.txt\n"
    put("obj.data", f"classes = 2\n{lists}names = {prefix}obj.names\nbackup = backup/\n")
    for path in (tmp_path, tmp_path / "obj.data"):
        valid, train = open_dataset(path), open_dataset(path, "train")
        assert (valid.keys, train.keys) == (("b.jpg",), ("a.jpg", "b.jpg"))
        assert valid.note == "split valid (of train, valid)"
        assert boxes(train) == [DOG, DOG]
        assert train[1].image().shape == (20, 40, 3)


def test_a_list_that_is_not_there_is_named(put, tmp_path):
    put("obj.data", "train = data/train.txt\n")
    with pytest.raises(DatasetError, match=r"train: no file 'data/train\.txt' below"):
        open_dataset(tmp_path)


def test_a_malformed_line_is_named(put, paint, tmp_path):
    paint("a.jpg")
    file = put("a.txt", LINE + "0 nan 0.5 0.1 0.1\n")
    with pytest.raises(DatasetError, match=f"{file}:2: 'nan' is not a finite number"):
        open_dataset(tmp_path).ground_truth()


def test_an_image_that_a_list_names_outside_of_the_folder_is_refused(put, paint, tmp_path):
    paint("secret.jpg")
    put("set/train.txt", "../secret.jpg\n")
    put("set/obj.data", "train = train.txt\n")
    with pytest.raises(DatasetError, match="is outside of the data set's folder"):
        open_dataset(tmp_path / "set").ground_truth()
