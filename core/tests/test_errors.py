from __future__ import annotations

import difflib
import pickle

import pytest

from anydet import errors
from anydet.errors import AnydetError, ContractError, UnsupportedError, did_you_mean
from anydet.text import LINE, LINES, message

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AnydetError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_cuts_and_escapes_what_it_says(kind):
    bad = "\x1b[2J" + "x" * 5_000_000 + " y\n" * 1000
    error = kind(bad, bad) if kind is UnsupportedError else kind(bad, fix=bad)
    for text in (error.problem, error.fix):
        assert text == message(text)
    assert len(str(error)) <= 2 * LINES * LINE
    assert "\x1b" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_findings_are_kept_whole():
    issues = ["x" * 10_000] * 3
    assert ContractError("p", issues=issues).issues == tuple(issues)


def test_a_close_name_is_a_hint():
    assert did_you_mean("presett", ["preset", "layout"]) == "; did you mean 'preset'?"
    assert did_you_mean("xyz", ["preset", "layout"]) == ""
    assert did_you_mean("presett", ["preset\x1b[2J"]) == r"; did you mean 'preset\x1b[2J'?"


def test_a_name_is_compared_with_so_many_others_only(monkeypatch):
    seen = []

    def spy(name, known, **_):
        seen.extend(known)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", spy)
    did_you_mean("name", (f"name {i}" for i in range(1_000_000)))
    assert len(seen) == 1000
    did_you_mean("x" * 5_000_000, ["x" * 5_000_000])
    did_you_mean("name", ["x" * 5_000_000])
    assert len(seen) == 1000
