"""Good predictions, broken in each usual way: the right cause comes first, and a good file has none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anydet
from anydet.columns import concatenate
from anydet.contract.columns import to_columns
from anydet.contract.hints import COCO_IDS
from anydet.data.dataset.image_subset import take_images
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.explanation.explain import LEAST_GAIN, explain
from anydet.evaluation.explanation.reference import over_images_of
from anydet.evaluation.reading import read_inputs
from anydet.geometry.boxes import BOX_FORMATS, to_xywh_px, xywh_to_xyxy
from anydet.types import ClassTable

SIZES = (320, 240), (240, 320), (400, 200), (256, 256)
SCENES = 12
"""Scenes of each size."""


@pytest.fixture(scope="session")
def scenes():
    """Synthetic scenes of several sizes as the toy adapter sees them: detections and ground truth."""
    pytest.importorskip("anydet_toy", reason="predictions are made with the toy adapter")
    scenes = []
    with anydet.load_adapter("toy") as adapter:
        for seed, size in enumerate(SIZES):
            dataset = SyntheticDataset(SCENES, seed, size)
            scenes.append((to_columns(adapter.predict(list(dataset))), dataset.ground_truth()))
    starts = np.arange(len(scenes)) * SCENES
    keys = tuple(f"{i + 7}.png" for i in range(len(scenes) * SCENES))
    sizes = np.concatenate([truth.sizes_wh for _, truth in scenes])
    found = concatenate(
        [replace(f, image_index=f.image_index + s) for (f, _), s in zip(scenes, starts, strict=True)]
    )
    truth = replace(
        scenes[0][1],
        images=keys,
        sizes_wh=sizes,
        image_index=np.concatenate([t.image_index + s for (_, t), s in zip(scenes, starts, strict=True)]),
        labels=concatenate([t.labels for _, t in scenes]),
    )
    return mixed_up(replace(found, images=keys, sizes_wh=sizes), truth)


@pytest.fixture(scope="session")
def coco128(shared_data, tmp_path_factory):
    """YOLOX-nano on 128 images of COCO."""
    pytest.importorskip("anydet_onnxruntime", reason="predictions are made with the onnxruntime adapter")
    model = shared_data / "models" / "yolox_nano_416_coco80.onnx"
    if not model.exists():
        pytest.skip(f"needs {model}")
    path = tmp_path_factory.mktemp("coco128") / "predictions.json"
    dataset = anydet.open_dataset(shared_data / "coco128")
    with anydet.load_adapter("onnxruntime", checkpoint=str(model), options={"preset": "yolox"}) as adapter:
        anydet.export_predictions(adapter, dataset, path)
    inputs = read_inputs(dataset, path)
    return inputs.detections, inputs.ground_truth


@pytest.fixture(params=["scenes", pytest.param("coco128", marks=pytest.mark.slow)])
def good(request):
    return request.getfixturevalue(request.param)


def mixed_up(found, truth):
    """Images of different sizes beside each other."""
    order = np.random.default_rng(0).permutation(len(truth.images))
    found, truth = take_images(found, truth, order)
    keys = tuple(sorted(truth.images))
    return replace(found, images=keys), replace(truth, images=keys)


def diagnose(found, truth, **options):
    return explain(found, truth, choose_engine(), **options)


def first_cause(found, truth, **options):
    diagnosis = diagnose(found, truth, **options)
    assert diagnosis.explanations, f"nothing explains an AP of {diagnosis.ap}"
    return diagnosis.explanations[0]


def with_numbers(found, numbers, box_format):
    """Detections whose four numbers are read as ``box_format``; negative sizes are refused in reading."""
    boxes = to_xywh_px(numbers, box_format, found.sizes_wh[found.image_index])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0)
    return replace(found, boxes_xywh_px=boxes, areas=boxes[:, 2] * boxes[:, 3])


def numbers_of(found, box_format):
    """The boxes' four numbers in a format; independent of the code under test."""
    x, y, w, h = found.boxes_xywh_px.T
    kind, _, unit = box_format.partition("_")
    columns = {
        "xywh": (x, y, w, h),
        "xyxy": (x, y, x + w, y + h),
        "yxyx": (x, y, x + w, y + h),
        "cxcywh": (x + w / 2, y + h / 2, w, h),
    }[kind]
    numbers = np.stack(columns, axis=1) / (np.tile(sizes_of(found), 2) if unit == "norm" else 1)
    return numbers[:, [1, 0, 3, 2]] if kind == "yxyx" else numbers


