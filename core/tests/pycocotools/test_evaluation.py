"""``anydet.pycocotools`` against pycocotools, in every bit, with one import changed."""

from __future__ import annotations

import copy
import json
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import anydet.pycocotools.coco
import anydet.pycocotools.cocoeval
from anydet.pycocotools import evaluation, mask

IOU_TYPES = ("bbox", "segm", "keypoints")
SIGMAS = np.array([0.1, 0.05, 0.2])
THEIRS = SimpleNamespace(COCO=pycocotools.coco.COCO, COCOeval=pycocotools.cocoeval.COCOeval)
OURS = SimpleNamespace(COCO=anydet.pycocotools.coco.COCO, COCOeval=anydet.pycocotools.cocoeval.COCOeval)
compiled = pytest.mark.skipif(evaluation.compiled() is None, reason="anydet-fasteval is not built")
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def prepared(kind, problem, iou_type, *, evaluator=None, **params):
    """An evaluator of a problem, before anything is evaluated."""
    truth, results = copy.deepcopy(problem)
    coco = kind.COCO()
    coco.dataset = truth
    coco.createIndex()
    if results:
        found = coco.loadRes(results)
    else:
        found = kind.COCO()
        found.dataset = {**truth, "annotations": []}
        found.createIndex()
    run = (evaluator or kind.COCOeval)(coco, found, iou_type)
    if iou_type == "keypoints":
        run.params.kpt_oks_sigmas = SIGMAS
    for name, value in copy.deepcopy(params).items():
        setattr(run.params, name, value)
    return run


def evaluated(*args, **params):
    run = prepared(*args, **params)
    run.evaluate()
    run.accumulate()
    return run


def both(problem, iou_type, **params):
    return [evaluated(kind, problem, iou_type, **params) for kind in (THEIRS, OURS)]


def assert_equal(theirs, ours, name=""):
    """Values and types of nested results."""
    assert type(theirs) is type(ours), name
    if isinstance(theirs, dict):
        assert theirs.keys() == ours.keys(), name
        for key in theirs:
            assert_equal(theirs[key], ours[key], f"{name}[{key!r}]")
    elif isinstance(theirs, list):
        assert len(theirs) == len(ours), name
        for i, pair in enumerate(zip(theirs, ours, strict=True)):
            assert_equal(*pair, f"{name}[{i}]")
    elif isinstance(theirs, np.ndarray):
        assert theirs.dtype == ours.dtype, name
        np.testing.assert_array_equal(theirs, ours, err_msg=name)
    else:
        assert repr(theirs) == repr(ours), name


def assert_same_run(theirs, ours):
    curves = ("counts", "precision", "recall", "scores")
    assert theirs.eval.keys() == ours.eval.keys()
    assert_equal({k: theirs.eval[k] for k in curves}, {k: ours.eval[k] for k in curves})
    assert ours.eval["params"] is ours.params
    assert_equal(vars(theirs.params), vars(ours.params))
    assert_equal(vars(theirs._paramsEval), vars(ours._paramsEval))
    assert_equal(theirs.ious, ours.ious, "ious")
    assert_equal(theirs.evalImgs, ours.evalImgs, "evalImgs")


@st.composite
def custom_params(draw, truth, iou_type):
    """Parameters as people set them: fewer images and classes, other thresholds, all classes as one."""
    images = sorted(one["id"] for one in truth["images"])
    classes = sorted(one["id"] for one in truth["categories"])
    params = {}
    if images and draw(st.booleans()):
        params["imgIds"] = draw(st.lists(st.sampled_from(images), min_size=1))
    if classes and draw(st.booleans()):
        params["catIds"] = draw(st.lists(st.sampled_from(classes), min_size=1))
    if draw(st.booleans()):
        some = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.75, 0.9, 1.0]), min_size=1, max_size=4)
        params["iouThrs"] = np.array(draw(some))
        params["recThrs"] = np.array(sorted(draw(st.lists(st.floats(0, 1), min_size=1, max_size=5))))
        params["maxDets"] = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
        params["areaRng"] = [[0, 1e10], [5, 1023.5], [0, 0]]
        params["areaRngLbl"] = ["all", "some", "none"]
    params["useCats"] = draw(st.sampled_from([1, 1, 0]))
    return params


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", IOU_TYPES)
@many
@given(data=st.data())
def test_random_problems_give_the_bits_of_pycocotools(data, iou_type, random_problems):
    problem = data.draw(random_problems(iou_type))
    params = data.draw(custom_params(problem[0], iou_type))
    assert_same_run(*both(problem, iou_type, **params))


