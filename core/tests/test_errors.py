from __future__ import annotations

import difflib
import pickle

import pytest

from anydet import errors
from anydet.errors import AnydetError, ContractError, UnsupportedError, did_you_mean
from anydet.text import LINE, LINES, safe_line

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AnydetError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_cuts_and_escapes_what_it_says(kind):
    bad = "\x1b[2J" + "x" * 5_000_000 + " y\n" * 1000
    error = kind(bad, bad) if kind is UnsupportedError else kind(bad, fix=bad)
    for text in (error.problem, error.fix):
        assert text == safe_line(text)
    assert len(str(error)) <= 2 * LINE + len("\n  fix: ")
    assert "\x1b" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_findings_are_kept_whole():
    issues = ["x" * 10_000] * 3
    assert ContractError("p", issues=issues).issues == tuple(issues)


def test_of_many_findings_the_first_are_lines_of_the_message():
    issues = [f"finding {i}\n  fix: forged" for i in range(1000)]
    error = ContractError.of(issues, fix="mend them")
    assert error.issues == tuple(issues)
    lines = str(error).split("\n")
    assert lines[:2] == [r"finding 0\n  fix: forged", r"finding 1\n  fix: forged"]
    assert lines[-2:] == ["... and 980 more", "  fix: mend them"]
    assert len(lines) <= LINES
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_details_are_lines_between_the_problem_and_its_fix():
    error = AnydetError("classes differ", details=["  a: cat", "  b: dog\nfix: forged"], fix="rename one")
    assert str(error) == "classes differ\n  a: cat\n  b: dog\\nfix: forged\n  fix: rename one"
    many = AnydetError("p", details=["x\n"] * 1000)
    assert many.details[-2:] == ("x\\n", f"... and {1001 - LINES} more")
    assert pickle.loads(pickle.dumps(many)).details == many.details


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
