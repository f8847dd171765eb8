"""Why AP is low, on the terminal; shared by the commands that measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from anydet.evaluation.evaluator import Engine
    from anydet.evaluation.explanation.cause import Diagnosis
    from anydet.evaluation.explanation.gather import Gathered

LOW_AP50 = 0.05
"""AP50 below which something may be wrong rather than weak, where there are many detections."""
_FEWEST = 20
_IMAGES_FOR_HINT = 50


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Each explanation with its gain, its evidence and what to do."""
    from anydet.evaluation.explanation.explain import LEAST_FACTOR, LEAST_GAIN

    where = f"{diagnosis.images} of {diagnosis.of_images} images"
    if not diagnosis.explanations:
        click.echo(
            f"nothing explains the AP: of {diagnosis.tried} usual mistakes, tried on boxes of {where}, none "
            f"raises it by {LEAST_GAIN} and by {LEAST_FACTOR - 1:.0%} when undone"
        )
        return
    click.echo(f"why AP is low ({diagnosis.tried} usual mistakes, tried on boxes of {where}):")
    for one in diagnosis.explanations:
        gain = "" if one.gain is None else f"+{one.gain:.3f}"
        click.echo(f"  {gain:>6}  {one.cause}")
        click.echo(f"{'':10}{one.evidence}")
        click.echo(f"{'':10}fix: {one.what_to_do}")


def print_hint(ap50: float | None, seen: Gathered, engine: Engine) -> None:
    """One line to stderr where AP50 is next to nothing although there are many detections."""
    detections, annotations = seen.counts
    if ap50 is None or ap50 >= LOW_AP50 or detections < max(_FEWEST, annotations / 2):
        return
    diagnosis = seen.explain(engine, max_images=_IMAGES_FOR_HINT)
    reason = (
        "no usual mistake explains it, so the model itself may be that weak (--explain tells what was tried)"
    )
    if diagnosis.explanations:
        reason = f"{diagnosis.explanations[0].cause} (--explain says more)"
    click.secho(
        f"hint: AP50 is {ap50:.3f} with {detections} detections: {reason}",
        err=True,
        fg="yellow",
    )
