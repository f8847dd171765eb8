from __future__ import annotations

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.scenes import shapes
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.geometry import masks
from anydet.geometry.boxes import xyxy_to_xywh
from anydet.geometry.regions import BACKGROUND
from anydet.types import AdapterSettings
from anydet_toy.adapter import ToyAdapter
from anydet_toy.colors import PROTOTYPES, ColorTable, smooth

DATASET = SyntheticDataset(60, seed=3)


def detect(image, **options):
    record = Record("a.png", ImageArray(image))
    return next(iter(ToyAdapter(AdapterSettings(options=options)).predict([record])))


def square(color, background=(128, 128, 128)):
    image = np.tile(np.array(background, np.uint8), (60, 80, 1))
    image[10:40, 20:50] = color
    return image


@pytest.fixture(scope="module")
def predictions():
    return list(ToyAdapter(AdapterSettings()).predict(list(DATASET)))


@pytest.fixture(scope="module")
def coco():
    truth = DATASET.ground_truth()
    coco = COCO.__new__(COCO)
    coco.__init__()
    labels = truth.labels
    coco.dataset = {
        "info": {},
        "images": [{"id": i, "width": 320, "height": 240} for i in range(len(truth.images))],
        "categories": [{"id": i, "name": name} for i, name in enumerate(truth.classes.names)],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(truth.image_index[row]),
                "category_id": int(labels.class_ids[row]),
                "bbox": labels.boxes_xywh_px[row].tolist(),
                "area": float(labels.areas[row]),
                "segmentation": masks.to_coco(labels.segmentations[row]),
                "iscrowd": 0,
            }
            for row in range(len(truth))
        ],
    }
    coco.createIndex()
    return coco


def average_precision(coco, predictions, kind):
    results = [
        {
            "image_id": i,
            "category_id": int(class_id),
            "bbox": box.tolist(),
            "score": float(score),
            "segmentation": masks.to_coco(rle),
        }
        for i, one in enumerate(predictions)
        for class_id, box, score, rle in zip(
            one.class_ids, xyxy_to_xywh(one.boxes_xyxy_px), one.scores, one.masks, strict=True
        )
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_it_finds_most_shapes_of_synthetic_scenes_but_occlusion_costs(coco, predictions, kind):
    ap, ap50 = average_precision(coco, predictions, kind)
    assert 0.75 < ap < 0.95
    assert 0.85 < ap50 < 0.99


def test_it_knows_the_classes_of_the_synthetic_scenes():
    assert ToyAdapter(AdapterSettings()).classes == shapes.CLASSES
    assert {p.name: p.hue_deg for p in PROTOTYPES} == shapes.HUES_DEG


def test_a_green_square_is_found_with_its_box_and_mask():
    found = detect(square((30, 200, 30)), smoothing_px=0)
    assert found.class_ids.tolist() == [1]
    assert found.boxes_xyxy_px.tolist() == [[20, 10, 50, 40]]
    assert masks.decode(found.masks[0])[10:40, 20:50].all()
    assert masks.area(found.masks[0]) == 900
    assert found.scores[0] > 0.9


def test_scores_fall_with_the_distance_from_the_class_hue():
    hues = [120, 126, 132, 138]
    scores = [
        detect(square((np.array(colorsys.hsv_to_rgb(hue / 360, 0.9, 0.8)) * 255).astype(np.uint8))).scores[0]
        for hue in hues
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 0.3


def test_a_shape_that_does_not_fill_its_box_as_its_class_does_scores_less():
    whole = square((30, 200, 30))
    bitten = whole.copy()
    bitten[10:35, 25:50] = (128, 128, 128)  # leaves an L that fills 31 % of the box
    assert detect(bitten).boxes_xyxy_px.tolist() == detect(whole).boxes_xyxy_px.tolist()
    assert detect(bitten).scores[0] < 0.75 * detect(whole).scores[0]


def test_gray_pictures_show_nothing():
    assert len(detect(np.full((40, 40, 3), 90, np.uint8))) == 0


def test_masks_can_be_left_out():
    assert detect(square((30, 200, 30)), masks=False).masks is None


def test_small_regions_are_noise():
    assert len(detect(square((30, 200, 30)), min_area_px=2000)) == 0


def test_scores_below_the_floor_are_left_out():
    image = square((30, 200, 30))
    record = Record("a.png", ImageArray(image))
    assert len(next(iter(ToyAdapter(AdapterSettings(score_floor=1.0)).predict([record])))) == 0


def test_a_misspelled_option_is_refused_with_the_right_one():
    with pytest.raises(OptionError, match="min_area_px"):
        ToyAdapter(AdapterSettings(options={"min_area": 3}))


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_smoothing_is_the_box_filter_of_pillow(radius):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).filter(ImageFilter.BoxBlur(radius)), np.int64)
    assert np.abs(smooth(image, radius).astype(np.int64) - expected).max() <= 1


def test_the_color_table_agrees_with_colorsys():
    table = ColorTable.build(hue_tolerance_deg=20, min_saturation=0.5, min_chroma=0)
    for rgb in np.random.default_rng(1).integers(0, 256, (300, 3), dtype=np.uint8):
        center = (rgb >> 3) * 8.0 + 4.0
        hue, saturation, _ = colorsys.rgb_to_hsv(*(center / 255.0))
        away = {p.name: abs((hue * 360 - p.hue_deg + 180) % 360 - 180) for p in PROTOTYPES}
        name = min(away, key=away.get)
        class_id = int(table.class_ids[table.index(rgb[None, None])[0, 0]])
        if saturation > 0.51 and away[name] < 18:
            assert PROTOTYPES[class_id].name == name
        elif saturation < 0.49 or away[name] > 22:
            assert class_id == BACKGROUND
