"""What a checkpoint says of its model is checked key by key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest

pytest.importorskip("torch")

from msgspec import Meta

from anydet.errors import TrainingError
from anydet.training.checkpoints.description import read_description


@dataclass(frozen=True)
class Inner:
    width: Annotated[int, Meta(ge=1, le=100)]
    name: str = "x"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    size: int = 3


def read(description):
    return read_description(description, Outer, source="a.pt", adapter="toy")


def test_a_description_becomes_its_object():
    assert read({"inner": {"width": 7}, "size": 2}) == Outer(Inner(7), 2)


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ({}, "missing required field `inner`"),
        (None, "Expected `object`, got `null`"),
        ({"inner": []}, "Expected `object`, got `array`"),
        ({"inner": {"width": "7"}}, "Expected `int`, got `str`"),
        ({"inner": {"width": 0}}, "Expected `int` >= 1"),
        ({"inner": {"width": 10**30}}, "`int`"),
        ({"inner": {"width": 7, "depth": 2}}, "unknown key 'inner.depth'"),
        ({"inner": {"width": 7}, 5: 2}, "unknown key '5'"),
        ({"inner": {"width": 7}, "x" * 100_000: 2}, "unknown key 'xxx"),
    ],
)
def test_what_is_wrong_with_it_is_a_short_line_with_a_fix(description, problem):
    with pytest.raises(TrainingError, match=problem) as caught:
        read(description)
    assert caught.value.problem.startswith("a.pt: describes no model of toy: ")
    assert "\n" not in caught.value.problem
    assert len(caught.value.problem) < 300
    assert "anydet train --adapter toy" in caught.value.fix
