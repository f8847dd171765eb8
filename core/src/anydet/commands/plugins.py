"""``anydet plugins``: list what plugins bring, and hold it to the conformance kits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.completion import complete_plugins
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo
from anydet.commands.paths import InputPath
from anydet.commands.result_options import MAX_PIXELS
from anydet.commands.tables import print_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anydet.plugins.manager import Plugins, PluginStatus

_KINDS = (
    "adapters",
    "datasets",
    "scenes",
    "engines",
    "evaluators",
    "views",
    "fusions",
    "ttt_methods",
    "layouts",
    "commands",
)
_json_option = json_option()


@click.group("plugins", epilog="\b\nExample:\n  anydet plugins list")
def command() -> None:
    """List plugins and check what they bring: adapters, formats, evaluators, views and all other kinds."""


@command.command("list", epilog="\b\nExample:\n  anydet plugins list")
@_json_option
@click.pass_obj
def list_(plugins: Plugins, json_path: Path | None) -> None:
    """List installed plugins with what they bring, hook by hook, and why one failed to load."""
    rows = plugins.status
    if write_json([{**asdict(row), "hooks": dict(row.hooks)} for row in rows], json_path):
        return
    print_columns(
        ("name", "package", "state", "hook", "brings"), [cells for r in rows for cells in _lines(r)]
    )
    for row in rows:
        if row.fix:
            echo(f"  fix {row.name}: {row.fix}")


def _lines(row: PluginStatus) -> Iterator[tuple[str, ...]]:
    """A line of cells for each hook of a plugin; what is the same in all of them stands in the first."""
    about: tuple[str, ...] = (row.name, f"{row.distribution} {row.version}", row.state)
    for hook, names in row.hooks or (("", (row.reason,)),):
        yield (*about, hook, ", ".join(names) or "observes")
        about = ("", "", "")


@command.command(
    epilog="\b\nExample:\n  anydet plugins check toy\n  anydet plugins check scale --option factor=0.5"
)
@click.argument("name", required=False, shell_complete=complete_plugins)
@click.option("--kind", type=click.Choice(_KINDS), help="Only what is registered of this kind.")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="Option of what is named; repeatable."
)
@click.option(
    "--dataset",
    type=InputPath(exists=True),
    help="Data set that formats are tried on; synthetic scenes by default.",
)
@click.option("--adapter", help="Adapter that methods of test-time training are tried on.")
@MAX_PIXELS
@_json_option
@click.pass_obj
def check(
    plugins: Plugins,
    /,
    name: str | None,
    kind: str | None,
    options: tuple[str, ...],
    json_path: Path | None,
    **shown: Any,
) -> None:
    """Run the conformance kits on what is called NAME, else on all that is installed; exit 1 if one fails.

    NAME is a plugin or its package, which stands for all that it registers ("anydet" for what core does), or
    something registered. Without NAME, what all installed plugins register is checked, and what needs weights
    or options is skipped. Adapters that need weights are checked by 'anydet adapters check'.
    """
    from tempfile import TemporaryDirectory

    from anydet.plugins.options import parse_options
    from anydet.testing import chosen

    with TemporaryDirectory() as folder:
        found = list(
            chosen.check(
                plugins,
                chosen.choose(plugins, name, kind),
                Path(folder),
                needy=name is None,
                options=parse_options(options),
                **shown,
            )
        )
    rows = [{"kind": one.kind, "name": one.name, **asdict(outcome)} for one, outcome in found]
    if not write_json(rows, json_path):
        cells = [(o.state, str(one), o.check, o.reason or o.holds) for one, o in found]
        print_columns(("state", "what", "check", ""), cells)
    if any(outcome.state == "FAIL" for _, outcome in found):
        raise SystemExit(1)
