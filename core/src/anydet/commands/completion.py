"""Shell completion of names that plugins register."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from anydet.plugins.manager import Plugins

Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def complete_names(*kinds: str, separator: str | None = None) -> Complete:
    """A click callback that completes registered names of some kinds ("adapters", "views", ...).

    Args:
        *kinds: keys of ``anydet.plugins.manager.KINDS``.
        separator: what stands between names, where an option takes several; the last one is completed.
    """

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, cut, word = incomplete.rpartition(separator) if separator else ("", "", incomplete)
        from click.shell_completion import CompletionItem

        # Only specs are read: a plugin that imports torch would hold up every press of the tab key.
        plugins = plugins_of(ctx)
        found = sorted((name, spec.summary) for kind in kinds for name, spec in plugins.specs(kind).items())
        return [
            CompletionItem(before + cut + name, help=summary)
            for name, summary in found
            if name.startswith(word)
        ]

    return complete


def complete_plugins(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes names of plugins and of all that is registered."""
    from click.shell_completion import CompletionItem

    from anydet.plugins.manager import KINDS

    names = (row.name for row in plugins_of(ctx).status)
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [*found, *complete_names(*KINDS)(ctx, param, incomplete)]


def plugins_of(ctx: click.Context) -> Plugins:
    """The plugins of this process, also while click completes or prints help."""
    from anydet.plugins.manager import Plugins

    # click completes and prints help before the group has run, so that ctx.obj may be unset.
    plugins: Plugins = ctx.find_root().obj or Plugins.from_env()
    return plugins