def sizes_of(found):
    return found.sizes_wh[found.image_index].astype(float)


def broken_boxes(found, numbers):
    return with_numbers(found, np.array(numbers), "xywh_abs")


@pytest.mark.slow
def test_good_predictions_have_no_explanation(good):
    assert diagnose(*good).explanations == ()


@pytest.mark.slow
def test_predictions_without_a_mistake_but_poor_have_none(good):
    found, truth = good
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.12, (len(found), 4)) * np.tile(found.boxes_xywh_px[:, 2:], 2)
    poor = broken_boxes(found, found.boxes_xywh_px + noise)
    assert diagnose(poor, truth).ap < 0.6 * diagnose(*good).ap
    assert diagnose(poor, truth).explanations == ()


@pytest.mark.parametrize(
    ("written", "read", "words"),
    [
        ("xyxy_abs", "xywh_abs", "corners (left, top, right, bottom), taken for left, top, width, height"),
        ("xyxy_abs", "cxcywh_abs", "corners (left, top, right, bottom), taken for center, width, height"),
        ("xywh_abs", "cxcywh_abs", "left, top, width, height, taken for center, width, height"),
        ("cxcywh_abs", "xywh_abs", "center, width, height, taken for left, top, width, height"),
        ("cxcywh_abs", "cxcywh_norm", "pixels, taken for fractions"),
        ("xywh_abs", "cxcywh_norm", "left, top, width, height, taken for center, width, height; pixels"),
        (
            "xyxy_abs",
            "cxcywh_norm",
            "corners (left, top, right, bottom), taken for center, width, height; pix",
        ),
        ("cxcywh_norm", "cxcywh_abs", "fractions of the image, taken for pixels"),
        ("cxcywh_norm", "xywh_abs", "center, width, height, taken for left, top, width, height; fractions"),
        ("xyxy_norm", "cxcywh_norm", "corners (left, top, right, bottom), taken for center, width, height"),
        (
            "xyxy_norm",
            "xywh_abs",
            "corners (left, top, right, bottom), taken for left, top, width, height; fra",
        ),
        ("xywh_norm", "cxcywh_norm", "left, top, width, height, taken for center, width, height"),
        ("yxyx_norm", "cxcywh_norm", "corners, y first (top, left, bottom, right), taken for center, width"),
        ("yxyx_norm", "xywh_abs", "corners, y first (top, left, bottom, right), taken for left, top, width"),
        ("yxyx_norm", "xyxy_abs", "taken for corners (left, top, right, bottom); fractions of the image"),
    ],
)
def test_a_format_taken_for_another_is_found_and_the_option_named(good, written, read, words):
    found, truth = good
    broken = with_numbers(found, numbers_of(found, written), read)
    first = first_cause(broken, truth, box_format=read)
    assert words in first.cause
    if written in BOX_FORMATS:
        assert first.what_to_do == f"pass --bbox-format {written}"
    else:
        assert "--bbox-format" not in first.what_to_do


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("xywh", "left, top, width, height, taken for corners"),
        ("cxcywh", "center, width, height, taken for corners"),
    ],
)
def test_sizes_taken_for_far_corners_are_found_where_any_box_survives(good, kind, words):
    """A writer that subtracts where it should not and takes the absolute value hides the negative sizes."""
    found, truth = good
    boxes = to_xywh_px(numbers_of(found, f"{kind}_abs"), "xyxy_abs", np.ones(2))
    left = (boxes[:, 2:] > 0).all(axis=1)
    few = replace(found, boxes_xywh_px=boxes, areas=boxes[:, 2] * boxes[:, 3]).take(left)
    rows = np.isin(truth.image_index, few.image_index)
    near = [
        np.abs(found.boxes_xywh_px[left & (found.image_index == i)][:, None] - box)
        .max(axis=2)
        .min(initial=99)
        for i, box in zip(truth.image_index[rows], truth.labels.boxes_xywh_px[rows][:, None], strict=True)
    ]
    kept = np.flatnonzero(rows)[np.array(near) < 9]
    truth = replace(truth, image_index=truth.image_index[kept], labels=truth.labels.take(kept))
    assert words in first_cause(few, truth).cause


