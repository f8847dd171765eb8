"""A folder of images with files that look like labels is never a folder of bare images without a word."""

from __future__ import annotations

import re

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError, EvaluationError
from anydet.evaluation.dataset_check import check_dataset
from anydet.evaluation.reading import read_inputs


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("Annotations/x.xml", "", "XML files"),
        ("notes/x.xml", "<?xml version='1.0'?>\n<annotation_of_ours>", "XML files"),
        ("deep/a.txt", "", "text files named like the images"),
        ("_annotations.coco.json", "{}", "JSON files"),
        ("result.json", '{"info": {}, "images": []}', "JSON files"),
        ("annotations/other.json", "{}", "JSON files"),
        ("x/a.json", '{"shapes": []}', "JSON files of Labelme"),
        ("config.yaml", "path: .\nval: images\n", "YAML files"),
        ("labels.csv", "", "tables"),
        ("boxes.csv", "file,xmin,ymin\n", "tables"),
        ("train.txt", "x.jpg 1,2,3,4,0\n", "tables"),
        ("face_train_bbx_gt.txt", "0--Parade/x.jpg\n1\n449 330 122 149 0 0 0\n", "boxes of WIDER FACE"),
        ("train.csv", "img,EncodedPixels\n", "tables"),
        ("project-1.csv", 'image,label\na.jpg,"[{""rectanglelabels"": []}]"\n', "tables"),
        ("metadata.csv", "file_name,caption\n", "tables"),
        ("gt/gt.txt", "1,1,5,5,10,10,1,1,1\n", "ground truth of MOTChallenge"),
        ("label_2/a.txt", "Car 0.00 0 -1.58 5.0 5.0 15.0 15.0 1.5 1.6 3.9 1.8 1.4 8.4 -1.56\n",
         "label files of KITTI"),
        ("x/_annotations.createml.json", '[{"image": "a.jpg", "annotations": [{"coordinates": {"x": 5}}]}]',
         "JSON files of Create ML"),
        ("gtFine/val/b_gtFine_polygons.json", '{"objects": []}', "polygons of Cityscapes"),
        ("a.jpg___objects.json", "[]", "JSON files that look like labels"),
        ("gt_a.txt", "5,5,15,5,15,15,5,15,x\n", "text files"),
        ("x/a_gt.txt", "5,5,15,5,15,15,5,15,x\n", "text files"),
        ("val.odgt", '{"ID": "a", "gtboxes": []}', "JSON Lines"),
        ("data/train-00000-of-00001-1f2e.parquet", "", "files of a format that is not read"),
        ("_annotations.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "tables"),
        ("_classes.csv", "filename, cat, dog\n", "tables of the classes of whole images"),
        ("metadata.jsonl", '{"file_name": "a.jpg", "text": "a dog"}', "JSON Lines"),
        ("via_region_data.json", '{"a.jpg1": {"filename": "a.jpg"}, "_via_x": 1}', "files of the VGG Image"),
        ("via.json", '{"a.jpg1": {"regions": [{"shape_attributes": {}}]}}', "files of the VGG Image"),
        ("via_export_csv.csv", "#filename,region_shape_attributes\n", "files of the VGG Image Annotator"),
        ("train.tfrecord", "", "files of a format that is not read"),
        ("x/train.record-00000-of-00002", "", "files of a format that is not read"),
        ("data/train-00000-of-00001.parquet", "", "files of a format that is not read"),
    ],
)  # fmt: skip
def test_files_that_look_like_labels_are_named_wherever_the_folder_is_opened(
    paint, put, tmp_path, name, content, what
):
    paint("a.jpg")
    put(name, content)
    with pytest.warns(
        AnydetWarning, match=f"{what}.*: 1 \\(the first: {name}\\); .*the images are read without"
    ):
        dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.jpg",)
    with pytest.raises(DatasetError, match=f"the first: {name}") as caught:
        dataset.ground_truth()
    assert re.match("give the f|write |if they are YOLO labels|export ", caught.value.fix)
    with pytest.raises(EvaluationError, match=f"no annotations to evaluate against\n.*{name}"):
        read_inputs(dataset, "x.json")
    check = check_dataset(tmp_path)
    assert not check.ok
    assert check.findings[0].check == "labels that are not read"


