"""``anydet adaptation``: list, describe and check views, fusions and methods of test-time training."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from anydet.commands.completion import complete_names
from anydet.commands.tables import print_columns, print_options

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.testing.outcome import Outcome

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("adaptation", epilog=("\b\nExample:\n  anydet adaptation list"))
def command() -> None:
    """List, describe and check views and fusions (--tta) and methods of test-time training (--ttt)."""


@command.command("list", epilog=("\b\nExample:\n  anydet adaptation list"))
@_json_option
@click.pass_obj
def list_(plugins: Plugins, as_json: bool) -> None:
    """List what is installed for --tta-views, --tta-fusion and --ttt-method."""
    import json

    from anydet.plugins.catalog import adaptation_rows

    rows = adaptation_rows(plugins)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    cells = [(r.name, r.kind, f"{r.package} {r.version}", r.summary) for r in rows]
    print_columns(("name", "kind", "package", ""), cells)


@command.command(epilog=("\b\nExample:\n  anydet adaptation show wbf"))
@click.argument("name", shell_complete=complete_names("views", "fusions", "ttt_methods"))
@_json_option
@click.pass_obj
def show(plugins: Plugins, name: str, as_json: bool) -> None:
    """Describe a view, a fusion or a method and its options."""
    import json

    from anydet.plugins.catalog import find_adaptation, option_rows
    from anydet.plugins.options import load_schema

    found = find_adaptation(plugins, name)
    shown = [(row, option_rows(load_schema(schema))) for row, schema in found]
    if as_json:
        rows = [{**asdict(row), "options": [asdict(option) for option in options]} for row, options in shown]
        click.echo(json.dumps(rows, indent=2))
        return
    for row, options in shown:
        click.echo(f"{row.kind} {row.name}: {row.summary}\n")
        print_options("option", options)
        if not options:
            click.echo("no options")
        if row.presets or row.settings:
            click.echo(f"presets: {', '.join(row.presets) or 'none'}")
            click.echo(f"settings: {', '.join(row.settings) or 'none'}")


@command.command(epilog=("\b\nExample:\n  anydet adaptation check scale --option factor=0.5"))
@click.argument("name", shell_complete=complete_names("views", "fusions"))
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Option of it; repeatable.")
@_json_option
@click.pass_obj
def check(plugins: Plugins, name: str, options: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance kit on a view or a fusion; exit 1 if a check fails."""
    import json

    from anydet.plugins.catalog import find_adaptation
    from anydet.plugins.options import parse_options
    from anydet.prediction.choices import Choice
    from anydet.testing.checks import fusions, views
    from anydet.testing.outcome import run_all

    find_adaptation(plugins, name, ("views", "fusions"))
    choice = Choice(name, parse_options(options))
    outcomes: list[Outcome] = []
    if name in plugins.specs("views"):
        outcomes += run_all(views.CHECKS, views.ViewSubject.installed(plugins, choice))
    if name in plugins.specs("fusions"):
        outcomes += run_all(fusions.CHECKS, fusions.FusionSubject.installed(plugins, choice))
    if as_json:
        click.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        print_columns(("state", "check", ""), [(o.state, o.check, o.reason or o.holds) for o in outcomes])
    if any(outcome.state == "FAIL" for outcome in outcomes):
        raise SystemExit(1)
