"""What is odd and read nevertheless: every kind is on the page that says what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from anydet.data.coco import mending
from anydet.data.dataset.oddities import Found, Kind, refuse_all
from anydet.data.yolo import label_file
from anydet.errors import DatasetError

PAGE = Path(__file__).parents[4] / "docs/reference/odd-data-sets.md"


@pytest.mark.parametrize("module", [mending, label_file])
def test_every_kind_is_on_the_page(module):
    rows = [line.split("|")[1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    kinds = [one for one in vars(module).values() if isinstance(one, Kind)]
    assert len(kinds) >= 4
    assert [one.check for one in kinds if not any(one.check in row for row in rows)] == []


def test_strict_refuses_the_first_and_lists_the_others():
    found = Found()
    for number in range(7):
        found.add(Kind("a", "bad boxes", "left out", ""), f"row {number}")
    found.add(Kind("b", "bad masks", "left out", ""), "row 9")
    refuse_all((), "x.json")
    with pytest.raises(
        DatasetError, match=r"x\.json: bad boxes: 7 \(the first: row 0\); left out\n"
    ) as caught:
        refuse_all(found.listed(), "x.json")
    assert caught.value.details == ("x.json: bad masks: 1 (the first: row 9); left out",)
    assert len(found.listed()[0].examples) == 5