@pytest.mark.parametrize("iou_type", IOU_TYPES)
def test_the_printed_text_and_stats_are_those_of_pycocotools(iou_type, three_images, capsys):
    texts, stats = [], []
    for kind in (THEIRS, OURS):
        run = evaluated(kind, three_images(iou_type), iou_type)
        run.summarize()
        texts.append(re.sub(r"t=\d+\.\d+s", "t", capsys.readouterr().out))
        stats.append(run.stats)
    assert texts[0] == texts[1]
    assert "Average Precision  (AP) @[ IoU=0.50:0.95" in texts[1]
    assert_equal(*stats)


@pytest.fixture
def three_images():
    """A problem of three images with hits, misses, a crowd, and equal scores."""

    def problem(iou_type="bbox"):
        boxes = [[4, 5, 40, 30], [50, 5, 20, 60], [1, 60, 60, 30]]
        outline = [[4, 5, 44, 5, 44, 35, 4, 35]]
        points = {"keypoints": [10, 10, 2, 20, 20, 1, 30, 30, 0], "num_keypoints": 2}
        truth = {
            "images": [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in (1, 2, 3)],
            "categories": [{"id": c, "name": str(c)} for c in (3, 7)],
            "annotations": [
                {
                    "id": 10 * i + b,
                    "image_id": i,
                    "category_id": (3, 7, 3)[b],
                    "bbox": box,
                    "area": box[2] * box[3],
                }
                | {"iscrowd": int(b == 2), "segmentation": outline, **points}
                for i in (1, 2)
                for b, box in enumerate(boxes)
            ],
        }
        shape = {
            "bbox": lambda box: {"bbox": box},
            "segm": lambda box: {"segmentation": coded(box)},
            "keypoints": lambda box: {"keypoints": [box[0] + 6, box[1] + 5, 1, 20, 21, 1, 31, 30, 1]},
        }[iou_type]
        found = [
            {"image_id": i, "category_id": (3, 7, 3)[b], "score": (0.5, 0.75, 0.5)[b]}
            | shape([box[0] + i, *box[1:]])
            for i in (1, 2, 3)
            for b, box in enumerate(boxes)
        ]
        return truth, found

    return problem


def coded(box):
    x, y, w, h = box
    pixels = np.zeros((100, 100), np.uint8, order="F")
    pixels[y : y + h, x : x + w] = 1
    return mask.encode(pixels)


@compiled
def test_usual_evaluations_run_on_the_compiled_engine(three_images, monkeypatch):
    def refuse(self):
        raise AssertionError("pycocotools evaluated")

    monkeypatch.setitem(evaluation.ORIGINAL, "evaluate", refuse)
    monkeypatch.setitem(evaluation.ORIGINAL, "accumulate", refuse)
    for iou_type in IOU_TYPES:
        assert not vars(evaluated(OURS, three_images(iou_type), iou_type)).keys() & evaluation.ON_DEMAND
    evaluated(OURS, three_images(), "bbox", useCats=0)


@pytest.mark.parametrize("use_segm", [0, 1])
def test_the_old_name_of_the_iou_type_counts(use_segm, three_images):
    theirs, ours = both(three_images("segm"), "bbox", useSegm=use_segm)
    assert_same_run(theirs, ours)
    assert ours.params.iouType == ("segm" if use_segm else "bbox")


