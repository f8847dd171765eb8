"""``anydet adaptation``: list and describe views, fusions and methods of test-time training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.commands.completion import complete_names
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo
from anydet.commands.tables import print_columns, print_options

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins

_json_option = json_option()


@click.group("adaptation", epilog=("\b\nExample:\n  anydet adaptation list"))
def command() -> None:
    """List and describe views and fusions (--tta) and methods of test-time training (--ttt)."""


@command.command("list", epilog=("\b\nExample:\n  anydet adaptation list"))
@_json_option
@click.pass_obj
def list_(plugins: Plugins, json_path: Path | None) -> None:
    """List what is installed for --tta-views, --tta-fusion and --ttt-method."""
    from anydet.plugins.catalog import adaptation_rows

    rows = adaptation_rows(plugins)
    if write_json([asdict(row) for row in rows], json_path):
        return
    cells = [(r.name, r.kind, f"{r.package} {r.version}", r.summary) for r in rows]
    print_columns(("name", "kind", "package", ""), cells)


@command.command(epilog=("\b\nExample:\n  anydet adaptation show wbf"))
@click.argument("name", shell_complete=complete_names("views", "fusions", "ttt_methods"))
@_json_option
@click.pass_obj
def show(plugins: Plugins, name: str, json_path: Path | None) -> None:
    """Describe a view, a fusion or a method and its options."""
    from anydet.plugins.catalog import find_adaptation, option_rows
    from anydet.plugins.options import load_schema

    found = find_adaptation(plugins, name)
    shown = [(row, option_rows(load_schema(schema))) for row, schema in found]
    if json_path:
        rows = [{**asdict(row), "options": [asdict(option) for option in options]} for row, options in shown]
        if write_json(rows, json_path):
            return
    for row, options in shown:
        echo(f"{row.kind} {row.name}: {row.summary}", "")
        print_options("option", options)
        if not options:
            echo("no options")
        if row.presets or row.settings:
            echo(f"presets: {', '.join(row.presets) or 'none'}")
            echo(f"settings: {', '.join(row.settings) or 'none'}")
