from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from torchvision.transforms.functional import to_tensor as torchvision_to_tensor

from anydet.errors import DatasetError
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_delftbikes.writing import write_delftbikes
from anydet_fasterrcnn_multitask.convert import convert_to_coco
from anydet_fasterrcnn_multitask.dataset import BikePartsDataset, build_loaders, collate, to_tensor


@pytest.fixture(scope="module")
def bikes(tmp_path_factory):
    """A COCO file of five bicycles, the third of which lost its annotations, and the image folder."""
    root = tmp_path_factory.mktemp("bikes") / "data"
    write_delftbikes(SyntheticBikes(5, 3, (64, 48)), root, "all")
    convert_to_coco(root / "all_annotations.json", root / "all", root / "coco.json", quiet=True)
    document = json.loads((root / "coco.json").read_text())
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] != 3]
    del document["annotations"][0]["state"]
    (root / "coco.json").write_text(json.dumps(document))
    return root / "coco.json", root / "all", document


@pytest.fixture(scope="module")
def dataset(bikes):
    return BikePartsDataset(*bikes[:2])


def test_targets_are_those_of_the_file(dataset, bikes):
    for index, image in enumerate(bikes[2]["images"]):
        annotations = [one for one in bikes[2]["annotations"] if one["image_id"] == image["id"]]
        _, target = dataset[index]
        x, y, width, height = np.array([one["bbox"] for one in annotations]).reshape(-1, 4).T
        assert np.array_equal(target["boxes"], np.stack([x, y, x + width, y + height], axis=1))
        assert target["labels"].tolist() == [one["category_id"] for one in annotations]
        assert target["states"].tolist() == [one.get("state", -1) for one in annotations]
        assert target["image_id"].tolist() == [image["id"]]
    assert len(dataset) == 5
    assert dataset[0][1]["boxes"].dtype == torch.float32
    assert {dataset[0][1][name].dtype for name in ("labels", "states")} == {torch.int64}


def test_annotations_are_found_by_image(dataset, bikes):
    found = {one["id"] for one in dataset.img_id_to_anns[2]}
    assert found == {one["id"] for one in bikes[2]["annotations"] if one["image_id"] == 2}


def test_an_image_without_annotations_has_empty_targets(dataset):
    image, target = dataset[2]
    assert image.shape == (3, 48, 64)
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == target["states"].shape == (0,)


def test_pixels_are_those_of_torchvision(dataset):
    image = SyntheticBikes(5, 3, (64, 48))[1].image()
    assert torch.equal(dataset[1][0], torchvision_to_tensor(image))
    assert torch.equal(to_tensor(image), torchvision_to_tensor(image))


def test_transforms_make_the_image(bikes):
    image, _ = BikePartsDataset(*bikes[:2], transforms=lambda pixels: pixels.mean())[0]
    assert isinstance(image, float)


def test_boxes_without_area_are_left_out(bikes, tmp_path):
    document = json.loads(json.dumps(bikes[2]))
    document["annotations"][1]["bbox"][2] = 0
    (tmp_path / "coco.json").write_text(json.dumps(document))
    fewer, before = BikePartsDataset(tmp_path / "coco.json", bikes[1]), BikePartsDataset(*bikes[:2])
    assert len(fewer[0][1]["boxes"]) == len(before[0][1]["boxes"]) - 1


def test_batches_are_tuples_of_images_and_targets(dataset):
    images, targets = collate([dataset[0], dataset[2]])
    assert isinstance(images, tuple)
    assert isinstance(targets, tuple)
    assert [len(target["boxes"]) for target in targets] == [len(dataset[0][1]["boxes"]), 0]


def test_loaders_have_the_usual_defaults(dataset):
    train, val = build_loaders(dataset, dataset)
    for loader in (train, val):
        assert (loader.batch_size, loader.num_workers, loader.prefetch_factor) == (2, 2, 2)
        assert loader.pin_memory == torch.cuda.is_available()


def test_training_is_shuffled_by_its_seed_and_validation_is_not(dataset):
    def order(loader):
        return [int(target["image_id"]) for _, targets in loader for target in targets]

    orders = []
    for seed in (1, 1, 2):
        train, val = build_loaders(dataset, dataset, num_workers=0, seed=seed)
        orders.append((order(train), order(train)))
        assert order(val) == [1, 2, 3, 4, 5]
        assert sorted(orders[-1][0]) == [1, 2, 3, 4, 5]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]


def test_a_missing_file_or_folder_is_an_error_with_a_fix(bikes, tmp_path):
    for wrong in ((tmp_path / "none.json", bikes[1]), (bikes[0], tmp_path / "none")):
        with pytest.raises(DatasetError, match="not there") as caught:
            BikePartsDataset(*wrong)
        assert "prepare" in caught.value.fix
