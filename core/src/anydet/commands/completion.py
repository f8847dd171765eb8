"""What the shell offers for names that plugins bring."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_names(kind: str) -> Complete:
    """Offers the registered names of a kind ("adapters", "views", ...) that begin as typed; imports none."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from anydet.plugins.manager import Plugins

        plugins = ctx.find_root().obj or Plugins.from_env()
        found = sorted(plugins.specs(kind).items())
        return [
            CompletionItem(name, help=spec.summary) for name, spec in found if name.startswith(incomplete)
        ]

    return complete
