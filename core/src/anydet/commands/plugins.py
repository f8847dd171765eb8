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
    from anydet.plugins.manager import Plugins

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
    """List installed plugins with all that they bring, and why one failed to load."""
    rows = plugins.status
    if write_json([asdict(row) for row in rows], json_path):
        return
    cells = [
        (r.name, f"{r.distribution} {r.version}", r.state, r.reason or ", ".join(r.provides)) for r in rows
    ]
    print_columns(("name", "package", "state", "brings"), cells)
    for row in rows:
        if row.fix:
            echo(f"  fix {row.name}: {row.fix}")


@command.command(epilog="\b\nExample:\n  anydet plugins check scale --option factor=0.5")
@click.argument("name", shell_complete=complete_plugins)
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
    name: str,
    kind: str | None,
    options: tuple[str, ...],
    json_path: Path | None,
    **shown: Any,
) -> None:
    """Run the conformance kits on what is called NAME; exit 1 if a check fails.

    NAME is a plugin or its package, which stands for all that it registers ("anydet" for what core does), or
    something registered. Adapters that need weights are checked by 'anydet adapters check'.
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
