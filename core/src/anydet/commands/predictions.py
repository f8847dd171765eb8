"""Predictions, which every command takes as arguments and as ``--predictions`` alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from anydet.commands.paths import INPUT, InputPath

_F = TypeVar("_F", bound=Callable[..., Any])
_OPTION = "predictions_option"
ONE = "Predictions file or COCO results JSON; or a folder or 'pattern*' of files with disjoint images."


class _Typed(InputPath):
    """Paths as they were typed: the argument opens them, and a pipe can be opened once."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The same."""
        return value


class PredictionsArgument(click.Argument):
    """Paths that are typed as an argument or after ``--predictions``.

    Of several such arguments the first takes what comes first.
    """

    def __init__(self, *args: Any, before: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, type=INPUT, **kwargs)
        self._before = before

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """What was typed here, else what was after ``--predictions``."""
        value, source = super().consume_value(ctx, opts)
        named = [one for one in opts.get(_OPTION) or () if one is not None]
        arguments = [one for one in ctx.command.params if isinstance(one, PredictionsArgument)]
        typed = [one for argument in arguments for one in _listed(opts.get(argument.name or ""))]
        if not named:
            return self._from_defaults(ctx, typed, value, source)
        paths, source = [*typed, *named], ParameterSource.COMMANDLINE
        if self.nargs < 0:
            return tuple(paths), source
        if len(paths) > len(arguments) and not ctx.resilient_parsing:
            takes = "one file" if len(arguments) == 1 else f"{len(arguments)} files"
            raise click.UsageError(f"it takes {takes} of predictions: {', '.join(map(str, paths))}", ctx)
        return (paths[self._before] if self._before < len(paths) else value), source

    def _from_defaults(
        self, ctx: click.Context, typed: list[Any], value: Any, source: ParameterSource
    ) -> tuple[Any, ParameterSource]:
        """What a configuration file says of ``--predictions``, where nothing was typed."""
        paths = [] if typed else _listed(ctx.lookup_default(_OPTION))
        if not paths:
            return value, source
        if self.nargs < 0:
            return tuple(paths), ParameterSource.DEFAULT_MAP
        return (paths[self._before] if self._before < len(paths) else value), ParameterSource.DEFAULT_MAP


def _listed(value: Any) -> list[Any]:
    """One path, several or none, as a list; click has a mark of its own for none."""
    if isinstance(value, list | tuple):
        return [*value]
    return [value] if isinstance(value, str | bytes) or hasattr(value, "__fspath__") else []


def predictions_arguments(
    *names: str, several: bool = False, required: bool = True, metavar: str | None = None, what: str = ""
) -> Callable[[_F], _F]:
    """Decorator: an argument for each name, and ``--predictions``, which gives the same paths.

    Args:
        *names: parameters of the command.
        several: whether the only one takes any number of paths.
        required: whether the command cannot do without them.
        metavar: how help names it.
        what: help of ``--predictions``.
    """
    option = click.option(
        "--predictions",
        _OPTION,
        type=_Typed(),
        multiple=True,
        expose_value=False,
        help=what or f"The same as the argument{'s' * (len(names) > 1)}{'; repeatable' * several}.",
    )

    def decorate(function: _F) -> _F:
        function = option(function)
        for before, name in reversed([*enumerate(names)]):
            more = {"nargs": -1} if several else {}
            shown = {} if metavar is None else {"metavar": metavar}
            function = click.argument(
                name, cls=PredictionsArgument, required=required, before=before, **more, **shown
            )(function)
        return function

    return decorate