def swap(found):
    return broken_boxes(found, found.boxes_xywh_px[:, [1, 0, 3, 2]])


def swap_fractions(found):
    fractions = found.boxes_xywh_px / np.tile(sizes_of(found), 2)
    return broken_boxes(found, fractions[:, [1, 0, 3, 2]] * np.tile(sizes_of(found), 2))


def swap_centers(found):
    cx, cy, w, h = numbers_of(found, "cxcywh").T
    return with_numbers(found, np.stack([cy, cx, w, h], axis=1), "cxcywh_abs")


def swap_sides(found):
    cx, cy, w, h = numbers_of(found, "cxcywh").T
    return with_numbers(found, np.stack([cx, cy, h, w], axis=1), "cxcywh_abs")


def scale_by_the_wrong_side(found):
    numbers = numbers_of(found, "cxcywh") / np.tile(sizes_of(found)[:, ::-1], 2)
    return with_numbers(found, numbers, "cxcywh_norm")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (swap, "x and y of boxes are swapped"),
        (swap_fractions, "x and y of boxes are swapped, in fractions"),
        (swap_centers, "x and y of centers are swapped"),
        (swap_sides, "width and height of boxes are swapped"),
        (scale_by_the_wrong_side, "width and height of the image are swapped"),
    ],
)
def test_an_exchanged_order_is_found(good, spoil, words):
    found, truth = good
    assert words in first_cause(spoil(found), truth).cause


def stretched(found, side):
    return found.boxes_xywh_px / np.tile(sizes_of(found), 2) * side


def letterboxed(found, side, *, centered):
    """Each box alone, as a preprocessing step would do it."""
    boxes = []
    for (x, y, w, h), (width, height) in zip(found.boxes_xywh_px, sizes_of(found), strict=True):
        scale = min(side / width, side / height)
        left, top = ((side - width * scale) / 2, (side - height * scale) / 2) if centered else (0, 0)
        boxes.append((x * scale + left, y * scale + top, w * scale, h * scale))
    return np.array(boxes)


@pytest.mark.parametrize("side", [320, 416, 640, 1024])
def test_boxes_left_in_a_stretched_input_are_found(good, side):
    found, truth = good
    cause = first_cause(broken_boxes(found, stretched(found, side)), truth).cause
    assert f"network's input, the image stretched to {side} x {side}" in cause


@pytest.mark.parametrize("side", [320, 416, 608, 1024])  # 640 leaves most images of COCO as they are
@pytest.mark.parametrize("centered", [True, False], ids=["both sides", "right and below"])
def test_boxes_left_in_a_letterboxed_input_are_found(good, side, centered):
    found, truth = good
    cause = first_cause(broken_boxes(found, letterboxed(found, side, centered=centered)), truth).cause
    assert f"letterboxed to {side} x {side} (padded {'on both sides' if centered else 'right'}" in cause


def test_boxes_left_in_a_resized_image_are_found(good):
    found, truth = good
    sizes = sizes_of(found)
    scale = np.minimum(800 / sizes.min(axis=1), 1333 / sizes.max(axis=1))[:, None]
    cause = first_cause(broken_boxes(found, found.boxes_xywh_px * scale), truth).cause
    assert "shortest side resized to 800, its longest to 1333" in cause


def test_an_input_of_no_usual_size_is_found_by_how_far_boxes_reach(good):
    found, truth = good
    boxes = found.boxes_xywh_px / np.tile(sizes_of(found), 2) * np.tile((5210, 2777), 2)
    assert "as large as boxes reach" in first_cause(broken_boxes(found, boxes), truth).cause


@pytest.mark.parametrize("y_first", [False, True])
def test_thousandths_of_the_image_are_found(good, y_first):
    found, truth = good
    boxes = stretched(found, 1000)
    boxes = boxes[:, [1, 0, 3, 2]] if y_first else boxes
    cause = first_cause(broken_boxes(found, boxes), truth).cause
    assert cause == "boxes are thousandths of the image" + ", y before x" * y_first


