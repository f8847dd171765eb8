from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anydet.arguments import (
    require_choice,
    require_flag,
    require_integer,
    require_number,
    require_path,
    require_text,
)
from anydet.errors import OptionError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("check", "more", "good", "bad"),
    [
        (require_number, (), (0, -1.5, 1e300, np.float64(2)), (NAN, INF, -INF, True, "1", None, 1j, [1.0])),
        (require_number, (0, 1), (0, 0.5, 1), (-0.1, 1.1, NAN)),
        (require_integer, (), (0, -3, 2**63 - 1), (10**30, -(2**64), 1.0, True, "1", None, np.int64(3))),
        (require_integer, (1,), (1, 2), (0, -1)),
        (require_integer, (1, 9), (1, 9), (0, 10, 10**30)),
        (require_flag, (), (True, False), (1, 0, None, "yes", np.bool_(1))),
        (require_text, (), ("", "a"), (b"a", None, 5, Path("a"))),
        (require_path, (), ("a", Path("a")), (b"a", None, 5, ["a"])),
        (require_choice, (("stop", "skip"),), ("stop",), ("Stop", None, 5, ["stop"], np.array(["stop"]))),
    ],
)
def test_good_values_pass_and_bad_ones_are_named(check, more, good, bad):
    for value in good:
        check("it", value, *more)
    for value in bad:
        with pytest.raises(OptionError, match=r"^it: .* is not .*\n  fix: correct it$"):
            check("it", value, *more)


def test_the_message_says_the_range():
    with pytest.raises(OptionError, match="it: 2 is not a finite number from 0 to 1"):
        require_number("it", 2, 0, 1)
    with pytest.raises(OptionError, match="it: 0 is not a finite number above 0"):
        require_number("it", 0, 0, above=True)
    with pytest.raises(OptionError, match="it: 0 is not an integer of at least 1"):
        require_integer("it", 0, 1)
    with pytest.raises(OptionError, match="it: 10 is not an integer from 1 to 9"):
        require_integer("it", 10, 1, 9)


def test_a_large_value_is_cut_in_the_message():
    with pytest.raises(OptionError) as caught:
        require_text("it", list(range(10**5)))
    assert len(str(caught.value)) < 200
