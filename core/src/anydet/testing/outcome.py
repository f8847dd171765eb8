"""Run checks outside pytest and report how each went."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from anydet.testing.checks import CHECKS
from anydet.testing.subject import NotApplicable, Subject

_S = TypeVar("_S")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check went.

    Attributes:
        check: its name among the checks of its kind.
        state: "skip" means that it does not apply or could not decide.
        holds: the sentence that the check holds its subject to.
        reason: what to change, or why it was skipped.
    """

    check: str
    state: Literal["ok", "FAIL", "skip"]
    holds: str
    reason: str = ""


def run_check(name: str, subject: Subject) -> Outcome:
    """Run one check of adapters; whatever the adapter raises is a failure with its reason."""
    return _run(name, CHECKS[name], subject)


def run_checks(subject: Subject) -> Iterator[Outcome]:
    """Run all checks, each in a folder of its own inside ``subject.folder``."""
    for name in CHECKS:
        folder = subject.folder / name
        folder.mkdir()
        yield run_check(name, replace(subject, folder=folder))


def run_all(checks: Mapping[str, Callable[[_S], None]], subject: _S) -> Iterator[Outcome]:
    """Run all checks of a kind on a subject that needs no folder: a view or a fusion."""
    for name, check in checks.items():
        yield _run(name, check, subject)


def _run(name: str, check: Callable[[_S], None], subject: _S) -> Outcome:
    holds = (check.__doc__ or "").strip().splitlines()[0]
    try:
        check(subject)
    except NotApplicable as exc:
        return Outcome(name, "skip", holds, str(exc))
    except AssertionError as exc:
        return Outcome(name, "FAIL", holds, str(exc) or "an assertion in the plugin failed")
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # foreign code: SystemExit and the like too
        return Outcome(name, "FAIL", holds, f"{type(exc).__name__}: {' '.join(str(exc).split())}")
    return Outcome(name, "ok", holds)
