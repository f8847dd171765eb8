"""``Kit``: what everything registered of one kind is held to, and how each check went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from anydet.errors import AnydetError

if TYPE_CHECKING:
    from typing_extensions import Self

    from anydet.plugins.manager import Plugins

SET_UP = "it_can_be_set_up"
"""What stands for all checks where their subject cannot be built."""


class NotApplicable(Exception):  # noqa: N818 - a verdict, not an error
    """A check does not apply to its subject, or could not decide; the message is the reason."""


@dataclass(frozen=True)
class Subject(ABC):
    """Base of what the checks of a kind get: something registered, how to build it, and what to show it.

    Attributes:
        folder: for files of the checks.
    """

    folder: Path = field(kw_only=True)

    @classmethod
    @abstractmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """What is registered as ``name``, with options of its own where its kind has any."""

    @abstractmethod
    def set_up(self) -> None:
        """Build it once and forget it; raises what building it raises."""

    def for_check(self, check: str) -> Self:
        """The same with an empty folder of the check's own inside ``folder``."""
        folder = self.folder / check
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self, folder=folder)


_S = TypeVar("_S", bound=Subject)
Check = Callable[[_S], None]


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


@dataclass(frozen=True, slots=True)
class Kit(Generic[_S]):
    """The checks of one kind.

    Attributes:
        subject: what they get.
        checks: name -> check, in the order in which they are run.
    """

    subject: type[_S]
    checks: Mapping[str, Check[_S]]

    def run(self, subject: _S) -> Iterator[Outcome]:
        """Run all checks; where the subject cannot be built, that is the only outcome."""
        built = _outcome(SET_UP, "It can be built with these settings.", subject.set_up)
        if built.state == "FAIL":
            yield built
            return
        for name in self.checks:
            yield self.run_check(name, subject)

    def run_check(self, name: str, subject: _S) -> Outcome:
        """Run one check; whatever the plugin raises is a failure with its reason."""
        check = self.checks[name]
        holds = (check.__doc__ or "").strip().splitlines()[0]
        return _outcome(name, holds, lambda: check(subject.for_check(name)))


def checks_of(*checks: Check[_S]) -> dict[str, Check[_S]]:
    """Checks by their names, in this order."""
    return {check.__name__: check for check in checks}


def _outcome(name: str, holds: str, call: Callable[[], None]) -> Outcome:
    try:
        call()
    except NotApplicable as exc:
        return Outcome(name, "skip", holds, str(exc))
    except AssertionError as exc:
        return Outcome(name, "FAIL", holds, str(exc) or "an assertion in the plugin failed")
    except KeyboardInterrupt:
        raise
    except AnydetError as exc:
        return Outcome(name, "FAIL", holds, f"{type(exc).__name__}: {exc.problem}; {exc.fix}")
    except BaseException as exc:  # foreign code: SystemExit and the like too
        return Outcome(name, "FAIL", holds, f"{type(exc).__name__}: {' '.join(str(exc).split())}")
    return Outcome(name, "ok", holds)
