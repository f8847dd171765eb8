"""Flags of commands that continuous integration runs: bounds of numbers, and summaries of the result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anydet.evaluation.gates import Gate
    from anydet.evaluation.tables import Table

_F = TypeVar("_F", bound="Callable[..., Any]")


def read_bounds(_ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, float]:
    """``AP=0.5,AP50=0.7`` to finite numbers by name; none where the option is not given."""
    bounds: dict[str, float] = {}
    for item in [] if text is None else text.split(","):
        name, _, number = item.rpartition("=")
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not name or not math.isfinite(bound) or (param.name == "max_drop" and bound < 0):
            raise click.BadParameter(f"{shortened(item)} is not a bound like AP=0.5")
        if name.strip() in bounds:
            raise click.BadParameter(f"{shortened(name)} has two bounds")
        bounds[name.strip()] = bound
    return bounds


FAIL_UNDER = click.option(
    "--fail-under",
    metavar="METRIC=X,...",
    callback=read_bounds,
    help="Exit with code 3 if a metric is below its bound, or has no ground truth.",
)
MAX_DROP = click.option(
    "--max-drop",
    metavar="METRIC=X,...",
    callback=read_bounds,
    help="Exit with code 3 if a metric of B is more than X below that of A.",
)
FAIL_IF_WORSE = click.option(
    "--fail-if-worse",
    is_flag=True,
    help="Exit with code 3 if AP of B is lower than that of A, with a p-value below --p.",
)
P_VALUE = click.option(
    "--p",
    "p_value",
    type=FiniteRange(0, 1, min_open=True),
    default=0.05,
    show_default=True,
    help="Largest p-value with which --fail-if-worse takes B for worse.",
)
_SUMMARIES = (
    click.option(
        "--markdown",
        "markdown_path",
        type=OUTPUT,
        help="Write the tables as Markdown, such as to $GITHUB_STEP_SUMMARY.",
    ),
    click.option(
        "--junit",
        "junit_path",
        type=OUTPUT,
        help="Write the bounds as test cases in JUnit's XML.",
    ),
)


def summary_options(function: _F) -> _F:
    """Decorator: ``--markdown`` and ``--junit``, which ``write_summaries`` reads."""
    for option in reversed(_SUMMARIES):
        function = option(function)
    return function


def require_fractions(bounds: Mapping[str, float], option: str) -> None:
    """Refuse bounds of numbers from 0 to 1 that are beyond: always kept, or never, as those in percent."""
    for name, bound in bounds.items():
        if not 0 <= bound <= 1:
            hint = f"; for {bound:g} % write {name}={bound / 100:g}" if bound > 1 else ""
            raise click.UsageError(f"{option} {name}={bound:g}: {name} is between 0 and 1{hint}")


def require_bounds(flags: Mapping[str, Any], *bounds: str) -> None:
    """Refuse ``--junit`` where no bound is given, whose file would say that all is well.

    Args:
        flags: of the command.
        bounds: the flags of it that state bounds.
    """
    if flags["junit_path"] is not None and not any(flags[name] for name in bounds):
        names = " or ".join(f"--{name.replace('_', '-')}" for name in bounds)
        raise click.UsageError(f"--junit needs {names}")


def write_summaries(
    command: str, tables: Iterable[Table], gates: Sequence[Gate], flags: Mapping[str, Any]
) -> None:
    """Write what ``--markdown`` and ``--junit`` name; the gates are one more table of the first.

    Args:
        command: that was run.
        tables: of the result; looked at where they are written.
        gates: bounds and what became of them.
        flags: of ``summary_options``.
    """
    if flags["markdown_path"] is not None:
        from anydet.evaluation.gates import gate_table
        from anydet.evaluation.tables import markdown
        from anydet.outputs import write_file

        first = [gate_table(gates)] if gates else []
        write_file(flags["markdown_path"], markdown([*first, *tables]))
    if flags["junit_path"] is not None:
        from anydet.evaluation.gates import junit
        from anydet.outputs import write_file

        write_file(flags["junit_path"], junit(f"anydet {command}", gates))
