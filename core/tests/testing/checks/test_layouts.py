"""Each check of layouts catches a bad layout of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

import pytest

pytest.importorskip("cv2")

from anydet.runtime.layouts.layout_file import parse_layout
from anydet.testing.checks.layouts import CHECKS, LayoutSubject

GOOD = parse_layout(
    """
    summary: boxes and scores of a street camera
    nms_iou: 0.5
    outputs:
      boxes: {shape: [N, 4]}
      scores: {shape: [N, C]}
    boxes: {columns: boxes, form: corners}
    scores: {classes: scores}
    """,
    place="street.yaml",
)
numbers = count()


@dataclass(frozen=True)
class Takes:
    """A declaration that binds whatever there is."""

    def bind(self, outputs, input_wh):
        return self


BAD = [
    ("it_is_a_layout_file", lambda: "street.yaml", "the factory gives str"),
    ("it_is_a_layout_file", lambda: replace(GOOD, summary=""), "no summary"),
    ("it_is_a_layout_file", lambda: replace(GOOD, nms_iou=50), "nms_iou is 50"),
    (
        "building_it_again_gives_the_same",
        lambda: replace(GOOD, summary=str(next(numbers))),
        "the second one differs",
    ),
    ("outputs_that_do_not_fit_are_left_to_others", lambda: replace(GOOD, declaration=Takes()), "are bound"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_layout_passes(check, tmp_path):
    CHECKS[check](LayoutSubject(lambda: GOOD, folder=tmp_path))


def test_every_check_has_a_bad_layout():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_layout(check, bad, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](LayoutSubject(bad, folder=tmp_path))
