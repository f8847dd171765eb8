"""``anydet doctor``: what is installed here, and whether it works."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from anydet.doctor import Finding
    from anydet.plugins.manager import Plugins


@click.command("doctor", epilog="\b\nExample:\n  anydet doctor\n  anydet doctor --quick --json")
@click.option("--quick", is_flag=True, help="Import nothing: versions and files alone, no devices.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(plugins: Plugins, quick: bool, as_json: bool) -> None:
    """Show Python, packages, devices, engines, plugins and folders; exit 1 where something is broken.

    Imports all that it names, each in a process of its own, which takes as long as the slowest of them.
    Optional things that are missing are no error.
    """
    from anydet.doctor import diagnose

    with _waiting() as waiting:
        findings = diagnose(plugins, quick=quick, waiting=waiting)
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


def _print_table(findings: Sequence[Finding]) -> None:
    from anydet.commands.tables import print_table

    groups = [finding.group for finding in findings]
    starts = [i for i, group in enumerate(groups) if i and group != groups[i - 1]]
    rows = [
        ("" if i and f.group == groups[i - 1] else f.group, f.name, f.state, f.detail)
        for i, f in enumerate(findings)
    ]
    print_table(("what", "name", "state", ""), rows, left=4, starts=starts)


@contextmanager
def _waiting() -> Iterator[Callable[[str], None]]:
    """Shows on stderr what is being imported, quiet where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _names: None
        return
    from rich.console import Console

    with Console(stderr=True).status("looking") as status:
        yield lambda names: status.update(f"importing {names}" if names else "looking")
