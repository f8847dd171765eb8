"""Odd annotations files: the numbers are those of pycocotools where it computes them, and all is listed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet.data.coco.dataset import FORMAT
from anydet.data.opening import open_dataset
from anydet.data.writing.coco import write_coco_labels
from anydet.data.writing.repair import repair_annotations
from anydet.errors import AnydetError, AnydetWarning, DatasetError
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.run import evaluate_coco
from anydet.geometry import masks

Document = dict[str, Any]


def _document() -> tuple[Document, list[Document]]:
    """Four images, two classes, twelve objects with masks and keypoints, and results that are about right."""
    noise = np.random.default_rng(3)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 160} for i in (3, 5, 8, 9)]
    annotations, results = [], []
    for number in range(12):
        image, category = (3, 5, 8, 9)[number % 4], (2, 6)[number % 2]
        x, y, w, h = noise.integers((0, 0, 20, 20), (90, 60, 100, 90)).tolist()
        ring, points = [x, y, x + w, y, x + w, y + h, x, y + h], {"keypoints": [x, y, 2], "num_keypoints": 1}
        annotations.append(
            {"id": 101 + number, "image_id": image, "category_id": category, "bbox": [x, y, w, h]}
            | {"area": w * h, "iscrowd": 0, "segmentation": [ring], **points}
        )
        for shift in (2, 9):
            box = [x + shift, y, w, h - shift]
            score = float(noise.uniform())
            outline = [x + shift, y, x + shift + w, y, x + shift + w, y + h - shift, x + shift, y + h - shift]
            rle = masks.from_polygons((tuple(outline),), (200, 160))
            code = {"size": [160, 200], "counts": rle.counts}
            result = {"image_id": image, "category_id": category, "bbox": box, "score": score}
            results.append({**result, "segmentation": code})
    categories = [{"id": 2, "name": "cat"}, {"id": 6, "name": "dog"}]
    return {"images": images, "annotations": annotations, "categories": categories}, results


DOCUMENT, RESULTS = _document()
POINTS = [
    {"image_id": one["image_id"], "category_id": one["category_id"], "score": one["score"]}
    | {"keypoints": [*one["bbox"][:2], 1]}
    for one in RESULTS
]
"""The results as persons of a single keypoint."""
SIGMAS = (0.05,)
Write = Callable[[Document], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an annotations file, and the results beside it."""
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))

    def to_file(document: Document) -> Path:
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(document))
        return path

    return to_file