@pytest.mark.parametrize("centered", [True, False], ids=["both sides", "right and below"])
def test_fractions_of_a_letterbox_are_found(good, centered):
    found, truth = good
    numbers = letterboxed(found, 416, centered=centered) / 416 * np.tile(sizes_of(found), 2)
    cause = first_cause(broken_boxes(found, numbers), truth).cause
    assert "fractions of the letterboxed input" in cause
    assert ("both sides" in cause) == centered


def test_a_letterbox_offset_that_was_not_undone_is_found(good):
    found, truth = good
    scale = 416 / sizes_of(found).max(axis=1, keepdims=True)
    boxes = letterboxed(found, 416, centered=True) / scale
    first = first_cause(broken_boxes(found, boxes), truth)
    assert first.cause == "the letterbox's scale is undone, its offset is not"


def test_a_letterbox_offset_that_was_undone_twice_is_found(good):
    found, truth = good
    padding = (sizes_of(found).max(axis=1, keepdims=True) - sizes_of(found)) / 2
    boxes = np.concatenate([found.boxes_xywh_px[:, :2] - padding, found.boxes_xywh_px[:, 2:]], axis=1)
    assert "offset is subtracted that was not there" in first_cause(broken_boxes(found, boxes), truth).cause


def test_a_letterbox_undone_on_a_stretched_image_is_found(good):
    found, truth = good
    side = 416
    scale = side / sizes_of(found).max(axis=1, keepdims=True)
    boxes = stretched(found, side)
    boxes = (
        np.concatenate([boxes[:, :2] - (side - sizes_of(found) * scale) / 2, boxes[:, 2:]], axis=1) / scale
    )
    assert "but it was stretched" in first_cause(broken_boxes(found, boxes), truth).cause


def turned(found, turn):
    """Corners taken through a turn of the image; ``turn`` takes and gives (N,) x, y and the size."""
    x1, y1, x2, y2 = xywh_to_xyxy(found.boxes_xywh_px).T
    width, height = sizes_of(found).T
    ax, ay = turn(x1, y1, width, height)
    bx, by = turn(x2, y2, width, height)
    low, high = np.minimum((ax, ay), (bx, by)), np.maximum((ax, ay), (bx, by))
    return broken_boxes(found, np.concatenate([low, high - low]).T)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda x, y, w, h: (w - x, y), "mirrored left to right"),
        (lambda x, y, w, h: (x, h - y), "mirrored top to bottom"),
        (lambda x, y, w, h: (w - x, h - y), "upside down"),
        (lambda x, y, w, h: (h - y, x), "rotated clockwise"),
        (lambda x, y, w, h: (y, w - x), "rotated anticlockwise"),
    ],
)
def test_turned_images_are_found(good, turn, words):
    found, truth = good
    assert words in first_cause(turned(found, turn), truth).cause


def test_boxes_of_a_copy_in_another_resolution_are_found(good):
    found, truth = good
    first = first_cause(broken_boxes(found, found.boxes_xywh_px * 0.37), truth)
    assert "by the same factor or shift everywhere" in first.cause


def reclassed(found, mapping):
    ids = np.asarray(mapping)[found.class_ids]
    return replace(found, class_ids=ids).take(ids >= 0)


def test_class_ids_off_by_one_are_found_both_ways(good):
    found, truth = good
    ids = np.arange(len(truth.classes))
    high = reclassed(found, np.where(ids + 1 < len(ids), ids + 1, -1))
    assert "one too high" in first_cause(high, truth).cause
    assert "one too low" in first_cause(reclassed(found, ids - 1), truth).cause


def test_classes_in_alphabetical_order_are_found(good):
    found, truth = good
    names = truth.classes.names
    place = [sorted(names).index(name) for name in names]
    assert "alphabetical" in first_cause(reclassed(found, place), truth).cause


def test_classes_in_any_other_order_are_found(good):
    found, truth = good
    ids = np.random.default_rng(1).permutation(len(truth.classes))
    assert "stand for other classes" in first_cause(reclassed(found, ids), truth).cause


@pytest.fixture
def eighty(good):
    """The same under COCO's 80 class ids: those of scenes spread over the table."""
    found, truth = good
    if len(truth.classes) == len(COCO_IDS):
        return good
    spread = np.linspace(0, 60, len(truth.classes)).astype(int)
    table = ClassTable(tuple(f"class {i}" for i in range(80)), COCO_IDS)
    labels = replace(truth.labels, class_ids=spread[truth.labels.class_ids])
    return replace(found, class_ids=spread[found.class_ids]), replace(truth, labels=labels, classes=table)


