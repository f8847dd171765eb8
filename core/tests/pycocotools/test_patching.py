"""``patch_pycocotools``: classes that others imported evaluate on our engine, until it is undone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import anydet
from anydet.errors import AnydetWarning
from anydet.pycocotools import evaluation

compiled = pytest.mark.skipif(evaluation.compiled() is None, reason="anydet-fasteval is not built")


def problem():
    """Two images of two classes; a result is off by more and more."""
    coco, found = COCO(), COCO()
    sides = [10.0 + i for i in range(12)]
    rows = [
        {
            "id": i,
            "image_id": i % 2,
            "category_id": i % 3 % 2,
            "bbox": [i, 2.0, side, 9.0],
            "area": side * 9.0,
        }
        | {"iscrowd": 0}
        for i, side in enumerate(sides, start=1)
    ]
    base = {
        "images": [{"id": i, "width": 90, "height": 90} for i in (0, 1)],
        "categories": [{"id": c, "name": f"c{c}"} for c in (0, 1)],
    }
    coco.dataset = {**base, "annotations": rows}
    moved = [
        {**one, "bbox": [one["bbox"][0] + one["id"] / 4, *one["bbox"][1:]], "score": 0.5} for one in rows
    ]
    found.dataset = {**base, "annotations": moved}
    for one in (coco, found):
        one.createIndex()
    return coco, found


def run(kind=COCOeval, **given):
    evaluator = kind(*problem(), "bbox", **given)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator


def is_ours(evaluator):
    return evaluation.MATCHED in vars(evaluator)


@compiled
def test_classes_that_are_imported_already_evaluate_on_our_engine_until_it_is_undone():
    before, attributes = run(), dict(vars(COCOeval))
    with anydet.patch_pycocotools():
        patched = run()
    assert [is_ours(one) for one in (before, patched, run())] == [False, True, False]
    assert dict(vars(COCOeval)) == attributes
    np.testing.assert_array_equal(before.stats, patched.stats)
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(before.eval[name], patched.eval[name])


@compiled
def test_nested_patches_end_with_the_last_and_undoing_twice_does_no_harm():
    first, second = anydet.patch_pycocotools(), anydet.patch_pycocotools()
    first.undo()
    first.undo()
    assert is_ours(run())
    second.undo()
    assert not is_ours(run())


@compiled
def test_a_patch_ends_where_an_error_leaves_its_block():
    with pytest.raises(RuntimeError), anydet.patch_pycocotools():
        raise RuntimeError
    assert not is_ours(run())


@compiled
def test_what_is_computed_on_demand_outlives_the_patch():
    expected = run()
    with anydet.patch_pycocotools():
        finished = run()
        half = COCOeval(*problem(), "bbox")
        half.evaluate()
    half.accumulate()
    for evaluator in (finished, half):
        np.testing.assert_array_equal(expected.eval["precision"], evaluator.eval["precision"])
        assert expected.ious.keys() == evaluator.ious.keys()
        for theirs, ours in zip(expected.evalImgs, evaluator.evalImgs, strict=True):
            assert repr(theirs) == repr(ours)


@compiled
def test_subclasses_of_others_are_patched_and_their_own_overlaps_count():
    class Plain(COCOeval):
        pass

    class Halved(COCOeval):
        def computeIoU(self, imgId, catId):
            return np.array(super().computeIoU(imgId, catId)) / 2

    expected = run(Halved)
    with anydet.patch_pycocotools():
        assert is_ours(run(Plain))
        halved = run(Halved)
    assert not is_ours(halved)
    np.testing.assert_array_equal(expected.stats, halved.stats)


@pytest.mark.slow
@compiled
def test_a_later_import_finds_the_patched_class():
    code = (
        "import anydet; anydet.patch_pycocotools()\n"
        "from pycocotools.cocoeval import COCOeval\n"
        "print(COCOeval.evaluate.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "anydet.pycocotools.evaluation"


def test_without_the_compiled_engine_a_warning_says_that_nothing_changes(monkeypatch):
    monkeypatch.setattr(evaluation, "compiled", lambda: None)
    with pytest.warns(AnydetWarning, match="anydet-fasteval"):
        patch = anydet.patch_pycocotools()
    assert not is_ours(run())
    patch.undo()


@pytest.mark.slow
def test_a_replaced_pycocotools_is_refused_by_name():
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    code = (
        "import faster_coco_eval; faster_coco_eval.init_as_pycocotools()\n"
        "import anydet; anydet.patch_pycocotools()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "AnydetError: pycocotools was replaced by faster_coco_eval" in done.stderr


@compiled
@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({}, True),
        ({"extra_calc": True}, False),
        ({"separate_eval": True}, False),
        ({"use_area": False}, False),
    ],
    ids=["plain", "extra_calc", "separate_eval", "use_area"],
)
def test_faster_coco_eval_is_patched_and_keeps_what_is_its_own(given, ours):
    faster = pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    truth, found = (faster.COCO(one.dataset) for one in problem())

    def evaluated():
        evaluator = faster.COCOeval_faster(truth, found, "bbox", **given)
        evaluator.run()
        return evaluator

    expected = evaluated()
    with anydet.patch_pycocotools():
        patched = evaluated()
        assert is_ours(patched) == ours
        assert expected.extended_metrics == patched.extended_metrics
        assert expected.compute_mIoU() == patched.compute_mIoU()
        late = evaluated()
    assert not is_ours(evaluated())
    assert repr(expected.ious) == repr(late.ious)
    np.testing.assert_allclose(expected.all_stats, patched.all_stats, rtol=1e-12)
    assert expected.stats_as_dict == pytest.approx(patched.stats_as_dict, rel=1e-12)
    for name in ("counts", "recall", "scores", "matched"):
        np.testing.assert_array_equal(expected.eval[name], patched.eval[name])
    # Its own precision differs from pycocotools' in the last bit; ours is pycocotools'.
    np.testing.assert_allclose(expected.eval["precision"], patched.eval["precision"], rtol=1e-12)
    if ours:
        np.testing.assert_array_equal(run().eval["precision"], patched.eval["precision"])
