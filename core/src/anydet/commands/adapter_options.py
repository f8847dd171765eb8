"""Options of every command that runs an adapter, and the adapter that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.completion import complete_names

if TYPE_CHECKING:
    from anydet.plugins.adapter import Adapter
    from anydet.plugins.manager import Plugins

_OPTIONS = (
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
        default="cpu",
        show_default=True,
        help="cpu, cuda, cuda:1, or another device that the adapter supports.",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Option of the adapter, see 'anydet adapters show NAME'; repeatable.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(min=1), default=4, show_default=True, help="Images per batch."
    ),
)


def adapter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--adapter --config --checkpoint --device --option --batch-size``, as ``open_adapter`` takes them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def adapter_settings(plugins: Plugins, flags: Mapping[str, Any]) -> Any:
    """``AdapterSettings`` of the flags; an unknown adapter or option raises before anything is loaded."""
    names = ("options", "config", "checkpoint", "device", "batch_size", "max_detections")
    return plugins.settings(
        flags["adapter"],
        **{name: flags[name] for name in names},
        seed=flags.get("seed", 0),
        score_floor=flags["score_threshold"],
    )


@contextmanager
def open_adapter(plugins: Plugins, name: str, settings: Any) -> Iterator[Adapter]:
    """Build the adapter, print its warnings to stderr, and close it at the end of the block."""
    with plugins.adapter(name, settings) as adapter:
        for warning in adapter.notes.warnings:
            click.secho(f"warning: {warning}", err=True, fg="yellow", bold=True)
        yield adapter