def theirs(path: Path, iou_type: str = "bbox") -> list[float] | None:
    """The 12 numbers of pycocotools (10 of keypoints); ``None`` where it fails."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            truth = COCO(str(path))
            results = json.loads((path.parent / "results.json").read_text())
            evaluation = COCOeval(truth, truth.loadRes(results), iou_type)
            if iou_type == "keypoints":
                evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        except Exception:
            return None
    return [float(value) for value in evaluation.stats]


def ours(path: Path, settings: CocoSettings | None = None, engine: str | None = None) -> list[float]:
    """The same by anydet."""
    dataset = FORMAT.open(path, None, None)
    result = evaluate_coco(dataset, path.parent / "results.json", settings, engine=choose_engine(name=engine))
    return [-1.0 if value is None else value for value in result.metrics.values()]


def changed(kind: str, index: int, **fields: Any) -> Document:
    """The document with one entry changed; ``...`` takes a key out."""
    document = deepcopy(DOCUMENT)
    entry = document[kind][index]
    for key, value in fields.items():
        if value is ...:
            del entry[key]
        else:
            entry[key] = value
    return document


RING = DOCUMENT["annotations"][0]["segmentation"][0]
INFINITE = float("inf")


def crowd(value: Any, **fields: Any) -> Document:
    """The document whose first annotation has no keypoints and this ``iscrowd``."""
    return changed("annotations", 0, iscrowd=value, keypoints=..., num_keypoints=..., **fields)


COUNTED = [
    (changed("annotations", 0, bbox=[100, 100, -40, 20]), "negative width or height: 1", "count as missed"),
    (changed("annotations", 3, bbox=[100, 100, 40, -1e-9]), "negative width or height: 1", "count as missed"),
    (changed("annotations", 0, bbox=["10", "20", "30", "40"]), "written as text: 1", "read as numbers"),
    (changed("annotations", 0, area=-5), "negative area: 1", "count neither way"),
    (changed("annotations", 0, image_id=77), "not among the images: 1", "left out, as in pycocotools"),
    (changed("annotations", 0, image_id="3"), "not among the images: 1", "left out, as in pycocotools"),
    (changed("annotations", 0, category_id=7), "not among the categories: 1", "left out"),
    (changed("annotations", 0, segmentation=[RING, RING[:4]]), "fewer than 3 points", "boxes do not depend"),
    (changed("annotations", 0, segmentation=[RING, RING[:2]]), "fewer than 3 points", "boxes do not depend"),
    (changed("annotations", 0, segmentation=[[*RING, 5]]), "an odd number", "boxes do not depend on it"),
    (changed("annotations", 0, segmentation=[RING[:4]]), "no mask of their image: 1", "boxes do not depend"),
    (changed("annotations", 0, segmentation=RING), "or a flat list: 1", "boxes do not depend on it"),
    (changed("annotations", 0, segmentation={"size": [3, 4], "counts": [12]}), "no mask of their", "without"),
    (changed("annotations", 0, segmentation={"size": [160, 200], "counts": "~"}), "no mask of", "without"),
    (changed("annotations", 0, segmentation="none"), "no mask of their image", "read as without a mask"),
    (changed("annotations", 0, keypoints=[1, 2]), "not x, y, visibility", "boxes do not depend on them"),
    (changed("annotations", 0, keypoints=[1, 2, 7]), "visibility other than 0, 1 or 2", "as in pycocotools"),
    (changed("annotations", 0, id=105), "id of a later one: 1", "counts in place of each, as in pycocotools"),
    (changed("annotations", 0, id=102), "id of a later one: 1", "counts in place of each, as in pycocotools"),
    (changed("annotations", 7, id=101.0), "id of a later one: 1", "counts in place of each, as in"),
    (changed("annotations", 0, iscrowd=2), "number other than 0 and 1: 1", "read as crowds"),
    (crowd("1"), "written as text: 1", "read as numbers"),
    (crowd("2"), "written as text: 1", "read as numbers"),
    (crowd("0"), "fraction below 1, or text or else that is no crowd: 1", "count neither way"),
    (crowd(0.5), "fraction below 1, or text or else that is no crowd: 1", "count neither way"),
    (crowd(1.5), "number other than 0 and 1: 1", "read as crowds"),
    (changed("annotations", 0, category_id="2"), "not among the categories: 1", "left out"),
    (changed("annotations", 0, category_id=2.5), "not among the categories: 1", "left out"),
    (changed("annotations", 0, category_id=None), "not among the categories: 1", "left out"),
    (changed("annotations", 0, bbox=[-INFINITE, 20, 30, 40]), "infinite: 1", "missed, as in pycocotools"),
    (changed("annotations", 0, bbox=[1, 2, INFINITE, 4]), "infinite: 1", "missed, as in pycocotools"),
    (crowd(1, bbox=[1, -INFINITE, INFINITE, INFINITE]), "infinite: 1", "missed, as in pycocotools"),
    (changed("annotations", 0, area=INFINITE), "infinite area: 1", "count neither way, as in pycocotools"),
    (changed("annotations", 0, area=-INFINITE), "infinite area: 1", "count neither way, as in pycocotools"),
    (changed("annotations", 0, num_keypoints=0), "num_keypoints is 0 although", "are scored; pycocotools"),
    (changed("annotations", 0, state="worn"), "state is no whole number", "left out"),
    (changed("images", 1, file_name="3.jpg"), "file_name of another one: 1", "images of their own"),
    (changed("images", 1, file_name=...), "without a file_name: 1", "named by their id"),
    (changed("images", 1, width="wide"), "no sizes in pixels: 1", "unknown size"),
    (changed("images", 1, height=None), "no sizes in pixels: 1", "unknown size"),
    (changed("categories", 0, name=...), "without a name: 1", "called by their id"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "what", "effect"), COUNTED)
def test_one_odd_entry_counts_as_in_pycocotools_and_a_warning_says_so(
    write: Write, document: Document, what: str, effect: str
) -> None:
    path = write(document)
    with pytest.warns(AnydetWarning) as warned:
        numbers = ours(path)
    assert numbers == theirs(path)
    assert len(warned) == 1
    message = str(warned[0].message)
    assert what in message
    assert effect in message.split("; ", 1)[1]
    assert message.startswith(f"{path}: ")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.integers(1, 6), min_size=12, max_size=12), st.randoms(use_true_random=False), st.booleans()
)
@pytest.mark.slow
def test_annotations_of_the_same_id_count_as_in_pycocotools(
    write: Write, ids: list[int], chance: Any, masked: bool
) -> None:
    document = deepcopy(DOCUMENT)
    for annotation, number in zip(document["annotations"], ids, strict=True):
        # Boxes that compete for the same results, so that the order counts, too; some of no image or class.
        annotation |= {"id": number, "category_id": chance.choice([2, 2, 6, 7])}
        annotation["image_id"] = chance.choice([3, 3, 5, 8, 9, 77])
        annotation["bbox"] = chance.choice(DOCUMENT["annotations"])["bbox"]
        annotation["iscrowd"] = chance.choice([0, 0, 0, 1])
    chance.shuffle(document["images"])
    path = write(document)
    settings = CocoSettings("segm" if masked else "bbox")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnydetWarning)
        try:
            numbers = ours(path, settings)
        except AnydetError:
            # Not one annotation is left: all stand for one of no image or no class.
            assert set(theirs(path) or [-1.0]) == {-1.0}
            return
    wanted = theirs(path, settings.iou_type)
    # Of a mask on an image that is not there, pycocotools does not know the size.
    assert numbers == wanted or (masked and wanted is None)


def test_a_repaired_copy_keeps_annotations_of_the_same_id(write: Write, tmp_path: Path) -> None:
    document = deepcopy(DOCUMENT)
    for annotation in document["annotations"][:3]:
        annotation["id"] = 103
    done = repair_annotations(write(document), tmp_path / "mended.json")
    assert [line.rsplit("; ", 1)[1] for line in done.repairs] == ["each has an id of its own"]
    mended = json.loads((tmp_path / "mended.json").read_text())["annotations"]
    assert [one["id"] for one in mended] == [103, 113, 114, *range(104, 113)]
    assert [one["bbox"] for one in mended] == [one["bbox"] for one in document["annotations"]]


@pytest.mark.parametrize("lack", [{"categories": None}, {"categories": []}, {}])
def test_a_repaired_copy_of_a_file_without_categories_has_those_of_its_annotations(
    write: Write, tmp_path: Path, lack: Document
) -> None:
    document = deepcopy({key: DOCUMENT[key] for key in ("images", "annotations")} | lack)
    document["annotations"][0]["iscrowd"] = None
    done = repair_annotations(write(document), tmp_path / "mended.json")
    assert (done.annotations, done.before) == (12, 12)
    mended = json.loads((tmp_path / "mended.json").read_text())
    assert mended["categories"] == [{"id": 2, "name": "2"}, {"id": 6, "name": "6"}]
    assert mended["annotations"] == DOCUMENT["annotations"]
    assert [line.rsplit("; ", 1)[1] for line in done.repairs][-2:] == [
        "a category for each, called by its id",
        "0",
    ]


FAILING = [
    (changed("annotations", 0, bbox=...), "the box around it is taken"),
    (changed("annotations", 0, bbox=..., segmentation=...), "left out; pycocotools fails"),
    (changed("annotations", 0, bbox=[1, 2, 3], segmentation=...), "left out; pycocotools fails"),
    (changed("annotations", 0, area="large"), "width x height is taken"),
    (changed("annotations", 0, area=float("nan")), "width x height is taken; pycocotools counts"),
    (changed("annotations", 0, bbox=[1, 2, float("nan"), 4]), "the box around it is taken; pycocotools"),
    (changed("annotations", 0, bbox=[1, "nan", 3, 4], segmentation=...), "left out; pycocotools takes"),
    (changed("annotations", 0, bbox=[1, None, 3, 4], segmentation=...), "left out; pycocotools takes"),
    (changed("annotations", 0, bbox=[1, 2, 10**400, 4]), "count as missed"),
    (crowd("yes"), "count neither way"),
    (crowd([]), "count neither way"),
    (crowd(float("nan")), "count neither way"),
    (crowd("1.0"), "read as numbers"),
    (changed("annotations", 0, id="first"), "read as without an id"),
    (changed("images", 0, id=...), "left out"),
    (changed("images", 0, id=None), "left out"),
    (changed("annotations", 0, iscrowd=None), "read as no crowds; pycocotools fails"),
    (changed("annotations", 0, iscrowd=-1), "read as crowds, as everything is that is not 0"),
    ({key: DOCUMENT[key] for key in ("images", "annotations")}, "each is a class, called by its id"),
    ({**DOCUMENT, "categories": []}, "each is a class, called by its id"),
    ({**DOCUMENT, "annotations": [*DOCUMENT["annotations"], 7]}, "left out"),
    ({**DOCUMENT, "categories": [*DOCUMENT["categories"], {"name": "x"}]}, "left out"),
]


@pytest.mark.parametrize(("document", "effect"), FAILING)
def test_what_pycocotools_cannot_take_is_left_out_alone(
    write: Write, document: Document, effect: str
) -> None:
    path = write(document)
    with pytest.warns(AnydetWarning, match=effect):
        dataset = open_dataset(path)
    assert len(dataset.ground_truth()) >= 9
    assert {labels for record in dataset for labels in record.labels.class_ids.tolist()} == {0, 1}  # type: ignore[union-attr]


@pytest.mark.parametrize("fields", [{"iscrowd": "0"}, {"iscrowd": 0.5}, {"iscrowd": "no"}])
def test_what_would_make_a_number_wrong_is_refused_with_place_and_way(write: Write, fields: Document) -> None:
    path = write(changed("annotations", 4, **fields))
    with pytest.raises(DatasetError, match=r"1 \(the first: annotation 105 \(annotations\[4\]\)") as caught:
        open_dataset(path)
    assert f"check-dataset {path} --repair OUT.json" in caught.value.fix


def test_iscrowd_as_text_throughout_is_read_as_numbers(write: Write) -> None:
    document = deepcopy(DOCUMENT)
    document["annotations"][3]["iscrowd"] = 1
    wanted = ours(write(document))
    for annotation in document["annotations"]:
        annotation["iscrowd"] = str(annotation["iscrowd"])
    with pytest.warns(AnydetWarning, match="iscrowd is text, as in the whole file: 12 .*any text is true"):
        assert ours(write(document)) == wanted


@pytest.mark.parametrize("scanner", [True, False])
def test_keypoints_that_num_keypoints_denies_are_scored_with_a_warning(write: Write, scanner: bool) -> None:
    document = deepcopy(DOCUMENT)
    for value, annotation in zip([0, 0.0, False, -0.0], document["annotations"], strict=False):
        annotation["num_keypoints"] = value
    path = write(document)
    (path.parent / "results.json").write_text(json.dumps(POINTS))
    settings = CocoSettings("keypoints", keypoint_sigmas=SIGMAS)
    engine = choose_engine() if scanner else None
    with pytest.warns(AnydetWarning, match="num_keypoints is 0 although keypoints are visible: 4 "):
        dataset = open_dataset(path, scanner=getattr(engine, "scanner", None))
    numbers = list(evaluate_coco(dataset, path.parent / "results.json", settings).metrics.values())
    (path.parent / "truth.json").write_text(json.dumps(DOCUMENT))
    assert [-1.0 if one is None else one for one in numbers] == theirs(path, "keypoints")


def test_a_repaired_copy_has_what_text_and_numbers_that_are_not_finite_say(
    write: Write, tmp_path: Path
) -> None:
    document = deepcopy(DOCUMENT)
    fields: list[Document] = [
        {"iscrowd": "1"},
        {"iscrowd": "0"},
        {"iscrowd": "true", "keypoints": []},
        {"bbox": [1, 2, INFINITE, 4]},
        {"bbox": [1, 2, float("nan"), 4], "segmentation": None},
        {"area": float("nan")},
        {"area": INFINITE},
        {"num_keypoints": 0},
    ]
    for annotation, change in zip(document["annotations"], fields, strict=False):
        annotation.update(change)
    done = repair_annotations(write(document), tmp_path / "mended.json")
    assert (done.annotations, done.before) == (10, 12)
    assert len(done.repairs) == 8
    dataset = open_dataset(tmp_path / "mended.json")  # of which any warning is an error
    labels = dataset.ground_truth().labels
    assert labels.iscrowd.sum() == 2
    boxes = labels.boxes_xywh_px
    assert labels.areas.tolist() == (boxes[:, 2] * boxes[:, 3]).tolist()
    mended = json.loads((tmp_path / "mended.json").read_text())["annotations"]
    assert all(one["num_keypoints"] for one in mended)


def test_images_of_one_file_keep_their_labels_and_numbers_in_a_repaired_copy(
    write: Write, tmp_path: Path
) -> None:
    document = changed("images", 1, file_name="3.jpg")
    path = write(document)
    done = repair_annotations(path, tmp_path / "mended.json")
    assert (done.annotations, done.before) == (12, 12)
    assert [line.rsplit("; ", 1)[1] for line in done.repairs] == ["left as they are"]
    with pytest.warns(AnydetWarning, match="file_name of another one: 1"):
        numbers = ours(tmp_path / "mended.json")
    assert numbers == theirs(path)


def test_every_kind_gets_one_line_with_its_count(write: Write) -> None:
    document = deepcopy(DOCUMENT)
    for index in range(3):
        document["annotations"][index]["bbox"][2] *= -1
    document["annotations"][5]["segmentation"] = [[1, 2]]
    with pytest.warns(AnydetWarning) as warned:
        open_dataset(write(document))
    assert [str(one.message).split(": ", 2)[2][:25] for one in warned] == [
        "3 (the first: annotation ", "1 (the first: annotation ",
    ]  # fmt: skip


def test_ids_of_another_type_throughout_are_joined_with_a_warning(write: Write) -> None:
    document = deepcopy(DOCUMENT)
    for annotation in document["annotations"]:
        annotation["image_id"] = str(annotation["image_id"])
    path = write(document)
    with pytest.warns(AnydetWarning, match="whose ids are text where .*: 12 .*; joined"):
        numbers = ours(path)
    assert numbers == ours(write(DOCUMENT))


@pytest.mark.parametrize("name", ["cat-{}", "{}", "1{:029}"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_category_ids_are_names_with_the_numbers_of_the_same_file_with_integers(
    write: Write, name: str, iou_type: str
) -> None:
    wanted = theirs(write(DOCUMENT), iou_type)
    named, results = deepcopy(DOCUMENT), deepcopy(RESULTS)

    def call(own: int) -> int | str:
        # Integers of 100 bits, where the name is one of those.
        return int(name.format(own)) if name[0] == "1" else name.format(own)

    for entries, field in (
        (named["categories"], "id"),
        (named["annotations"], "category_id"),
        (results, "category_id"),
    ):
        for entry in entries:
            entry[field] = call(entry[field])
    path = write(named)
    (path.parent / "results.json").write_text(json.dumps(results))
    settings = CocoSettings("segm" if iou_type == "segm" else "bbox")
    assert ours(path, settings) == wanted
    dataset = FORMAT.open(path, None, None)
    assert dataset.classes is not None
    assert dataset.classes.own_ids == (call(2), call(6))
    result = evaluate_coco(dataset, path.parent / "results.json", settings)
    assert [row["source_id"] for row in result.per_class] == [call(2), call(6)]
    # A copy in COCO's form keeps the names.
    write_coco_labels(dataset, dataset, path.parent, "val")
    assert open_dataset(path.parent).classes == dataset.classes


@pytest.mark.parametrize("side", ["truth", "results"])
def test_category_ids_as_text_on_one_side_are_joined_with_a_warning(write: Write, side: str) -> None:
    wanted = theirs(write(DOCUMENT))
    document, results = deepcopy(DOCUMENT), deepcopy(RESULTS)
    for entry in (*document["annotations"], *document["categories"]) if side == "truth" else results:
        field = "id" if "name" in entry else "category_id"
        entry[field] = str(entry[field])
    path = write(document)
    (path.parent / "results.json").write_text(json.dumps(results))
    with pytest.warns(AnydetWarning, match="results are joined by the text of category_id"):
        assert ours(path) == wanted


def test_lists_of_categories_of_lvis_may_hold_names(write: Write) -> None:
    document = deepcopy(DOCUMENT)
    for entry in (*document["annotations"], *document["categories"]):
        field = "id" if "name" in entry else "category_id"
        entry[field] = f"c{entry[field]}"
    for image in document["images"]:
        image |= {"neg_category_ids": ["c6"], "not_exhaustive_category_ids": []}
    federation = FORMAT.open(write(document), None, None).ground_truth().federation
    assert federation is not None
    assert federation.absent.tolist() == [[i, 1] for i in range(4)]


@pytest.mark.parametrize("box", [[100, 100, -40, 20], [140, 120, -40, -20], [100, 100, 40, -1e-9]])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("engine", ["pycocotools", None])
def test_a_result_of_negative_size_counts_as_pycocotools_counts_it(
    write: Write, box: list[float], iou_type: Any, engine: str | None
) -> None:
    path = write(DOCUMENT)
    results = deepcopy(RESULTS)
    results[0]["bbox"] = box
    (path.parent / "results.json").write_text(json.dumps(results))
    settings = CocoSettings(iou_type, pycocotools_quirks=True)
    with pytest.warns(
        AnydetWarning, match=rf"boxes of negative size: 1 of {len(RESULTS)} \(the first: \[0\]"
    ):
        assert ours(path, settings, engine) == theirs(path, iou_type)


@pytest.mark.parametrize("far", [2.0**31, -1e12, 1e308])
@pytest.mark.parametrize("side", ["truth", "results"])
@pytest.mark.parametrize("engine", ["pycocotools", None])
def test_a_polygon_that_reaches_far_out_is_an_error_and_never_ends_the_process(
    write: Write, far: float, side: str, engine: str | None
) -> None:
    ring = [0, 0, far, 0, far, far]
    path = write(changed("annotations", 0, segmentation=[ring]) if side == "truth" else DOCUMENT)
    results = deepcopy(RESULTS)
    if side == "results":
        results[0]["segmentation"] = [ring]
    (path.parent / "results.json").write_text(json.dumps(results))
    far_out = "a polygon reaches far out of its image"
    settings = CocoSettings("segm", pycocotools_quirks=True)
    if side == "results":  # pycocotools ends the process
        with (
            pytest.warns(AnydetWarning, match=far_out),
            pytest.warns(AnydetWarning, match="that can be read"),
        ):
            numbers = ours(path, settings, engine)
        (path.parent / "results.json").write_text(json.dumps(results[1:]))
        assert numbers == theirs(path, "segm")
        return
    with pytest.raises(AnydetError, match=far_out) as caught:
        ours(path, settings, engine)
    assert caught.value.fix


OTHER_SIZE = {"size": [7, 9], "counts": [0, 63]}


@pytest.mark.parametrize("engine", ["pycocotools", None])
@pytest.mark.parametrize(
    ("mask", "said", "scored"),
    [
        (..., "1 of .* detections have no mask .*scored as if their boxes", True),
        (OTHER_SIZE, "1 of .* detections have a mask of another size", True),
        ([[*RING, 3]], "polygons of an odd number of coordinates: 1 of .* the last coordinate", True),
        ([], "1 of .* detections have no mask that can be read", False),
        (None, "1 of .* detections have no mask that can be read", False),
        ([[1, 1, 2, 2]], "1 of .* detections have no mask that can be read", False),
        ("x", "1 of .* detections have no mask that can be read", False),
    ],
)
@pytest.mark.filterwarnings("ignore:.*segmentations that are no mask")
def test_one_unusable_segmentation_of_a_result_leaves_the_other_masks_their_numbers(
    write: Write, mask: Any, said: str, scored: bool, engine: str | None
) -> None:
    path = write(DOCUMENT)
    results = deepcopy(RESULTS)
    put(results, (0, "segmentation"), mask)
    (path.parent / "results.json").write_text(json.dumps(results))
    with pytest.warns(AnydetWarning, match=said):
        numbers = ours(path, CocoSettings("segm", pycocotools_quirks=True), engine)
    if not scored:
        assert theirs(path, "segm") is None
        (path.parent / "results.json").write_text(json.dumps(results[1:]))
    assert numbers == theirs(path, "segm")


INTRUDERS = st.sampled_from(
    [
        *(..., None, True, False, 0, -1, 1.0, 0.5, 2**31, 2**63, -(2**63) - 1, 1e308),
        *(float("nan"), float("inf"), -float("inf")),
        *("", "x", "7", "3", "1e3", [], [1], [0, 0, 1, -1], [[]], [[1, 2]], [[1, 2, 3, 4]], [1, 2, 3, 4]),
        *([None] * 4, {}, {"size": [1, 2]}, {"counts": [], "size": [0, 0]}, [[5] * 7]),
        {"size": [160.0, 200.0], "counts": [32000]},
    ]
) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "size", "id"]), inner),
    max_leaves=6,
)
Place = tuple[str | int, ...]
ANNOTATION: list[Place] = [
    *((), ("id",), ("image_id",), ("category_id",), ("area",), ("iscrowd",), ("state",), ("num_keypoints",)),
    *(("bbox",), ("bbox", 0), ("bbox", 3), ("keypoints",), ("keypoints", 0), ("keypoints", 2)),
    *(("segmentation",), ("segmentation", 0), ("segmentation", 0, 3)),
]
IMAGE: list[Place] = [(), ("id",), ("file_name",), ("width",), ("height",), ("neg_category_ids",)]
TRUTH: list[tuple[str | int, ...]] = [
    *(("annotations", i, *place) for place in ANNOTATION for i in (0, 1)),
    *(("images", i, *place) for place in IMAGE for i in (0, 1)),
    *(("categories", i, *place) for place in ((), ("id",), ("name",), ("frequency",)) for i in (0, 1)),
    *(("images",), ("annotations",), ("categories",)),
]
RESULT: list[Place] = [
    *((), ("image_id",), ("category_id",), ("score",), ("area",), ("id",), ("iscrowd",), ("file_name",)),
    *(("bbox",), ("segmentation",), ("keypoints",)),
]
MASK: list[Place] = [("bbox", 0), ("bbox", 3), ("segmentation", "size", 0), ("segmentation", "counts")]
POINT: list[Place] = [("keypoints", 0), ("keypoints", 2)]
"""Places that are only in results of the one kind or the other."""
RESULTS_OF = st.sampled_from(
    [(iou_type, place) for iou_type in ("bbox", "segm") for place in RESULT + MASK]
    + [("keypoints", place) for place in RESULT + POINT]
)
IOU_TYPES = st.sampled_from(["bbox", "segm", "keypoints"])
MANY = int(os.environ.get("ANYDET_BROKEN_CASES", "5000"))
QUICK, SIEGE = (
    settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    for count in (150, MANY)
)


def put(holder: Any, place: Place, value: Any) -> None:
    """Put a value in a place; ``...`` takes out what is there."""
    for key in place[:-1]:
        holder = holder[key]
    if value is not ...:
        holder[place[-1]] = value
    elif isinstance(holder, list):
        del holder[place[-1]]
    else:
        holder.pop(place[-1], None)


def is_right_or_refused(path: Path, iou_type: Any, place: Place, value: Any) -> None:
    """The numbers are those of pycocotools, where it has some, or the error has a place and a way forward."""
    settings = CocoSettings(
        iou_type, keypoint_sigmas=SIGMAS if iou_type == "keypoints" else None, pycocotools_quirks=True
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AnydetWarning)
        try:
            numbers = ours(path, settings)
        except AnydetError as exc:
            refused = exc
        else:
            refused = None
    if refused is not None:
        assert refused.problem
        assert refused.fix
        return
    if any("no mask that can be read" in str(one.message) for one in said):
        # What pycocotools makes of such codes is chance.
        results = json.loads((path.parent / "results.json").read_text())
        del results[place[1]]
        (path.parent / "results.json").write_text(json.dumps(results))
    elif "segmentation" in place and (len(place) > 3 or _beyond(value)):
        return  # pycocotools allocates what such a mask takes, or ends the process
    if place[0] == "annotations" and {"keypoints", "num_keypoints"} & {*place}:
        return  # pycocotools believes num_keypoints, and scores what has no points by its box
    if place[0] == "annotations" and {"bbox", "area"} & {*place} and _has_nan(value):
        return  # to pycocotools a box of NaN matches whatever overlaps, and an area of NaN is in every range
    wanted = theirs(path, iou_type)
    if place == ("categories",) and wanted is not None and {*wanted} == {-1.0}:
        return  # pycocotools evaluates no class of a file without categories
    assert wanted is None or numbers == wanted


def _beyond(value: Any) -> bool:
    """Whether a number in it is none of a picture."""
    if isinstance(value, list | dict):
        return any(map(_beyond, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int | float) and not abs(value) < 1e5


def _has_nan(value: Any) -> bool:
    """Whether numpy makes NaN of it or of a part of it: of null, too."""
    if isinstance(value, list):
        return any(map(_has_nan, value))
    return value is None or (isinstance(value, float) and np.isnan(value))


def truth_is_right_or_refused(write: Write, place: Place, value: Any, iou_type: str) -> None:
    document = deepcopy(DOCUMENT)
    put(document, place, value)
    path = write(document)
    (path.parent / "results.json").write_text(json.dumps(POINTS if iou_type == "keypoints" else RESULTS))
    is_right_or_refused(path, iou_type, place, value)


def results_are_right_or_refused(write: Write, index: int, which: tuple[str, Place], value: Any) -> None:
    iou_type, place = which
    results = deepcopy(POINTS if iou_type == "keypoints" else RESULTS)
    put(results, (index, *place), value)
    path = write(DOCUMENT)
    (path.parent / "results.json").write_text(json.dumps(results))
    is_right_or_refused(path, iou_type, ("results", index, *place), value)


@pytest.mark.slow
@QUICK
@example(("annotations", 0, "bbox"), [1, 2, float("nan"), 4], "bbox")
@example(("annotations", 0, "bbox", 0), None, "bbox")
@given(st.sampled_from(TRUTH), INTRUDERS, IOU_TYPES)
def test_a_file_with_one_broken_field_has_pycocotools_numbers_or_is_refused(
    write: Write, place: Place, value: Any, iou_type: str
) -> None:
    truth_is_right_or_refused(write, place, value, iou_type)


@pytest.mark.slow
@QUICK
@example(0, ("bbox", ("segmentation",)), [""])
@example(0, ("segm", ("bbox", 3)), 1e308)
@example(0, ("keypoints", ("keypoints",)), None)
@example(0, ("keypoints", ("keypoints", 0)), None)
@given(st.integers(0, 2), RESULTS_OF, INTRUDERS)
def test_results_with_one_broken_field_have_pycocotools_numbers_or_are_refused(
    write: Write, index: int, which: tuple[str, Place], value: Any
) -> None:
    results_are_right_or_refused(write, index, which, value)


@pytest.mark.soak
@SIEGE
@given(st.sampled_from(TRUTH), INTRUDERS, IOU_TYPES)
def test_files_with_broken_fields_of_every_kind(
    write: Write, place: Place, value: Any, iou_type: str
) -> None:
    truth_is_right_or_refused(write, place, value, iou_type)


@pytest.mark.soak
@SIEGE
@given(st.integers(0, 2), RESULTS_OF, INTRUDERS)
def test_results_with_broken_fields_of_every_kind(
    write: Write, index: int, which: tuple[str, Place], value: Any
) -> None:
    results_are_right_or_refused(write, index, which, value)