@pytest.mark.parametrize(
    "name",
    [
        "README.txt", "_classes.csv", "notes.json", "predictions.json", "predictions.jsonl",
        "predictions.parquet", "LICENSE", "settings.yaml", ".a.txt", ".x/a.xml",
    ],
)  # fmt: skip
def test_other_files_are_no_labels(paint, put, tmp_path, name):
    paint("a.jpg")
    put(name, '[{"image": "a.jpg", "detections": []}]' if name.endswith("json") else "pixel value: x")
    assert open_dataset(tmp_path).oddities == ()
    assert check_dataset(tmp_path).ok


@pytest.mark.parametrize(
    "name",
    [
        "masks/a.png",
        "a_mask.png",
        "x/SegmentationClass/a.png",
        "seg_masks/a_mask.png",
        "a.jpg_gt.png",
        "train_masks/a_mask.png",
        "train_masks/a.jpg",
        "masks_machine/a.png",
        "trainannot/a.png",
    ],
)
def test_masks_are_no_photographs(paint, tmp_path, name):
    paint("a.jpg")
    paint(name)
    with pytest.warns(AnydetWarning, match=f"masks of the images: 1 \\(the first: {name}"):
        assert open_dataset(tmp_path).keys == ("a.jpg",)


@pytest.mark.parametrize("name", ["train_masks/a_mask.gif", "train_masks/a.png", "SegmentationClass/a.png"])
def test_masks_beside_the_folder_of_a_split_are_named(paint, tmp_path, name):
    paint("train/a.jpg")
    paint(name)
    with pytest.warns(AnydetWarning, match=f"masks of the images: 1 \\(the first: {name}"):
        assert open_dataset(tmp_path).keys == ("a.jpg",)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["VOCdevkit/VOC2007/JPEGImages/a.jpg", "VOCdevkit/VOC2007/Annotations/a.xml"], "VOCdevkit"),
        (["datasets/x/images/train/a.jpg", "datasets/x/labels/train/a.txt"], "datasets/x"),
        (["train/images/a.jpg", "train/labels/a.txt"], "train"),
        (["x/train/a.jpg", "x/train/_annotations.coco.json"], "x"),
        (["x/val/a.jpg", "x/annotations/instances_val.json"], "x"),
    ],
)
def test_above_a_data_set_the_advice_is_its_folder(paint, put, instances, tmp_path, files, named):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    image, labels = files
    paint(image)
    put(
        labels,
        {"l": f"<annotation><object><name>dog</name>{box}</object></annotation>", "t": ""}.get(
            labels[-1], instances
        ),
    )
    with pytest.warns(
        AnydetWarning, match=f"data sets in folders below: 1 \\(the first: {named}\\)"
    ) as warned:
        dataset = open_dataset(tmp_path)
    assert len(warned) == 1
    with pytest.raises(DatasetError, match="no labels") as caught:
        dataset.ground_truth()
    assert caught.value.fix == f"name the folder of one as the data set: {tmp_path / named}"
    assert open_dataset(tmp_path / named).source != "none"


def test_a_folder_without_images_names_the_data_sets_below_and_labels_nobody_reads(put, instances, tmp_path):
    put("x/train.tfrecord")
    with pytest.raises(DatasetError, match=r"format that is not read .* 1 .the first: x/train.tfrecord"):
        open_dataset(tmp_path)
    put("y/annotations/instances_val.json", instances)
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    assert caught.value.fix == f"name the folder of one as the data set: {tmp_path / 'y'}"


def test_png_images_are_photographs(paint, tmp_path):
    for name in ("labels/a.png", "masks/b.png", "c.png", "d_mask.png", "photos/e.jpg"):
        paint(name)
    assert len(open_dataset(tmp_path)) == 5


def test_masks_of_cityscapes_are_no_photographs(paint, tmp_path):
    paint("leftImg8bit/val/f/f_0_leftImg8bit.png")
    paint("gtFine/val/f/f_0_gtFine_labelIds.png")
    with pytest.warns(AnydetWarning, match="masks of the images: 1 "):
        assert open_dataset(tmp_path).keys == ("leftImg8bit/val/f/f_0_leftImg8bit.png",)


def test_labels_beside_images_that_are_no_label_files_are_named(paint, put, tmp_path):
    paint("images/100k/val/a.jpg")
    put("labels/det_val.json", [{"name": "a.jpg", "labels": [{"box2d": {}}]}])
    with pytest.warns(
        AnydetWarning, match=r"JSON files that look like labels: 1 \(the first: labels/det_val"
    ):
        assert open_dataset(tmp_path).source == "none"


def test_calibration_of_kitti_is_no_label(paint, put, tmp_path):
    paint("a.jpg")
    put("calib/a.txt", "P0: 7.07e+02 0.0 6.04e+02\n")
    assert open_dataset(tmp_path).oddities == ()
