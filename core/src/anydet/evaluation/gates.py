"""Gates: bounds that numbers of an evaluation or a comparison must keep, for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from anydet.dataclass import dataclass
from anydet.errors import EvaluationError, OptionError, did_you_mean
from anydet.evaluation.tables import Table, format_cell
from anydet.text import counted, listed, quoted

if TYPE_CHECKING:
    from anydet.evaluation.analysis.comparison import Comparison

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound and what became of it.

    Attributes:
        metric: the number that is bounded.
        wanted: the bound in words: "at least 0.5".
        found: what was measured, in words.
        kept: whether the bound holds.
    """

    metric: str
    wanted: str
    found: str
    kept: bool

    def __str__(self) -> str:
        return f"{self.metric}: {self.found}, wanted {self.wanted}"


class GateError(EvaluationError):
    """Numbers do not keep their bounds."""

    exit_code = 3


def hold_metrics(least: Mapping[str, float], metrics: Mapping[str, float | None]) -> list[Gate]:
    """Metrics against their least values; one that is undefined (no ground truth) does not keep its bound.

    Raises:
        OptionError: there is no metric of a name.
    """
    return [
        Gate(name, f"at least {bound:g}", format_cell(value), value is not None and value >= bound)
        for name, bound in least.items()
        for value in (_number(name, metrics),)
    ]


def hold_drops(most: Mapping[str, float], comparison: Comparison) -> list[Gate]:
    """How far the second model is below the first, against the most that it may be.

    Raises:
        OptionError: there is no metric of a name.
    """
    gates = []
    for name, bound in most.items():
        difference = _number(name, comparison.overall).difference
        kept = difference is not None and -difference <= bound
        gates.append(Gate(name, f"a drop of at most {bound:g}", _moved(difference), kept))
    return gates


def hold_significance(p: float, comparison: Comparison) -> Gate:
    """The first metric of the second model: not lower than that of the first with a p-value below ``p``.

    What could not be compared, for lack of ground truth, does not keep the bound.
    """
    name, found = next(iter(comparison.overall.items()))
    kept = found.difference is not None and found.p is not None and not (found.difference < 0 and found.p < p)
    shown = "n/a" if found.p is None else f"{found.p:.3f}"
    return Gate(name, f"not worse with p < {p:g}", f"{_moved(found.difference)} (p = {shown})", kept)


def require_kept(gates: Sequence[Gate]) -> None:
    """Raise ``GateError``, with exit code 3, where a bound does not hold."""
    lost = [str(gate) for gate in gates if not gate.kept]
    if lost:
        raise GateError(f"{len(lost)} of {counted(len(gates), 'bound')} not kept", details=lost)


def gate_table(gates: Sequence[Gate]) -> Table:
    """Gates as a table, for Markdown."""
    rows = tuple((gate.metric, gate.wanted, gate.found, "yes" if gate.kept else "NO") for gate in gates)
    return Table("bounds", ("metric", "wanted", "found", "kept"), rows)


def junit(suite: str, gates: Sequence[Gate]) -> bytes:
    """Gates as test cases in JUnit's XML, as CI servers read it.

    Args:
        suite: name of the test suite, such as the command.
        gates: a test case each; one that is not kept is a failure.
    """
    from xml.etree.ElementTree import Element, SubElement, tostring

    failures = sum(not gate.kept for gate in gates)
    counts = {"tests": str(len(gates)), "failures": str(failures), "errors": "0"}
    root = Element("testsuites", counts)
    parent = SubElement(root, "testsuite", {"name": suite, **counts})
    for gate in gates:
        case = SubElement(
            parent, "testcase", {"classname": suite, "name": f"{gate.metric} {gate.wanted}", "time": "0"}
        )
        if not gate.kept:
            SubElement(case, "failure", {"message": str(gate)})
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _moved(difference: float | None) -> str:
    return "n/a" if difference is None else f"{difference:+.4f}"


def _number(name: str, numbers: Mapping[str, _T]) -> _T:
    if name not in numbers:
        raise OptionError(
            f"no metric {quoted(name)} to bound{did_you_mean(name, numbers)}",
            fix=f"name some of {listed(list(numbers), 20, quotes=False)}",
        )
    return numbers[name]