def test_coco_s_own_ids_as_class_ids_are_found(eighty):
    found, truth = eighty
    own = np.array(COCO_IDS)
    first = first_cause(reclassed(found, np.where(own < 80, own, -1)), truth)
    assert first.cause == "class ids are in COCO's 91-id numbering"
    first = first_cause(reclassed(found, np.where(own - 1 < 80, own - 1, -1)), truth)
    assert first.cause == "class ids are in COCO's 91-id numbering, less one"


@pytest.mark.parametrize("start", [0, 1])
def test_positions_as_category_ids_are_found(eighty, start):
    """Class i, written as category_id i or i + 1, is read as the class with that id of COCO's own."""
    found, truth = eighty
    read = {category: i for i, category in enumerate(COCO_IDS)}
    broken = reclassed(found, [read.get(i + start, -1) for i in range(80)])
    assert f"position of the class, from {start}" in first_cause(broken, truth).cause


def moved_images(found, home):
    return replace(found, image_index=np.asarray(home)[found.image_index])


@pytest.mark.parametrize(("step", "words"), [(1, "the next image"), (-1, "the image before")])
@pytest.mark.parametrize("fractions", [False, True])
def test_shifted_image_keys_are_found(good, step, words, fractions):
    found, truth = good
    broken = moved_images(found, np.roll(np.arange(len(truth.images)), -step))
    if fractions:
        scale = found.sizes_wh[broken.image_index] / sizes_of(found)
        broken = broken_boxes(broken, found.boxes_xywh_px * np.tile(scale, 2))
    assert words in first_cause(broken, truth).cause


def test_a_list_sorted_otherwise_is_found(scenes):
    found, truth = scenes
    count = len(truth.images)
    by_number = sorted(range(count), key=lambda i: int(truth.images[i].split(".")[0]))
    home = np.empty(count, int)
    home[by_number] = np.arange(
        count
    )  # predictions made in the order of numbers, keys listed as in the table
    first = first_cause(moved_images(found, home), truth)
    assert "numbers in their names" in first.cause


def test_permuted_image_keys_are_found(good):
    found, truth = good
    home = np.random.default_rng(5).permutation(len(truth.images))
    assert first_cause(moved_images(found, home), truth).cause == "predictions are under keys of other images"


def test_missing_suppression_is_found(good):
    found, truth = good
    rng = np.random.default_rng(3)
    copies = [found]
    for _ in range(6):
        noise = rng.normal(0, 0.02, (len(found), 4)) * np.tile(found.boxes_xywh_px[:, 2:], 2)
        copy = broken_boxes(found, found.boxes_xywh_px + noise)
        copies.append(replace(copy, scores=found.scores * rng.uniform(0.9, 1, len(found))))
    assert "non-maximum suppression is missing" in first_cause(concatenate(copies), truth).cause


def test_detections_written_twice_are_found(good):
    found, truth = good
    assert "detected several times" in first_cause(concatenate([found, found, found]), truth).cause


def test_scores_upside_down_are_found(coco_like):
    found, truth = coco_like
    first = first_cause(replace(found, scores=1 - found.scores), truth)
    assert "upside down" in first.cause


@pytest.fixture
def coco_like(good):
    """Right detections with falling scores, and wrong ones below them."""
    found, truth = good
    rng = np.random.default_rng(9)
    found = replace(found, scores=rng.uniform(0.3, 0.99, len(found))) if found.scores.min() > 0.05 else found
    if found.scores.min() < 0.05:
        return found, truth
    others = [
        replace(
            broken_boxes(found, found.boxes_xywh_px + np.array([300 + 90 * i, 200, 0, 0])),
            scores=rng.uniform(0.001, 0.5, len(found)) ** 2,
        )
        for i in range(4)
    ]
    return concatenate([found, *others]), truth


def test_a_high_score_threshold_is_found(coco_like):
    found, truth = coco_like
    first = first_cause(found.take(found.scores >= 0.6), truth)
    assert "score threshold is too high: nothing below 0.6" in first.cause
    assert first.gain is None


