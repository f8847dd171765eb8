"""What the shell offers for names that plugins bring."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def complete_adapters(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Installed adapters whose names begin as typed, each with its summary; imports none of them."""
    from anydet.plugins.manager import Plugins

    plugins = ctx.find_root().obj or Plugins.from_env()
    found = sorted(plugins.specs("adapters").items())
    return [CompletionItem(name, help=spec.summary) for name, spec in found if name.startswith(incomplete)]
