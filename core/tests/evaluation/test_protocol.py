"""Settings are refused where engines could not hold what they ask for."""

from __future__ import annotations

import pytest

from anydet.errors import EvaluationError, OptionError
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.protocol import CocoSettings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_detections", tuple(range(1, 400)), "a tuple of 1 to 254 numbers"),
        ("max_detections", (10**30,), "an integer from 1 to 2147483647"),
        ("max_detections", (), "a tuple of 1 to 254 numbers"),
        ("iou_thresholds", (0.5,) * 1001, "a tuple of 1 to 1000 numbers"),
        ("iou_thresholds", (50.0,), "a finite number from 0 to 1"),
        ("area_ranges_px", {}, "1 to 16 names"),
        ("area_ranges_px", {f"a{i}": (0, 9) for i in range(17)}, "1 to 16 names"),
    ],
)
def test_values_out_of_range_are_named_with_the_range(name, value, message):
    with pytest.raises(OptionError, match=f"^{name}: .*{message}"):
        CocoSettings(**{name: value})


def test_curves_that_would_fill_the_memory_are_refused_with_their_counts():
    settings = CocoSettings(iou_thresholds=(0.5,) * 1000)
    assert len(settings.params(80).iou_thresholds) == 1000
    with pytest.raises(EvaluationError, match="1000 IoU thresholds x 101 recall thresholds x 9000 classes"):
        settings.params(9000)


@pytest.mark.parametrize("threads", [0, -1, 10**11, 1.5])
def test_a_number_of_threads_that_no_engine_takes_is_refused(threads):
    with pytest.raises(OptionError, match=r"threads: .* is not an integer from 1 to 1024"):
        choose_engine(name="pycocotools", threads=threads)
