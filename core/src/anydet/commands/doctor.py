"""``anydet doctor``: what is installed here, and whether it works."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from anydet.diagnosis import Finding
    from anydet.plugins.manager import Plugins

_COLOURS = {"ok": "green", "broken": "bold red", "unavailable": "yellow"}


@click.command("doctor", epilog="\b\nExample:\n  anydet doctor\n  anydet doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(plugins: Plugins, as_json: bool) -> None:
    """Show Python, packages, devices, engines, plugins and folders; exit 1 where something is broken.

    Optional things that are missing are no error. Imports all that it names, so it takes some seconds.
    """
    from anydet.diagnosis import diagnose

    findings = diagnose(plugins)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print_table(findings)
    broken = [finding for finding in findings if finding.state == "broken"]
    for finding in broken:
        click.echo(f"broken: {finding.group} {finding.name}: {finding.detail}", err=True)
    if broken:
        click.echo("  fix: install it again, or uninstall it", err=True)
        raise SystemExit(1)


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "name", "state", "", box=None, pad_edge=False)
    before = ""
    for finding in findings:
        state = Text(finding.state, style=_COLOURS.get(finding.state, ""))
        group = finding.group if finding.group != before else ""
        table.add_row(group, Text(finding.name), state, Text(finding.detail))
        before = finding.group
    Console().print(table)
