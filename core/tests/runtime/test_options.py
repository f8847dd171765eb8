from __future__ import annotations

import pytest

from anydet.errors import OptionError
from anydet.runtime.options import parse_triple


@pytest.mark.parametrize("given", [2, 2.0, "2", "2,2,2", "[2, 2, 2]", [2, 2, 2], (2.0,)])
def test_one_number_or_three_are_three(given):
    assert parse_triple(given) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    "given", ["nan", "1,nan,3", "inf", float("nan"), [1, 2, float("inf")], "1,2", "red", "", None, [None], {}]
)
def test_what_is_not_one_finite_number_or_three_is_refused(given):
    with pytest.raises(OptionError, match="one finite number or three"):
        parse_triple(given)
