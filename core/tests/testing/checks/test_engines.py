"""Each check of engines catches a bad engine of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anydet.errors import EvaluationError
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.testing.checks.engines import CHECKS, EngineSubject
from anydet.testing.kit import NotApplicable

MATCHING = {
    "bbox": "boxes_are_matched_as_by_pycocotools",
    "segm": "masks_are_matched_as_by_pycocotools",
    "boundary": "boundaries_are_matched_as_by_pycocotools",
    "keypoints": "keypoints_are_matched_as_by_pycocotools",
}


def forgets_crowds(iou_type):
    class ForgetsCrowds(PycocotoolsEngine):
        """Counts crowds as objects where one kind of overlap is scored."""

        def match(self, detections, ground_truth, params):
            labels = ground_truth.labels
            if params.iou_type == iou_type:
                labels = replace(labels, iscrowd=labels.iscrowd & False)
            return super().match(detections, replace(ground_truth, labels=labels), params)

    return ForgetsCrowds


class Anonymous(PycocotoolsEngine):
    version = ""


class DependsOnThreads(PycocotoolsEngine):
    def accumulate(self, matches, params):
        found = super().accumulate(matches, params)
        return replace(found, recall=found.recall / self.threads)


class SortsInPlace(PycocotoolsEngine):
    def match(self, detections, ground_truth, params):
        detections.scores.sort()
        return super().match(detections, ground_truth, params)


class AnyAnswer:
    """A scanner that takes every file for one without content."""

    def predictions(self, path):
        raise EvaluationError("no idea", fix="none")

    def annotations(self, path):
        raise EvaluationError("no idea", fix="none")

    def ahead(self, predictions, annotations=None):
        return self


class ScansBadly(PycocotoolsEngine):
    scanner = AnyAnswer()


BAD = [
    ("it_says_what_it_is", Anonymous, "version is ''"),
    *((check, forgets_crowds(kind), "ties and crowds") for kind, check in MATCHING.items()),
    ("threads_change_nothing", DependsOnThreads, "with three threads"),
    ("columns_are_left_alone", SortsInPlace, "copy columns"),
    ("predictions_are_scanned_as_they_are_read", ScansBadly, "list.json: scanned as 'EvaluationError'"),
    ("annotations_are_scanned_as_they_are_read", ScansBadly, "no idea"),
]


def subject(engine, folder):
    return EngineSubject("pycocotools", engine, folder=folder)


def test_every_check_has_a_bad_engine():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_engine(check, bad, message, tmp_path):
    with pytest.raises((AssertionError, EvaluationError), match=message):
        CHECKS[check](subject(bad, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["segm", "keypoints"])
def test_what_an_engine_refuses_to_score_is_skipped_with_its_reason(kind, tmp_path):
    class BoxesAlone(PycocotoolsEngine):
        def match(self, detections, ground_truth, params):
            if params.iou_type != "bbox":
                raise EvaluationError("boxes alone", fix="use another engine")
            return super().match(detections, ground_truth, params)

    CHECKS[MATCHING["bbox"]](subject(BoxesAlone, tmp_path))
    with pytest.raises(NotApplicable, match="boxes alone"):
        CHECKS[MATCHING[kind]](subject(BoxesAlone, tmp_path))
