"""The options that say who predicts, for every command that predicts."""

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
        help="Who predicts; see 'anydet adapters list'.",
    ),
    click.option("--config", help="The adapter's configuration; its base one by default."),
    click.option("--checkpoint", help="Weights."),
    click.option(
        "--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, or what the adapter knows."
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option of the adapter; repeatable.",
    ),
    click.option("--batch-size", type=click.IntRange(min=1), default=4, show_default=True),
)


def adapter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--adapter --config --checkpoint --device --option --batch-size``, as ``open_adapter`` takes them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def adapter_settings(plugins: Plugins, flags: Mapping[str, Any]) -> Any:
    """``AdapterSettings`` of the flags; raises ``OptionError`` before anything is loaded."""
    names = ("options", "config", "checkpoint", "device", "batch_size", "max_detections")
    return plugins.settings(
        flags["adapter"],
        **{name: flags[name] for name in names},
        seed=flags.get("seed", 0),
        score_floor=flags["score_threshold"],
    )


@contextmanager
def open_adapter(plugins: Plugins, name: str, settings: Any) -> Iterator[Adapter]:
    """The adapter, its warnings on stderr; closed at the end of the block."""
    with plugins.adapter(name, settings) as adapter:
        for warning in adapter.notes.get("warnings", ()):
            click.secho(f"warning: {warning}", err=True, fg="yellow", bold=True)
        yield adapter
