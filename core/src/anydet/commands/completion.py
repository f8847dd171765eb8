"""Shell completion of names that plugins register."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_names(kind: str) -> Complete:
    """A click callback that completes registered names of a kind ("adapters", "views", ...)."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from anydet.plugins.manager import Plugins

        # click completes before the group has run, so ctx.obj may be unset. Only specs are read: a plugin
        # that imports torch would hold up every press of the tab key.
        plugins = ctx.find_root().obj or Plugins.from_env()
        found = sorted(plugins.specs(kind).items())
        return [
            CompletionItem(name, help=spec.summary) for name, spec in found if name.startswith(incomplete)
        ]

    return complete
