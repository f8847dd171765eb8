"""Options of several adapters on one line: each belongs to the ``--adapter`` before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from anydet.commands.completion import complete_names

_F = TypeVar("_F", bound=Callable[..., Any])
_KEY = "anydet.sides"

_OPTIONS = (
    click.option(
        "--adapter",
        "adapters",
        multiple=True,
        metavar="NAME",
        shell_complete=complete_names("adapters"),
        help="Adapter to run; once for each, A, then B. What follows each up to the next is its own.",
    ),
    click.option("--config", "configs", multiple=True, help="Configuration of the adapter before it."),
    click.option(
        "--checkpoint",
        "checkpoints",
        multiple=True,
        help="Weights or model file of the adapter before it; before the first, of all.",
    ),
    click.option(
        "--device",
        "devices",
        multiple=True,
        help="Device of the adapter before it.  [default: its own, cpu of most]",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Option of the adapter before it, see 'anydet adapters show NAME'; before the first, of all, "
        "unless one has its own; repeatable.",
    ),
)
_NAMES = {"configs": "config", "checkpoints": "checkpoint", "devices": "device"}


class SidedCommand(click.Command):
    """A command with ``sided_options``; keeps the order in which they were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, which gives the values of each option without those between them."""
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_KEY] = _sides(values, order)
        return super().parse_args(ctx, args)


def sided_options(function: _F) -> _F:
    """Decorator: ``--adapter --config --checkpoint --device --option``, each any number of times."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_sides(ctx: click.Context) -> list[Mapping[str, Any]]:
    """Arguments of ``Plugins.settings`` for each ``--adapter``, and its name as ``adapter``."""
    sides: list[Mapping[str, Any]] = ctx.meta.get(_KEY, [])
    return sides


def _sides(values: Mapping[str, Any], order: list[click.Parameter]) -> list[Mapping[str, Any]]:
    taken: dict[str, int] = {}
    common: dict[str, Any] = {"options": []}
    sides: list[dict[str, Any]] = []
    for param in order:
        name = param.name or ""
        if name not in {"adapters", "options", *_NAMES}:
            continue
        value = values[name][taken.get(name, 0)]
        taken[name] = taken.get(name, 0) + 1
        if name == "adapters":
            sides.append({**common, "options": list(common["options"]), "adapter": value})
            continue
        side = sides[-1] if sides else common
        if name == "options":
            side["options"].append(value)
        else:
            side[_NAMES[name]] = value
    return [{**side, "options": _own_first(side["options"], len(common["options"]))} for side in sides]


def _own_first(options: list[str], common: int) -> list[str]:
    """Options of a side, without those of both whose key it has itself."""
    own = options[common:]
    keys = {pair.partition("=")[0] for pair in own}
    return [pair for pair in options[:common] if pair.partition("=")[0] not in keys] + own
