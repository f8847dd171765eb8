"""Causes of doubtful results on the terminal, for every command that evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anydet.commands.messages import echo, warn
from anydet.errors import AnydetError

if TYPE_CHECKING:
    from anydet.evaluation.evaluator import Engine
    from anydet.evaluation.explanation.cause import Diagnosis
    from anydet.evaluation.explanation.gather import Gathered

_IMAGES_FOR_HINT = 50


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print each explanation with its gain in AP, its evidence and its fix."""
    from anydet.evaluation.explanation.explain import LEAST_FACTOR, LEAST_GAIN

    where = f"{diagnosis.images} of {diagnosis.of_images} images"
    if diagnosis.reference_ap is not None and diagnosis.ap is not None:
        echo(f"AP {diagnosis.ap:.3f}, of the reference {diagnosis.reference_ap:.3f} on {where}")
    if not diagnosis.explanations:
        echo(
            f"no explanation found: none of {diagnosis.tried} common mistakes, tested on boxes of {where}, "
            f"raises AP by {LEAST_GAIN} and by {LEAST_FACTOR - 1:.0%} when undone"
        )
        return
    echo(f"causes of the low AP ({diagnosis.tried} common mistakes, tested on boxes of {where}):")
    for one in diagnosis.explanations:
        gain = "" if one.gain is None else f"+{one.gain:.3f}"
        echo(f"  {gain:>6}  {one.cause}")
        echo(f"{'':10}{one.evidence}")
        echo(f"{'':10}fix: {one.what_to_do}")


def print_hint(doubt: str | None, seen: Gathered, engine: Engine) -> None:
    """Print the likeliest cause of what makes a result doubtful (``DoubtfulResult.doubt``) to stderr."""
    if doubt is None:
        return
    try:
        diagnosis = seen.explain(engine, max_images=_IMAGES_FOR_HINT)
    except (AnydetError, MemoryError) as exc:
        # Nobody asked for it, and the result is complete without it.
        reason = exc.problem if isinstance(exc, AnydetError) else "memory is exhausted"
        warn(f"{doubt}: common mistakes could not be looked for ({reason})", "hint")
        return
    reason = (
        "no common mistake explains it, so the model may be weak, or broken by quantization or conversion "
        "(details: --explain)"
    )
    if diagnosis.explanations:
        reason = f"{diagnosis.explanations[0].cause} (details: --explain)"
    warn(f"{doubt}: {reason}", "hint")