def test_a_low_limit_of_detections_is_found(coco_like):
    found, truth = coco_like
    order = np.lexsort((-found.scores, found.image_index))
    rank = np.arange(len(order)) - np.searchsorted(found.image_index[order], found.image_index[order])
    first = first_cause(found.take(order[rank < 3]), truth)
    assert first.cause == "at most 3 detections an image are kept"


def test_a_second_sigmoid_is_found(coco_like):
    found, truth = coco_like
    first = first_cause(replace(found, scores=1 / (1 + np.exp(-found.scores))), truth)
    assert first.cause == "scores went through a sigmoid twice"


def test_scores_without_a_sigmoid_are_found(coco_like):
    found, truth = coco_like
    scores = np.clip(found.scores, 1e-6, 1 - 1e-6)
    first = first_cause(replace(found, scores=np.log(scores / (1 - scores))), truth)
    assert "a sigmoid or softmax was not applied" in first.cause


def test_equal_scores_are_found(coco_like):
    found, truth = coco_like
    first = first_cause(replace(found, scores=np.ones(len(found))), truth)
    assert "all scores are the same" in first.cause


def test_a_model_that_scores_nothing_is_named_by_its_highest_score(coco_like):
    found, truth = coco_like
    first = first_cause(replace(found, scores=np.zeros(len(found))), truth)
    assert first.cause == "highest score 0.0000: the model scores nothing"
    assert "quantization" in first.what_to_do


def test_a_file_without_detections_is_named_as_such(coco_like):
    found, truth = coco_like
    (only,) = diagnose(found.take(np.zeros(0, np.int64)), truth).explanations
    assert only.cause.startswith("there are no detections: all scores are below the threshold")
    assert "highest score" in only.what_to_do


