"""Shell completion of names that plugins register."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_names(kind: str) -> Complete:
    """A click callback that completes registered names of a kind ("adapters", "views", ...)."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        # Only specs are read: a plugin that imports torch would hold up every press of the tab key.
        found = sorted(plugins_of(ctx).specs(kind).items())
        return [
            CompletionItem(name, help=spec.summary) for name, spec in found if name.startswith(incomplete)
        ]

    return complete


def plugins_of(ctx: click.Context) -> Plugins:
    """The plugins of this process, also while click completes or prints help."""
    from anydet.plugins.manager import Plugins

    # click completes and prints help before the group has run, so that ctx.obj may be unset.
    plugins: Plugins = ctx.find_root().obj or Plugins.from_env()
    return plugins
