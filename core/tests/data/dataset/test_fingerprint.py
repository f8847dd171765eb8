"""Fingerprints stay what they are: predictions files and checkpoints of earlier versions record them."""

from __future__ import annotations

import pytest

from anydet.data.dataset.image_files import open_image_files
from anydet.data.dataset.in_memory import InMemory
from anydet.data.dataset.subset import FirstImages
from anydet.data.opening import open_dataset

SEMANTIC = {
    "images": [
        {"id": 5, "file_name": "b.png", "width": 4, "height": 2, "category_id": 7},
        {"id": 3, "file_name": "ä/a.png", "width": 4, "height": 2},
    ],
    "annotations": [{"image_id": 3, "category_id": 3, "bbox": [0, 0, 1, 1], "area": 1}],
    "categories": [{"id": 7, "name": "grass"}, {"id": 3, "name": "cow"}],
}
PANOPTIC = SEMANTIC | {
    "annotations": [
        {
            "image_id": 3,
            "file_name": "a.png",
            "segments_info": [{"id": 9, "category_id": 3, "bbox": [0, 0, 1, 1], "area": 1}],
        }
    ]
}


@pytest.fixture
def yolo(paint, put):
    paint("images/val/a.jpg")
    paint("images/val/b/c.jpg")
    paint("images/val/none.jpg")
    put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5\n")
    put("labels/val/a.json", {"image_hw": [20, 40]})
    put("labels/val/b/c.txt", "")


@pytest.mark.usefixtures("yolo")
def test_yolo(tmp_path):
    assert (
        open_dataset(tmp_path).fingerprint()
        == "sha256:7d15946d82b6ddf04d26d53a2232b730b389a1f13c36002bef82339885c09ef7"
    )


@pytest.mark.usefixtures("yolo")
def test_images_without_labels(tmp_path):
    assert (
        open_dataset(tmp_path / "images").fingerprint()
        == "sha256:aad2bd09a324c9f2ecab7c42fdd1e2a6e5aa18b598cd98cc962fbd32172351ac"
    )
    assert (
        open_image_files([tmp_path / "images"]).fingerprint()
        == "sha256:40ae19d09c0b4f68df34ad4d5ab0e040865f855be98e643db5c3eacc84418233"
    )


def test_coco(put, instances):
    file = put("annotations/instances_val.json", instances)
    dataset = open_dataset(file)
    assert dataset.fingerprint() == "sha256:0e60493dac011f4f819898c5d6edea405a0ec5935f61cd237334b091fa8a5f7e"
    assert (
        FirstImages(dataset, 1).fingerprint()
        == "sha256:c61ec6855c040eca0cf86acc23cb809f9f2f52e86d5aedacd0b4e3a481f53021"
    )
    assert InMemory(dataset, ()).fingerprint() == dataset.fingerprint()


def test_coco_semantic(put):
    assert (
        open_dataset(put("annotations/stuff_val.json", SEMANTIC)).fingerprint()
        == "sha256:322044cac9520ad36f1f8dfa1267a4c3cd1dadf2bd8a2494bd573471e1485031"
    )


def test_coco_panoptic(put, tmp_path):
    (tmp_path / "annotations/panoptic_val").mkdir(parents=True)
    assert (
        open_dataset(put("annotations/panoptic_val.json", PANOPTIC)).fingerprint()
        == "sha256:3675ee0053d768431f947132beb167fad295d73758bfd27552492e0d7425eb2a"
    )


def test_class_masks(paint, put, tmp_path):
    paint("images/val/cow/a.jpg")
    paint("images/val/b.jpg")
    put("masks/val/cow/a.png", "only opened to be read")
    put("classes.txt", "sky\ncow\n")
    assert (
        open_dataset(tmp_path).fingerprint()
        == "sha256:1f1ed31c6f280a39a480ae92112e3d806a1c6750aa6c362b0c5b4a3e0f12cecb"
    )