@pytest.mark.parametrize(
    "change",
    [
        {"catIds": [3]},
        {"imgIds": [1, 3]},
        {"maxDets": [10]},
        {"areaRng": [[0, 1e10]]},
        {"recThrs": np.array([0.0, 0.25, 1.0])},
        {"recThrs": np.array([1.0, 0.0])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_curves_of_other_parameters_than_evaluated(change, three_images):
    runs = [prepared(kind, three_images(), "bbox") for kind in (THEIRS, OURS)]
    for run in runs:
        run.evaluate()
        params = copy.deepcopy(run.params)
        for name, value in change.items():
            setattr(params, name, value)
        run.accumulate(params)
        assert run.eval["params"] is params
    curves = ("counts", "precision", "recall", "scores")
    assert_equal(*({k: run.eval[k] for k in curves} for run in runs))


def test_results_of_images_that_are_set_by_hand_are_accumulated(three_images):
    # As torchvision's references and DETR join what several processes evaluated.
    runs = []
    for kind in (THEIRS, OURS):
        parts = [prepared(kind, three_images(), "bbox", imgIds=ids) for ids in ([1], [2, 3])]
        rows = []
        for part in parts:
            part.evaluate()
            shape = len(part.params.catIds), len(part.params.areaRng), len(part.params.imgIds)
            rows.append(np.asarray(part.evalImgs).reshape(shape))
        joint = prepared(kind, three_images(), "bbox")
        joint.evalImgs = list(np.concatenate(rows, 2).flatten())
        joint.params.imgIds = [1, 2, 3]
        joint._paramsEval = copy.deepcopy(joint.params)
        joint.accumulate()
        joint.summarize()
        runs.append(joint)
    assert_equal(runs[0].stats, runs[1].stats)
    whole = evaluated(OURS, three_images(), "bbox")
    assert_equal(whole.eval["precision"], runs[1].eval["precision"])


def test_what_was_done_to_results_of_images_counts(three_images):
    runs = [prepared(kind, three_images(), "bbox") for kind in (THEIRS, OURS)]
    for run in runs:
        run.evaluate()
        for one in filter(None, run.evalImgs):
            one["dtIgnore"][:] = True
        run.accumulate()
    assert_equal(runs[0].eval["precision"], runs[1].eval["precision"])
    assert runs[1].eval["precision"].max() == 0


def test_overridden_overlaps_count(three_images):
    """A subclass as people write them for rotated boxes."""

    def halved(base):
        class Halved(base):
            def computeIoU(self, imgId, catId):
                found = super().computeIoU(imgId, catId)
                return found if len(found) == 0 else found / 2

        return Halved

    theirs, ours = (
        evaluated(kind, three_images(), "bbox", evaluator=halved(kind.COCOeval)) for kind in (THEIRS, OURS)
    )
    assert_same_run(theirs, ours)
    assert ours.eval["precision"].max() < evaluated(OURS, three_images(), "bbox").eval["precision"].max()


@pytest.mark.parametrize(
    "change",
    [
        lambda truth, found: truth["annotations"][0].update(id=0),
        lambda truth, found: [one.update(id=one["id"] % 10) for one in truth["annotations"]],
        lambda truth, found: [one.update(id=one["id"] + 0.5) for one in truth["annotations"]],
        lambda truth, found: truth["annotations"][0].update(id=-4),
        lambda truth, found: truth["annotations"][0].update(iscrowd=2, ignore=1),
        lambda truth, found: truth["annotations"][0].update(area=float("nan")),
        lambda truth, found: found[0].update(score=float("nan")),
        lambda truth, found: [one.update(score=np.float32(one["score"])) for one in found],
        lambda truth, found: found[0].update(bbox=[4.0, 5.0, float("inf"), 30.0]),
        lambda truth, found: found[0].update(category_id=99),
        lambda truth, found: (
            [one.update(image_id=f"i{one['image_id']}") for one in truth["annotations"] + found]
            + [one.update(id=f"i{one['id']}") for one in truth["images"]]
        ),
    ],
    ids=[
        "id 0",
        "ids twice",
        "fractions",
        "negative",
        "crowd 2",
        "NaN",
        "score",
        "float32",
        "inf",
        "class",
        "text",
    ],
)
def test_odd_annotations_count_as_in_pycocotools(change, three_images):
    problem = three_images()
    change(*problem)
    with np.errstate(invalid="ignore"):
        assert_same_run(*both(problem, "bbox"))


@pytest.mark.parametrize("name", ["iscrowd", "area", "bbox", "score"])
def test_what_is_missing_is_the_error_of_pycocotools(name, three_images):
    problem = three_images()
    for one in problem[1 if name == "score" else 0]["annotations" if name != "score" else slice(None)]:
        one.pop(name, None)
    for kind in (THEIRS, OURS):
        with pytest.raises(KeyError, match=name):
            evaluated(kind, problem, "bbox")


def test_an_evaluator_is_evaluated_again_with_other_parameters(three_images):
    runs = both(three_images(), "bbox", useCats=0)
    for run in runs:
        run.params.useCats, run.params.catIds, run.params.imgIds = 1, [7], [2, 2, 1]
        run.evaluate()
        run.accumulate()
    assert_same_run(*runs)


def test_an_evaluator_can_be_pickled_and_copied_between_its_steps(three_images):
    theirs = evaluated(THEIRS, three_images(), "bbox")
    run = prepared(OURS, three_images(), "bbox")
    run.evaluate()
    for copied in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        copied.accumulate()
        assert_same_run(theirs, copied)


def test_nothing_was_evaluated_is_said_as_before(three_images, capsys):
    runs = [prepared(kind, three_images(), "bbox") for kind in (THEIRS, OURS)]
    for run in runs:
        assert [run.evalImgs, run.ious, run.stats, run.eval] == [{}, {}, [], {}]
        with pytest.raises(Exception, match="accumulate"):
            run.summarize()
    capsys.readouterr()


def test_masks_and_ignored_annotations_are_written_into_the_dictionaries(three_images):
    theirs, ours = both(three_images("segm"), "segm")
    for one, other in zip(theirs.cocoGt.anns.values(), ours.cocoGt.anns.values(), strict=True):
        assert_equal(one["segmentation"], other["segmentation"])
        assert one["ignore"] == other["ignore"]


@pytest.mark.parametrize("form", ["path", "text", "list", "array"])
def test_results_are_loaded_from_files_lists_and_arrays(form, three_images, tmp_path, capsys):
    truth, found = three_images()
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(found))
    rows = [[one["image_id"], *one["bbox"], one["score"], one["category_id"]] for one in found]
    given = {
        "text": str(tmp_path / "found.json"),
        "path": tmp_path / "found.json",
        "array": np.array(rows, float),
    }
    loaded, texts = [], []
    for kind in (THEIRS, OURS):
        coco = kind.COCO(str(tmp_path / "truth.json"))
        given["list"] = copy.deepcopy(found)
        loaded.append(coco.loadRes(str(given[form]) if kind is THEIRS and form == "path" else given[form]))
        texts.append(re.sub(r"t=\d+\.\d+s", "t", capsys.readouterr().out))
    assert type(loaded[1]) is OURS.COCO
    assert texts[0] == texts[1]
    assert vars(loaded[0]) == vars(loaded[1])


def test_annotations_are_indexed_from_a_path_nothing_and_a_dictionary(three_images, tmp_path):
    truth, _ = three_images()
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    theirs = THEIRS.COCO(str(tmp_path / "truth.json"))
    for ours in (OURS.COCO(tmp_path / "truth.json"), OURS.COCO(copy.deepcopy(truth))):
        assert vars(theirs) == vars(ours)
        assert isinstance(ours, THEIRS.COCO)
    assert OURS.COCO().dataset == {}
    assert ours.getAnnIds(imgIds=[1], catIds=3, iscrowd=False) == theirs.getAnnIds(
        imgIds=[1], catIds=3, iscrowd=False
    )
    one = ours.loadAnns(ours.getAnnIds(2))[0]
    np.testing.assert_array_equal(ours.annToMask(one), theirs.annToMask(one))


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [{"id": 1, "x": NaN}]}',
        '{"images": [{"id": 123456789012345678901234567890}]}',
        '{"a": 1e400}',
    ],
    ids=["NaN", "large", "infinite"],
)
def test_files_that_are_hardly_json_are_read_as_python_reads_them(text, tmp_path):
    (tmp_path / "odd.json").write_text(text)
    found = OURS.COCO(tmp_path / "odd.json").dataset
    assert repr(found) == repr(json.loads(text))


def test_no_results_are_the_error_of_pycocotools(three_images):
    # mmdet relies on it.
    with pytest.raises(IndexError):
        OURS.COCO(three_images()[0]).loadRes([])


def test_masks_have_the_functions_of_pycocotools():
    import pycocotools.mask

    public = {name for name, one in vars(pycocotools.mask).items() if callable(one)}
    assert {name for name in vars(mask) if callable(getattr(mask, name))} == public
    assert public == set(mask.__all__)
