"""The errors that users see: what happened, where, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from anydet.text import LINES, NAME, first_of, quoted, safe_line

if TYPE_CHECKING:
    from typing_extensions import Self

MEMORY_FIX = "free memory, raise its limit (ulimit -v), or give less at once: fewer images, smaller files"
"""What to do where memory is exhausted."""
_COMPARED = 1000
"""Known names that one that is not known is compared with."""


class AnydetError(Exception):
    """Base class. The command line prints these without a traceback and exits 1.

    What stands in a message may come from a file: each text is one line, cut and escaped as
    ``text.safe_line`` says, so that a line break in a name cannot begin a line such as another ``fix:``.

    Attributes:
        problem: what happened and where (file, image, detection index).
        fix: what to type or change next, or an empty string.
        details: lines between the two, such as further findings; the first ``text.LINES`` of them.
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, problem: str, *, fix: str = "", details: Sequence[str] = ()) -> None:
        self.problem = safe_line(problem)
        self.fix = safe_line(fix)
        # Never more than LINES, so that an error that is made anew of its texts is the same.
        shown = first_of(details, LINES - 1) if len(details) > LINES else details
        self.details = tuple(map(safe_line, shown))
        super().__init__("\n".join([self.problem, *self.details, *([f"  fix: {self.fix}"] if fix else [])]))

    def reword(self, words: Callable[[str], str]) -> None:
        """Change the texts in place, as for a reader who knows other names."""
        AnydetError.__init__(
            self, words(self.problem), fix=words(self.fix), details=[words(line) for line in self.details]
        )

    def __reduce__(self) -> tuple[object, tuple[type[AnydetError], str, str, tuple[str, ...]]]:
        """Pickle the texts; exceptions cross process borders in data loaders and tests."""
        # Subclasses take other arguments, and Exception would call them with the finished message.
        return _rebuild, (type(self), self.problem, self.fix, self.details)


def _rebuild(kind: type[AnydetError], problem: str, fix: str, details: tuple[str, ...]) -> AnydetError:
    error = kind.__new__(kind)
    AnydetError.__init__(error, problem, fix=fix, details=details)
    return error


class PluginError(AnydetError):
    """A plugin is missing, broken, of another API version, or takes a name twice."""


class TransformError(PluginError):
    """A transform gave another image than it says.

    Attributes:
        transform: the transform, by which a view is found; ``None`` in another process than it was raised in.
    """

    transform: object = None


class OptionError(AnydetError):
    """An option or setting is unknown or has the wrong type or value."""


class OutputError(AnydetError):
    """A result cannot be written: the disk is full, the folder is read-only, the pipe is closed."""


class DatasetError(AnydetError):
    """A data set, label file, sidecar or image cannot be read as what it claims to be."""


class SplitError(DatasetError):
    """A data set has no split of that name, or several and none was named.

    Attributes:
        option: the setting that names the split, whose flag the command line puts into the fix.
    """

    option: str = "split"


class ImageError(DatasetError):
    """One image cannot be found or decoded."""


class ImageSizeError(ImageError):
    """An image has more pixels than are opened.

    Attributes:
        pixels: how many it has, for the flag that the command line puts into the fix.
    """

    pixels: int = 0

    def __init__(self, problem: str, *, fix: str = "", pixels: int = 0) -> None:
        super().__init__(problem, fix=fix)
        self.pixels = pixels


class ContractError(AnydetError):
    """A predictions file breaks the contract.

    Attributes:
        issues: every finding as text, the first of which also stand in the message.
    """

    def __init__(self, problem: str, *, fix: str = "", issues: Sequence[str] = ()) -> None:
        super().__init__(problem, fix=fix)
        self.issues = tuple(issues)

    @classmethod
    def of(cls, issues: Sequence[str], *, fix: str) -> Self:
        """The error of one or more findings, of which the message has the first."""
        error = cls.__new__(cls)
        first, *others = first_of(issues)
        AnydetError.__init__(error, first, fix=fix, details=others)
        error.issues = tuple(issues)
        return error


class EvaluationError(AnydetError):
    """Predictions and ground truth do not match, or an evaluation does not apply to them."""


class TrainingError(AnydetError):
    """A training run cannot start, continue, or be read back."""


class TrackerError(AnydetError):
    """An experiment tracker is not installed, or does not start."""


class InterruptedTraining(TrainingError):  # noqa: N818 - a signal stopped the run, which is no error
    """A signal stopped a run, and what ``--resume`` needs was saved.

    Attributes:
        exit_code: 128 plus the number of the signal, as in shells.
    """

    def __init__(self, problem: str, *, fix: str = "", exit_code: int = 130) -> None:
        super().__init__(problem, fix=fix)
        self.exit_code = exit_code


class UnsupportedError(AnydetError):
    """An adapter was asked for what it cannot do.

    Args:
        adapter: its name.
        what: in words, such as "test-time training".
        others: names of the installed adapters that can; ``None`` where that is not known.
    """

    def __init__(self, adapter: str, what: str, *, others: Sequence[str] | None = None) -> None:
        known = "" if others is None else f" ({_supporting(others)})"
        super().__init__(
            f"adapter {adapter!r} does not support {what}{known}",
            fix="choose another adapter: 'anydet adapters list' shows what each can do",
        )


def _supporting(adapters: Sequence[str]) -> str:
    return f"adapters that do: {', '.join(adapters)}" if adapters else "no installed adapter does"


class AnydetWarning(UserWarning):
    """Something is worth less than it looks, and the work goes on; commands print it as a line."""


def warn_anew() -> None:
    """Let what was warned of be warned of again.

    Python shows a warning of the same text once a process; a second call, on the same files, has the same
    reasons. Filters of the user go before this one.
    """
    import warnings

    # Any change of the filters empties the registries in which Python notes what it has shown.
    warnings.simplefilter("default", AnydetWarning, append=True)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'preset'?``, or an empty string when nothing is close.

    Of very long names and very many known ones nothing is said: comparing takes the square of their length.
    """
    if len(name) > NAME:
        return ""
    # Here, because it is needed only when something went wrong.
    from difflib import get_close_matches

    comparable = [one for one in islice(known, _COMPARED) if len(one) <= NAME]
    same = [one for one in comparable if one.casefold() == name.casefold()]
    close = same or get_close_matches(name, comparable, n=1, cutoff=0.6)
    return f"; did you mean {quoted(close[0])}?" if close else ""
