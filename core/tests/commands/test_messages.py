from __future__ import annotations

import ast
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import anydet.commands
from anydet.cli import main
from anydet.commands.json_output import STDOUT, write_json
from anydet.commands.messages import echo, echo_encoded, echo_path, say, warn
from anydet.text import LINE

CORE = Path(anydet.commands.__file__).parent
ROOT = Path(__file__).parents[3]
COMMANDS = [*CORE.glob("*.py"), CORE.parent / "cli.py", *ROOT.glob("plugins/*/src/*/*.py")]
HOSTILE = "\x1b]0;title\x07\x1b[2J\u202e\x9b"
ESCAPED = r"\x1b]0;title\x07\x1b[2J\u202e\x9b"


def printers(path: Path) -> list[str]:
    """Where a module prints by itself."""
    return [
        f"{path.name}:{node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"click.echo", "click.secho", "print", "sys.stdout.write"}
    ]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_commands_print_through_one_place(path):
    assert path.name == "messages.py" or not printers(path)


def broken_lines(path: Path) -> list[str]:
    """Where a module gives a printer several lines in one text, whose line breaks are escaped."""
    return [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"echo", "say", "warn"}
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and "\n" in one.value
    ]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_lines_are_printed_one_by_one(path):
    assert not broken_lines(path)


@pytest.mark.parametrize(
    ("printer", "stream", "text"),
    [
        (echo, "out", f"{ESCAPED}\n"),
        (echo_path, "out", f"{ESCAPED}\n"),
        (say, "err", f"{ESCAPED}\n"),
        (warn, "err", f"warning: {ESCAPED}\n"),
    ],
)
def test_what_is_printed_is_escaped(printer, stream, text, capsys):
    printer(HOSTILE)
    assert getattr(capsys.readouterr(), stream) == text


def test_talk_is_bounded_and_results_have_all_their_lines(capsys):
    many = "\n".join(["x" * 5_000_000] + ["y"] * 1000)
    echo(*many.split("\n"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1001
    assert max(map(len, lines)) <= LINE
    say(many)
    warn(many)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= LINE + len("warning: ")


@pytest.mark.parametrize("printer", [echo, say, warn])
def test_a_line_break_in_a_name_begins_no_line(printer, capsys):
    printer("class 'cat\n  fix: run this'")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).endswith("class 'cat\\n  fix: run this'\n")
    assert (printed.out + printed.err).count("\n") == 1


def test_json_is_whole_and_of_ascii_characters(capsys):
    value = {"name": HOSTILE + "é😀" + "x" * 5_000_000}
    for write in (lambda v: write_json(v, STDOUT), lambda v: echo_encoded(json.dumps(v, ensure_ascii=False))):
        write(value)
        out = capsys.readouterr().out
        assert out.isascii()
        assert "\x1b" not in out
        assert json.loads(out) == value


@pytest.mark.parametrize(
    "arguments",
    [
        ["x" * 5_000_000],
        ["--" + "x" * 5_000_000],
        ["synth", "--" + "x" * 5_000_000],
        ["synth", "--out", "o", "--images", "9" * 5_000_000],
        ["synth", "--out", "o", "--format", "\x1b[2J" + "x" * 5_000_000],
        ["eval", "--dataset", "x" * 5_000_000, "--predictions", "x" * 5_000_000],
        ["export-predictions", "--adapter", "x" * 5_000_000, "--dataset", "d", "--output", "o.json"],
        ["view", "p.json", "--dataset", "d", "--intrinsics", "1," * 1_000_000],
        ["eval-coco", "--dataset", "d", "--predictions", "p", "--max-dets", "1," * 1_000_000],
        ["x\x1b[2J\u202e\n" * 10_000],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_what_is_said_of_a_long_value_is_short(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, arguments)
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code in {1, 2}
    assert len(done.output) < 5000
    assert max(map(len, done.output.splitlines())) < 1.1 * LINE
    assert "\x1b" not in done.output


def test_click_itself_would_print_all_of_it():
    with pytest.raises(click.ClickException) as error:
        click.Choice(["a"]).convert("x" * 100_000, None, None)
    assert len(error.value.message) > 100_000
