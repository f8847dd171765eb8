"""The ``anydet`` command: a group that imports each command when it is used."""

from __future__ import annotations

import gc
import sys
from typing import Any

import click

from anydet.errors import AnydetError


class Group(click.Group):
    """Finds commands by their registered names, and prints errors without traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Core's commands, then plugins'."""
        return list(_plugins(ctx).specs("commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        plugins = _plugins(ctx)
        if cmd_name not in plugins.specs("commands"):
            return None
        command: click.Command = plugins.load("commands", cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run; every ``AnydetError``, and what the file system refuses, is a message and exit code 1."""
        try:
            return super().invoke(ctx)
        except AnydetError as exc:
            raise _Failure(exc) from exc
        except OSError as exc:
            if exc.filename is None:  # a closed pipe, which click knows, or no file at all
                raise
            raise _Failure(_refused(exc)) from exc


class _Failure(click.ClickException):
    def __init__(self, error: AnydetError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click declares it for the class


def _refused(exc: OSError) -> AnydetError:
    """What the file system said of which file."""
    path = exc.filename2 or exc.filename
    return AnydetError(f"{path}: {exc.strerror}", fix="name another place, or change its permissions")


def _plugins(ctx: click.Context) -> Any:
    """The plugins of this process, found once; commands get them as ``ctx.obj``."""
    root = ctx.find_root()
    if root.obj is None:
        from anydet.plugins.manager import Plugins

        root.obj = Plugins.from_env()
    return root.obj


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet validate-predictions predictions.json\n"
        "  anydet eval-coco --dataset data/scenes --predictions predictions.json"
    ),
)
@click.version_option(package_name="anydet")
@click.pass_context
def main(ctx: click.Context) -> None:
    """One predictions contract, any detector: export, validate and evaluate."""
    gc.set_threshold(50_000)  # what start-up makes lives to the end; looking for garbage in it takes its time
    _plugins(ctx)


if __name__ == "__main__":
    sys.exit(main())
