"""Names that another machine or tool wrote lead to the files that are meant, with a count."""

from __future__ import annotations

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.evaluation.dataset_check import check_dataset

LINE = "0 0.5 0.5 0.5 0.5\n"


@pytest.mark.parametrize("base", ["/srv/other/set", "C:\\other\\set", "/content/drive/MyDrive/x"])
def test_a_list_of_another_machine_is_found_by_how_its_paths_end(paint, put, base):
    for name in ("train/a", "val/a", "val/b"):
        paint(f"images/{name}.jpg")
        put(f"labels/{name}.txt", LINE)
    put("val.txt", f"{base}/images/val/a.jpg\n{base}/images/val/b.jpg\n")
    file = put("data.yaml", "val: val.txt\nnames: [cat]\n")
    with pytest.warns(AnydetWarning, match=r"found by how their paths end: 2 .*'images/val/a\.jpg'"):
        dataset = open_dataset(file)
    assert (dataset.keys, len(dataset.ground_truth())) == (("a.jpg", "b.jpg"), 2)


def test_an_image_that_a_list_names_below_the_data_set_is_taken_from_no_other_folder(paint, put, tmp_path):
    paint("images/train/a.jpg")
    paint("images/val/b.jpg")
    put("lists/val.txt", f"../images/val/a.jpg\n{tmp_path}/images/val/b.jpg\n")
    dataset = open_dataset(put("data.yaml", "val: lists/val.txt\nnames: [cat]\n"))
    assert dataset.keys == ("a.jpg", "b.jpg")
    assert dataset.images_dir == tmp_path / "images/val"


def test_a_path_of_another_machine_is_the_files_folder_where_the_images_are_there(paint, put):
    paint("images/val/a.jpg")
    put("labels/val/a.txt", LINE)
    text = "path: {}\ntrain: images/train\nval: {}\nnames: [cat]\n"
    with pytest.warns(AnydetWarning, match="no folder '/content/drive/x'; its own folder is taken"):
        dataset = open_dataset(put("data.yaml", text.format("/content/drive/x", "images/val")))
    assert len(dataset.ground_truth()) == 1
    for path, place in (("/content/drive/x", "images/other"), ("drive/x", "images/val")):
        with pytest.raises(DatasetError, match="path: no folder"):
            open_dataset(put("data.yaml", text.format(path, place)))


def test_a_list_of_pascal_voc_may_name_image_files(paint, put, tmp_path):
    edges = "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
    boxes = f"<object><name>cat</name><bndbox>{edges}</bndbox></object>"
    for name in ("img0", "img1", "img2"):
        paint(f"JPEGImages/{name}.jpg")
        put(f"Annotations/{name}.xml", f"<annotation><filename>{name}.jpg</filename>{boxes}</annotation>")
    put("ImageSets/Main/val.txt", "img0.jpg\nimg2\n")
    with pytest.warns(AnydetWarning, match=r"suffix of an image file: 1 \(the first: .*img0\.jpg\)"):
        dataset = open_dataset(tmp_path)
    assert dataset.keys == ("img0.jpg", "img2.jpg")


def test_coco_without_images_is_broken(put):
    file = put("instances.json", {"images": [], "annotations": [], "categories": []})
    assert [one.check for one in check_dataset(file).findings if one.severity == "broken"] == ["no images"]


def test_hidden_images_are_counted_and_said_to_be_hidden(paint, put):
    for name in ("a", ".h", "._a"):
        paint(f"images/val/{name}.jpg")
        put(f"labels/val/{name}.txt", LINE)
    (put("labels/val/._a.txt")).unlink()
    found = check_dataset(put("data.yaml", "val: images/val\nnames: [cat]\n"))
    said = {one.check: (one.count, one.examples) for one in found.findings}
    assert said["hidden images"] == (1, (".h.jpg",))
    assert "labels without image" not in said


def test_the_advice_of_a_folder_leads_to_its_labels(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("label/val/a.txt", LINE)
    put("data.yaml", "val: images/val\nnames: [cat]\n")
    fixes = {one.problem.partition(":")[0]: one.fix for one in check_dataset(tmp_path).findings}
    (fix,) = (fix for problem, fix in fixes.items() if problem.startswith("YAML files"))
    assert fix.startswith("put the text files where it looks for labels")
    (tmp_path / "label").rename(tmp_path / "labels")
    assert len(open_dataset(tmp_path / "data.yaml").ground_truth()) == 1
