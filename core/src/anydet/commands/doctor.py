"""``anydet doctor``: what is installed, and whether it can be imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import say

if TYPE_CHECKING:
    from anydet.doctor import Finding
    from anydet.plugins.manager import Plugins


@click.command("doctor", epilog="\b\nExample:\n  anydet doctor\n  anydet doctor --quick --json")
@click.option("--quick", is_flag=True, help="Import nothing: show versions and files, but no devices.")
@json_option()
@click.pass_obj
def command(plugins: Plugins, quick: bool, json_path: Path | None) -> None:
    """Show Python, packages, devices, engines, plugins and folders; exit 1 if something is broken.

    Each package is imported in a process of its own. A missing optional package is not an error.
    """
    from anydet.doctor import diagnose

    with _waiting() as waiting:
        findings = diagnose(plugins, quick=quick, waiting=waiting)
    if not write_json([asdict(finding) for finding in findings], json_path):
        _print_table(findings)
    broken = [finding for finding in findings if finding.state == "broken"]
    for finding in broken:
        say(f"broken: {finding.group} {finding.name}: {finding.detail}")
    if broken:
        say("  fix: reinstall or uninstall these packages")
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
    """A function that shows on stderr what is being imported; silent if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _names: None
        return
    from rich.console import Console

    with Console(stderr=True).status("checking") as status:
        yield lambda names: status.update(f"importing {names}" if names else "checking")
