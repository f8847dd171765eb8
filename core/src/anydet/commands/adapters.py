"""``anydet adapters``: list, describe and check installed adapters, and write the package of a new one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.completion import complete_names
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, echo_path, say
from anydet.commands.paths import OUTPUT_FOLDER
from anydet.commands.tables import print_columns, print_options

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins

_json_option = json_option()


@click.group("adapters", epilog=("\b\nExample:\n  anydet adapters list"))
def command() -> None:
    """List, describe and check installed adapters, or write a new one."""


@command.command(
    "list", epilog=("\b\nExample:\n  anydet adapters list\n  ANYDET_PLUGINS=toy anydet adapters list --json")
)
@_json_option
@click.pass_obj
def list_(plugins: Plugins, json_path: Path | None) -> None:
    """List installed adapters, and the plugins that failed to load with the reason.

    A plugin that fails to load does not change the exit code; with ANYDET_STRICT=1 its exception is raised.
    """
    from anydet.plugins.catalog import adapter_rows

    rows = adapter_rows(plugins)
    if write_json([asdict(row) for row in rows], json_path):
        return
    cells = [
        (r.name, ",".join(r.tasks), ",".join(r.capabilities), f"{r.package} {r.version}", r.state, r.note)
        for r in rows
    ]
    print_columns(("name", "tasks", "capabilities", "package", "state", ""), cells)
    for row in rows:
        if row.fix:
            echo(f"  fix {row.name}: {row.fix}")


@command.command(epilog=("\b\nExample:\n  anydet adapters show toy"))
@click.argument("name", shell_complete=complete_names("adapters"))
@_json_option
@click.pass_obj
def show(plugins: Plugins, name: str, json_path: Path | None) -> None:
    """Describe an adapter: tasks, capabilities, options, and its own keys of 'anydet train'."""
    from anydet.plugins.catalog import option_rows
    from anydet.plugins.options import load_schema
    from anydet.training.config.keys import described_schema, engine_section

    spec = plugins.spec("adapters", name)
    options = option_rows(load_schema(spec.options_schema))
    keys = option_rows(described_schema(load_schema(spec.training_schema)))
    if json_path:
        rows = {"options": list(map(asdict, options)), "training": list(map(asdict, keys))}
        if write_json({**asdict(spec), **rows}, json_path):
            return
    echo(f"{spec.name}: {spec.summary}")
    echo(f"tasks: {', '.join(spec.tasks)}", f"capabilities: {', '.join(spec.capabilities)}", "")
    print_options("option", options)
    if not options:
        echo("no options")
    if keys:
        echo()
        print_options("training key", keys)
    if "train" in spec.capabilities:
        echo()
        print_options("key of the engine", option_rows(engine_section("LoRA")))
        echo("all other keys of the engine: anydet train --help")


@command.command(epilog=("\b\nExample:\n  anydet adapters check toy"))
@click.argument("name", shell_complete=complete_names("adapters"))
@click.option("--checkpoint", help="Weights: a checkpoint file, or the folder of a training run.")
@click.option("--config", help="Configuration of the adapter; its base configuration by default.")
@click.option("--device", help="Device that the checks run on.  [default: the adapter's, cpu of most]")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the adapter, see 'anydet adapters show NAME'; repeatable.",
)
@_json_option
@click.pass_obj
def check(plugins: Plugins, /, name: str, json_path: Path | None, **settings: Any) -> None:
    """Run the conformance kit on an adapter; exit 1 if a check fails."""
    from tempfile import TemporaryDirectory

    from anydet.testing import KITS, AdapterSubject

    with TemporaryDirectory() as folder:
        checked = plugins.settings(name, batch_size=2, score_floor=0.001, **settings)
        subject = AdapterSubject(
            plugins.spec("adapters", name),
            lambda settings: plugins.adapter(name, settings),
            checked,
            folder=Path(folder),
        )
        # An adapter that cannot be built is an error, which says what to give; the kit would only say so.
        subject.set_up()
        outcomes = list(KITS["adapters"].run(subject))
    if not write_json([asdict(outcome) for outcome in outcomes], json_path):
        print_columns(("state", "check", ""), [(o.state, o.check, o.reason or o.holds) for o in outcomes])
    if any(outcome.state == "FAIL" for outcome in outcomes):
        raise SystemExit(1)


@command.command(
    epilog="\b\nExample:\n  anydet adapters new my_detector\n  anydet adapters new my_network --kind torch"
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(("numpy", "torch")),
    default="numpy",
    show_default=True,
    help="What finds objects in it: NumPy alone, or a network that trains, exports and adapts.",
)
@click.option("--out", type=OUTPUT_FOLDER, help="New or empty folder; ./NAME by default.")
@_json_option
@click.pass_obj
def new(plugins: Plugins, name: str, kind: str, out: Path | None, json_path: Path | None) -> None:
    """Write a plugin package with a small working adapter, to be filled with a model of your own.

    NAME consists of lower-case words joined by underscores: my_detector gives the package
    anydet-my-detector. Either the whole folder is written or nothing.
    """
    from anydet.plugins.scaffold import write_plugin

    written = write_plugin(name, out, kind=kind, plugins=plugins)
    steps = _next_steps(written.name, written.folder)
    if write_json({**asdict(written), "folder": str(written.folder), "next": steps}, json_path):
        return
    echo_path(written.folder)
    say(f"package {written.distribution}, adapter {name}: {len(written.files)} files; next:")
    say(*(f"  {step}" for step in steps))
    say(f"then put your model into {written.model_file}")


def _next_steps(name: str, folder: Path) -> list[str]:
    """Commands to run after a package was written."""
    import os
    import shlex

    # pip takes a word without a slash for the name of a package on its index, and Path drops "./".
    path = str(folder) if folder.is_absolute() else os.path.join(os.curdir, folder)  # noqa: PTH118
    return [
        f"python -m pip install -e {shlex.quote(f'{path}[test]')}",
        f"anydet adapters check {name}",
        f"python -m pytest {shlex.quote(path)}",
    ]
