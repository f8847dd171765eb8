"""Options of every command that predicts, and the recipe that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names
from anydet.commands.messages import warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.result_options import MAX_PIXELS
from anydet.errors import AnydetError
from anydet.text import counted, shortened

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.prediction.pipeline import Pipeline
    from anydet.prediction.recipe import Recipe

_F = TypeVar("_F", bound=Callable[..., Any])

ADAPTER_OPTION = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the adapter, see 'anydet adapters show NAME'; repeatable.",
)
"""``--option``, of one adapter."""

_ADAPTER = (
    click.option(
        "--adapter",
        required=True,
        metavar="NAME",
        shell_complete=complete_names("adapters"),
        help="Adapter to run; see 'anydet adapters list'.",
    ),
    click.option("--config", help="Configuration of the adapter; its base configuration by default."),
    click.option("--checkpoint", help="Weights: a checkpoint file, or the folder of a training run."),
    click.option(
        "--device",
        help="cpu, cuda, cuda:1, or another device that the adapter supports.  [default: the adapter's own, "
        "cpu of most]",
    ),
    ADAPTER_OPTION,
    click.option(
        "--batch-size",
        type=click.IntRange(1, MOST_INTEGER),
        default=4,
        show_default=True,
        help="Images per batch.",
    ),
    MAX_PIXELS,
)


def on_error_option(what: str) -> Callable[[_F], _F]:
    """``--on-error``, with when it counts and what skipping does, as its help says it."""
    return click.option(
        "--on-error",
        type=click.Choice(["stop", "skip"]),
        default="stop",
        show_default=True,
        help=f"What to do when {what}.",
    )


predict_on_error_option = on_error_option(
    "an image cannot be read or predicted; skip gives it an empty result with the reason, after a batch that "
    "fails was predicted again image by image, and stops where the adapter fails on what it predicted before"
)


def score_threshold_option(default: float, purpose: str) -> Callable[[_F], _F]:
    """``--score-threshold``, with what becomes of a detection above it ("written", "drawn")."""
    return click.option(
        "--score-threshold",
        type=FiniteRange(0, 1),
        default=default,
        show_default=True,
        help=f"Lowest score of a detection that is {purpose}.",
    )


max_detections_option = click.option(
    "--max-detections",
    type=click.IntRange(1, MOST_INTEGER),
    default=100,
    show_default=True,
    help="Highest-scoring detections kept per image, of all classes together. COCO counts 100 of each class: "
    "for the AR100 that a model can reach, give more, such as 1000.",
)


def adapter_options(function: _F) -> _F:
    """Decorator: ``--adapter --config --checkpoint --device --option --batch-size``."""
    for option in reversed(_ADAPTER):
        function = option(function)
    return function


def read_recipe(plugins: Plugins, flags: Mapping[str, Any]) -> Recipe:
    """The recipe of the flags; an unknown name or option raises before anything is loaded.

    Flags that a command does not have keep the recipe's defaults.
    """
    from anydet.commands.adaptation_options import read_tta_flags, read_ttt_flags
    from anydet.prediction.pipeline import Limits
    from anydet.prediction.recipe import Recipe

    names = ("options", "config", "checkpoint", "device", "batch_size", "max_detections")
    settings = plugins.settings(
        flags["adapter"],
        **{name: flags[name] for name in names},
        seed=flags.get("seed", 0),
        score_floor=flags["score_threshold"],
    )
    limits = Limits(flags["score_threshold"], flags["max_detections"], clip=not flags.get("no_clip", False))
    return Recipe(
        flags["adapter"],
        settings,
        limits,
        read_tta_flags(plugins, flags),
        read_ttt_flags(plugins, flags),
        **{name: flags[name] for name in ("on_error", "workers") if name in flags},
    )


@contextmanager
def opened(recipe: Recipe, plugins: Plugins) -> Iterator[Pipeline]:
    """The pipeline of a recipe, closed at the end of the block; the adapter's warnings go to stderr.

    Those that it has at the end only, of what it predicted, are printed then, and how many images had several
    frames.
    """
    from anydet.data.record.frames import frames_notice, noting_frames
    from anydet.prediction.checks import check_notes
    from anydet.prediction.perturbation import PERTURBED, RunningPerturbation

    with recipe.open(plugins) as pipeline:
        of_run = [PERTURBED] if isinstance(pipeline.tta, RunningPerturbation) else []
        said = check_notes(pipeline.adapter, plugins).warnings
        for warning in [*of_run, *said]:
            warn(warning)
        with noting_frames() as several:
            yield pipeline
        if several:
            warn(frames_notice(several))
        for warning in check_notes(pipeline.adapter, plugins).warnings:
            if warning not in said:
                warn(warning)


def report_skipped(skipped: Sequence[tuple[str, str]], images: int) -> None:
    """Print how many of the images were skipped, and why the first one was.

    Raises ``AnydetError`` where all of them were: such a run must not look like a good one.
    """
    if not skipped:
        return
    image, reason = skipped[0]
    text = f"skipped {len(skipped)} of {counted(images, 'image')}; the first is {shortened(image)}: {reason}"
    if len(skipped) == images:
        raise AnydetError(text, fix="run it without --on-error skip to see the first error with its fix")
    warn(text)
