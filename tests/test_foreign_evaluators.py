"""Evaluation code of other projects, unchanged, on our engine: the same numbers as on pycocotools.

``anydet.patch_pycocotools`` is all that is done. Where a project evaluates with faster_coco_eval, whose own
numbers differ from pycocotools' in the last bits, results equal those of pycocotools in every bit instead.
Projects that are not installed are left out; benchmarks/requirements.txt and bare-requirements.txt name them.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest

import anydet
from anydet.pycocotools import evaluation

pytestmark = [
    pytest.mark.skipif(evaluation.compiled() is None, reason="anydet-fasteval is not built"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
]
SIDE, CLASSES = 200, 4


def installed(module):
    """The module, or the test is skipped."""
    package = module.partition(".")[0]
    return pytest.importorskip(module, reason=f"{package} is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def scenes():
    """Twelve images: boxes of all sizes, results beside them, wrong classes, crowds; the last has none."""
    rng = np.random.default_rng(3)
    truth, found = [], []
    for image in range(1, 12):
        count = int(rng.integers(1, 7))
        corners = rng.integers(0, SIDE // 2, (count, 2))
        boxes = np.concatenate([corners, rng.integers(4, SIDE // 2, (count, 2))], axis=1)
        classes = rng.integers(0, CLASSES, count)
        for box, label in zip(boxes.tolist(), classes.tolist(), strict=True):
            truth.append(
                {"image_id": image, "category_id": label, "bbox": box, "iscrowd": int(rng.random() < 0.1)}
            )
            for _ in range(int(rng.integers(0, 4))):
                moved = [
                    max(0, one + int(step)) for one, step in zip(box, rng.integers(-4, 5, 4), strict=True)
                ]
                moved[2:] = [max(3, one) for one in moved[2:]]
                guess = label if rng.random() < 0.8 else int(rng.integers(0, CLASSES))
                score = float(rng.choice([0.25, 0.5, 0.75, 0.875]))
                found.append({"image_id": image, "category_id": guess, "bbox": moved, "score": score})
    for i, one in enumerate(truth, start=1):
        x, y, w, h = one["bbox"]
        one.update(id=i, area=w * h, segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]])
    images = [{"id": i, "file_name": f"{i}.jpg", "width": SIDE, "height": SIDE} for i in range(1, 13)]
    categories = [{"id": c, "name": f"class{c}", "supercategory": f"kind{c % 2}"} for c in range(CLASSES)]
    return {"images": images, "annotations": truth, "categories": categories}, found


@pytest.fixture
def files(scenes, tmp_path):
    """Paths of ground truth and results."""
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    for path, content in zip(paths, scenes, strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


@pytest.fixture
def count_evaluations(monkeypatch):
    """How often our engine has matched."""
    matched = []
    match = evaluation.match
    monkeypatch.setattr(evaluation, "match", lambda *given: matched.append(1) or match(*given))
    return matched


@pytest.fixture
def compared(count_evaluations):
    """What a function gives without and with the patch; in the latter our engine is used."""

    def compare(run):
        before = run()
        assert not count_evaluations
        with anydet.patch_pycocotools():
            after = run()
        assert count_evaluations
        return before, after

    return compare


def tensors(scenes, torch, *, masks=False):
    """Predictions and targets as torchvision and torchmetrics have them, one dictionary an image."""

    def rows(one, image):
        return [row for row in one if row["image_id"] == image["id"]]

    def item(chosen, **more):
        boxes = torch.tensor([row["bbox"] for row in chosen], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([row["category_id"] for row in chosen], dtype=torch.int64)
        pixels = torch.zeros((len(chosen), SIDE, SIDE), dtype=torch.bool)
        for i, (x1, y1, x2, y2) in enumerate(boxes.long().tolist()):
            pixels[i, y1:y2, x1:x2] = True
        return {"boxes": boxes, "labels": labels, **more} | ({"masks": pixels} if masks else {})

    truth, found = scenes
    predictions, targets = [], []
    for image in truth["images"]:
        chosen = rows(found, image)
        scores = torch.tensor([row["score"] for row in chosen], dtype=torch.float64)
        predictions.append(item(chosen, scores=scores))
        known = rows(truth["annotations"], image)
        targets.append(
            item(known, iscrowd=torch.tensor([row["iscrowd"] for row in known], dtype=torch.int64))
        )
    return predictions, targets


def as_plain(value):
    """Nested results with tensors as lists, so that ``==`` compares all bits."""
    if isinstance(value, dict):
        return {str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["pycocotools", "faster_coco_eval"])
@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "boxes and masks"])
@pytest.mark.parametrize("average", ["macro", "micro"])
def test_torchmetrics(backend, masks, average, scenes, compared):
    torch, detection = installed("torch"), installed("torchmetrics.detection")
    installed(backend)

    def run(backend=backend):
        metric = detection.MeanAveragePrecision(
            iou_type=("bbox", "segm") if masks else "bbox",
            average=average,
            class_metrics=True,
            extended_summary=True,
            backend=backend,
        )
        metric.update(*tensors(scenes, torch, masks=masks))
        return as_plain(metric.compute())

    expected = run("pycocotools")
    before, after = compared(run)
    for name in after:
        # What pycocotools gives, but for overlaps: faster_coco_eval has none where either side is empty.
        assert after[name] == (before if name.endswith("ious") else expected)[name], name
    assert 0 < after["bbox_map" if masks else "map"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_sahi_evaluates(kind, files, compared, tmp_path):
    sahi = installed("sahi.scripts.coco_evaluation")
    _results_with_masks(files)

    def run():
        with contextlib.redirect_stdout(io.StringIO()):
            found = sahi.evaluate(
                *files, type=kind, classwise=True, out_dir=str(tmp_path / "sahi"), return_dict=True
            )
        return found["eval_results"]

    before, after = compared(run)
    assert before == after
    assert 0 < after[f"{kind}_mAP"] < 1


def _results_with_masks(files):
    path = Path(files[1])
    found = json.loads(path.read_text())
    for one in found:
        x, y, w, h = one["bbox"]
        one["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    path.write_text(json.dumps(found))


@pytest.mark.slow
def test_sahi_analyzes_errors(files, compared, tmp_path, monkeypatch):
    sahi = installed("sahi.scripts.coco_error_analysis")
    curves = []
    # The charts are made from these, which is all that is wanted here.
    monkeypatch.setattr(
        sahi, "_makeplot", lambda recalls, precision, *rest: curves.append(precision.tolist())
    )
    monkeypatch.setattr(
        sahi, "_makebarplot", lambda recalls, precision, *rest: curves.append(precision.tolist())
    )
    monkeypatch.setattr(sahi, "Pool", SerialPool, raising=False)

    def run():
        curves.clear()
        with contextlib.redirect_stdout(io.StringIO()):
            sahi.analyse(*files, out_dir=str(tmp_path / "errors"), no_extraplots=False)
        return list(curves)

    before, after = compared(run)
    assert before == after
    assert len(after) > CLASSES


class SerialPool:
    """multiprocessing's Pool in this process, where the patch is."""

    def __init__(self, processes=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        return None

    def starmap(self, function, arguments):
        return [function(*one) for one in arguments]


@pytest.mark.slow
def test_effdet(scenes, compared):
    torch, effdet = installed("torch"), installed("effdet.evaluator")
    truth, found = scenes
    coco = pycocotools.coco.COCO()
    coco.dataset = {**truth, "info": {}}
    coco.createIndex()
    ids = [one["id"] for one in truth["images"]]
    data = SimpleNamespace(parser=SimpleNamespace(coco=coco, img_ids=ids))
    rows = {image: [] for image in ids}
    for one in sorted(found, key=lambda one: -one["score"]):
        x, y, w, h = one["bbox"]
        rows[one["image_id"]].append([x, y, x + w, y + h, one["score"], one["category_id"]])

    def run():
        evaluator = effdet.CocoEvaluator(data)
        evaluator.reset()
        for index, image in enumerate(ids[:-1]):
            evaluator.add_predictions(
                torch.tensor([rows[image]]).reshape(1, -1, 6), {"img_idx": torch.tensor([index])}
            )
        return evaluator.evaluate()

    before, after = compared(run)
    assert before == after
    assert 0 < after < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_rfdetr(kind, scenes, compared):
    torch, rfdetr = installed("torch"), installed("rfdetr.evaluation.coco_eval")
    faster = installed("faster_coco_eval")
    truth, _ = scenes
    coco = faster.COCO()
    coco.dataset = truth
    coco.createIndex()
    predictions, _ = tensors(scenes, torch, masks=True)
    for one in predictions:
        one["masks"] = one["masks"][:, None].float()
    ids = [one["id"] for one in truth["images"]]

    def run():
        evaluator = rfdetr.CocoEvaluator(coco, [kind], log_summary=False)
        evaluator.update(dict(zip(ids, predictions, strict=True)))
        evaluator.synchronize_between_processes()
        evaluator.accumulate()
        return evaluator.coco_eval[kind]

    before, after = compared(run)
    np.testing.assert_allclose(before.stats, after.stats, rtol=1e-12)
    np.testing.assert_array_equal(before.eval["recall"], after.eval["recall"])
    reference = pycocotools.cocoeval.COCOeval(after.cocoGt, after.cocoDt, kind)
    reference.params.maxDets = [1, 10, 100]
    with contextlib.redirect_stdout(io.StringIO()):
        reference.evaluate()
        reference.accumulate()
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(reference.eval[name], after.eval[name])
    assert 0 < after.stats[0] < 1


@pytest.mark.slow
def test_the_references_of_torchvision_and_detr_join_results_by_image(scenes):
    """How both evaluate on several processes: ``evalImgs`` of each batch are joined, then accumulated."""
    truth, found = scenes

    def run():
        coco = pycocotools.coco.COCO()
        coco.dataset = {**truth, "info": {}}
        coco.createIndex()
        parts, ids = [], []
        for images in ([1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12]):
            results = coco.loadRes([dict(one) for one in found if one["image_id"] in images])
            evaluator = pycocotools.cocoeval.COCOeval(coco, results, "bbox")
            evaluator.params.imgIds = images
            evaluator.evaluate()
            shape = -1, len(evaluator.params.areaRng), len(images)
            parts.append(np.asarray(evaluator.evalImgs).reshape(shape))
            ids += images
        joint = pycocotools.cocoeval.COCOeval(coco, iouType="bbox")
        joint.evalImgs = list(np.concatenate(parts, 2).flatten())
        joint.params.imgIds = ids
        joint._paramsEval = joint.params
        joint.accumulate()
        joint.summarize()
        return joint.stats

    with contextlib.redirect_stdout(io.StringIO()):
        before = run()
        with anydet.patch_pycocotools():
            after = run()
    np.testing.assert_array_equal(before, after)
    assert 0 < after[0] < 1