def test_images_left_out_are_found(good):
    found, truth = good
    few = found.take(found.image_index < len(truth.images) // 2)
    causes = [one.cause for one in diagnose(few, truth).explanations]
    assert causes == ["many images have no detections at all"]


@pytest.mark.parametrize(("at", "where"), [(0.0, "in the images' corner"), (20.0, "under 2 pixels")])
def test_boxes_that_were_not_decoded_are_found_and_not_taken_for_images_left_out(scenes, at, where):
    found, truth = scenes
    few = found.take(found.image_index < len(truth.images) // 2)
    rng = np.random.default_rng(5)
    first = first_cause(
        broken_boxes(few, np.hstack([at + rng.random((len(few), 2)), rng.random((len(few), 2))])), truth
    )
    assert first.cause == f"nearly all boxes are {where}: they were not decoded"
    assert f"of {len(few)} boxes" in first.evidence


def test_two_mistakes_at_once_are_found(good):
    found, truth = good
    ids = np.arange(len(truth.classes))
    high = reclassed(found, np.where(ids + 1 < len(ids), ids + 1, -1))
    broken = with_numbers(high, numbers_of(high, "xyxy_abs"), "xywh_abs")
    cause = first_cause(broken, truth).cause
    assert "corners" in cause
    assert "one too high" in cause


def test_the_gain_is_what_undoing_gives(good):
    found, truth = good
    ap = diagnose(*good).ap
    broken = diagnose(swap(found), truth)
    assert broken.explanations[0].gain == pytest.approx(ap - broken.ap, abs=1e-9)
    assert broken.explanations[0].gain >= LEAST_GAIN


@pytest.mark.slow
def test_the_result_is_plain_data_and_the_same_with_each_engine(scenes, engine):
    found, truth = scenes
    ours = explain(swap(found), truth, engine).as_dict()
    assert json.loads(json.dumps(ours)) == ours
    assert ours == diagnose(swap(found), truth).as_dict()


def test_nothing_to_measure_gives_no_explanation(scenes):
    found, truth = scenes
    none = np.zeros(0, np.int64)
    bare = replace(truth, image_index=none, labels=truth.labels.take(none))
    assert diagnose(found, bare).as_dict() | {"tried": 0} == {
        "ap": None,
        "images": 0,
        "of_images": len(truth.images),
        "tried": 0,
        "explanations": [],
        "reference_ap": None,
    }


@pytest.mark.slow
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_whatever_the_columns_hold_is_looked_at_without_a_warning(columns, random_problems, data):
    found, truth = columns(data.draw(random_problems("bbox")))
    assert len(diagnose(found, truth).explanations) < 20


@pytest.mark.parametrize("value", [1e300, 1e-300, -1e300, 0.0])
def test_boxes_of_any_size_are_looked_at(scenes, value):
    found, truth = scenes
    boxes = np.tile([value, value, abs(value), abs(value)], (len(found), 1))
    broken = replace(found, boxes_xywh_px=boxes, areas=np.minimum(boxes[:, 2], 1e150) ** 2)
    assert all(one.gain is None for one in diagnose(broken, truth).explanations)


def test_unknown_sizes_leave_what_needs_none(scenes):
    found, truth = scenes
    sizes = np.full_like(truth.sizes_wh, -1)
    broken = with_numbers(found, numbers_of(found, "xyxy_abs"), "xywh_abs")
    broken, truth = replace(broken, sizes_wh=sizes), replace(truth, sizes_wh=sizes)
    assert "corners" in first_cause(broken, truth).cause


def collapsed(found):
    """Detections as of a model that was quantized with too much loss: low scores, boxes anywhere."""
    rng = np.random.default_rng(0)
    sizes = found.sizes_wh[found.image_index]
    boxes = np.concatenate([rng.random((len(found), 2)) * sizes, np.full((len(found), 2), 20.0)], axis=1)
    return replace(found, boxes_xywh_px=boxes, scores=0.1 * rng.random(len(found)))


def test_a_model_that_lost_what_the_reference_finds_is_told_so(scenes):
    found, truth = scenes
    diagnosis = explain(collapsed(found), truth, choose_engine(), reference=found)
    first = diagnosis.explanations[0]
    assert "quantized or converted" in first.cause
    assert "anydet quantize" in first.what_to_do
    assert first.gain == pytest.approx(diagnosis.reference_ap - diagnosis.ap)
    assert "best detections 0% are found again" in first.evidence
    assert "weak" not in first.cause


def of_even_images(found):
    return found.take(found.image_index % 2 == 0)


def of_two_classes(found):
    return found.take(found.class_ids < 2)


@pytest.mark.parametrize(
    ("without", "named"),
    [
        (of_even_images, "no detection of 23 of 42 images ('11.png'"),
        (of_two_classes, "of 4 of 6 classes"),
        (lambda found: of_two_classes(of_even_images(found)), "images ("),
    ],
)
def test_what_a_file_lacks_is_not_blamed_on_quantization(without, named, scenes):
    found, truth = scenes
    (first, *_) = explain(without(found), truth, choose_engine(), reference=found).explanations
    assert "quantized" not in first.cause
    assert named in first.cause
    assert first.gain > 0.1


def test_a_collapsed_model_that_finds_nothing_on_most_images_is_still_a_collapsed_one(scenes):
    found, truth = scenes
    few = of_even_images(collapsed(found))
    first = explain(few, truth, choose_engine(), reference=found).explanations[0]
    assert "quantized or converted" in first.cause


def test_a_reference_that_is_as_good_explains_nothing(scenes):
    found, truth = scenes
    diagnosis = explain(found, truth, choose_engine(), reference=found)
    assert diagnosis.ap == diagnosis.reference_ap
    assert not diagnosis.explanations


def test_a_mistake_in_the_file_comes_before_a_better_reference(scenes):
    found, truth = scenes
    swapped = replace(found, boxes_xywh_px=found.boxes_xywh_px[:, [1, 0, 3, 2]])
    diagnosis = explain(swapped, truth, choose_engine(), reference=found)
    assert diagnosis.explanations
    assert not any("quantized" in one.cause for one in diagnosis.explanations)
    assert diagnosis.reference_ap > diagnosis.ap


def test_a_reference_of_other_images_counts_for_those_in_common(scenes):
    found, truth = scenes
    half = np.arange(0, len(truth.images), 2)
    less, truth_of_less = take_images(found, truth, half)
    there = over_images_of(less, truth_of_less, truth)
    assert there.images == truth.images
    kept = np.isin(found.image_index, half)
    assert there.boxes_xywh_px.tolist() == found.boxes_xywh_px[kept].tolist()
    assert there.image_index.tolist() == found.image_index[kept].tolist()
