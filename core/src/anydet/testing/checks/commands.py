"""What a command is held to: it explains itself, and costs nothing before it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.testing import CliRunner

from anydet.plugins.manager import Plugins
from anydet.plugins.specs import CommandSpec
from anydet.testing.kit import Subject, checks_of

if TYPE_CHECKING:
    from typing_extensions import Self

HEAVY = (
    "torch",
    "torchvision",
    "tensorflow",
    "jax",
    "cv2",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt_rtx",
    "scipy",
    "matplotlib",
    "pandas",
)
"""Modules that take longer to import than a help page may take to appear."""


@dataclass(frozen=True)
class CommandSubject(Subject):
    """A command under test.

    Attributes:
        spec: what the plugin registered.
        command: what its factory names.
        plugins: what a command gets as ``ctx.obj``.
    """

    spec: CommandSpec
    command: click.Command
    plugins: Plugins

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed command called ``name``, which has no options of a schema."""
        del options
        return cls(plugins.spec("commands", name), plugins.load("commands", name), plugins, folder=folder)

    def set_up(self) -> None:
        """It is imported already."""

    def parts(self) -> Iterator[tuple[list[str], click.Command]]:
        """The command and all below it, each with its name as it is typed behind the command's own."""
        return _parts(self.command, [], self.plugins)


def it_is_a_click_command(subject: CommandSubject) -> None:
    """The factory names a click command or group."""
    found = subject.command
    assert isinstance(found, click.Command), f"it is a {type(found).__name__}; decorate it with click.command"


def every_help_page_opens(subject: CommandSubject) -> None:
    """``--help`` of the command and of all below it prints what it is for."""
    for path, command in subject.parts():
        done = CliRunner().invoke(subject.command, [*path, "--help"], obj=subject.plugins)
        typed = " ".join([subject.spec.name, *path])
        assert done.exit_code == 0, f"'{typed} --help' exits with {done.exit_code}: {done.exception!r}"
        assert command.help or command.short_help, f"'{typed}' has no help; write a docstring"


def the_summary_begins_the_help(subject: CommandSubject) -> None:
    """The summary in the spec is the first sentence of the help, so that listing imports nothing."""
    first = subject.command.get_short_help_str(limit=1000)
    assert subject.spec.summary == first, (
        f"the summary is {subject.spec.summary!r}, the help begins {first!r}"
    )


def wrong_use_is_a_message(subject: CommandSubject) -> None:
    """An option that does not exist exits with 2 and a message."""
    done = CliRunner().invoke(subject.command, ["--no-such-option"], obj=subject.plugins)
    assert done.exit_code == 2, f"--no-such-option exits with {done.exit_code}: {done.exception!r}"


def importing_it_is_cheap(subject: CommandSubject) -> None:
    """Importing its module prints nothing and imports no library that takes long; its body may."""
    module = subject.spec.factory.partition(":")[0]
    code = f"import sys, {module}; sys.stderr.write(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{module} cannot be imported: {done.stderr.strip()[-200:]}"
    assert not done.stdout, f"importing {module} prints {done.stdout[:80]!r}"
    assert not done.stderr, f"importing {module} imports {done.stderr}; import that in the command's body"


def _parts(
    command: click.Command, path: list[str], plugins: Plugins
) -> Iterator[tuple[list[str], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, obj=plugins)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None, f"{name!r} is listed and not there"
            yield from _parts(below, [*path, name], plugins)


CHECKS = checks_of(
    it_is_a_click_command,
    every_help_page_opens,
    the_summary_begins_the_help,
    wrong_use_is_a_message,
    importing_it_is_cheap,
)
"""Name -> check, in the order in which they are run."""
