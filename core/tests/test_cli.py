"""The ``anydet`` command itself: what it makes of errors."""

from __future__ import annotations

import errno

import click
import pytest
from click.testing import CliRunner

from anydet.cli import Group
from anydet.errors import OptionError


def invoke(error: BaseException):
    """What the command line makes of an error in a command."""

    @click.command()
    def fail() -> None:
        raise error

    group = Group("anydet")
    group.get_command = lambda _ctx, _name: fail  # type: ignore[method-assign]
    return CliRunner().invoke(group, ["fail"])


def test_our_errors_are_a_message_with_a_fix():
    done = invoke(OptionError("no such thing", fix="name another"))
    assert (done.exit_code, done.stderr) == (1, "Error: no such thing\n  fix: name another\n")


@pytest.mark.parametrize(
    ("error", "path"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/b.json"), "a/b.json"),
        (OSError(errno.ENOSPC, "No space left on device", "a", None, "b"), "b"),
    ],
)
def test_what_the_file_system_refuses_is_a_message_with_the_path_and_a_fix(error, path):
    done = invoke(error)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {path}: {error.strerror}\n  fix: ")


def test_a_closed_pipe_and_a_mistake_in_the_code_are_not_taken_for_them():
    assert isinstance(invoke(OSError(errno.EIO, "no file at all")).exception, OSError)
    assert isinstance(invoke(KeyError("a mistake")).exception, KeyError)
