"""Each check of commands catches a bad command of its own."""

from __future__ import annotations

import sys

import click
import pytest

from anydet.plugins.manager import Plugins
from anydet.plugins.specs import CommandSpec
from anydet.testing.checks.commands import CHECKS, CommandSubject

SPEC = CommandSpec("good", "good_command:command", "Say hello.")


@click.group("good")
def good() -> None:
    """Say hello."""


@good.command("twice")
def twice() -> None:
    """Say it twice."""


@click.group("bad")
def explains_half() -> None:
    """Say hello."""


@explains_half.command("silent")
def silent() -> None: ...


@click.command("bad", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def takes_anything(words) -> None:
    """Say hello."""


@click.command("bad")
def goodbye() -> None:
    """Say goodbye."""


BAD = [
    ("it_is_a_click_command", print, "", "decorate it"),
    ("every_help_page_opens", explains_half, "", "'good silent' has no help"),
    ("the_summary_begins_the_help", goodbye, "", "the help begins 'Say goodbye.'"),
    ("wrong_use_is_a_message", takes_anything, "", "exits with 0"),
    ("importing_it_is_cheap", good, "print('hello')", "prints 'hello"),
    ("importing_it_is_cheap", good, "import scipy", "imports scipy"),
    ("importing_it_is_cheap", good, "import nowhere_at_all", "cannot be imported"),
]


@pytest.fixture
def subject(tmp_path, monkeypatch):
    def build(command, line=""):
        (tmp_path / "good_command.py").write_text(line)
        (tmp_path / "scipy.py").write_text("")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        return CommandSubject(SPEC, command, Plugins([]), folder=tmp_path)

    return build


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_command_passes(check, subject):
    CHECKS[check](subject(good))


def test_every_check_has_a_bad_command():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "command", "line", "message"), BAD)
def test_a_check_catches_its_bad_command(check, command, line, message, subject):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](subject(command, line))
