"""The ``anydet`` command itself: what it makes of errors."""

from __future__ import annotations

import errno
import re
import shlex
import subprocess
import sys
import warnings
from functools import partial

import click
import pytest
from click.testing import CliRunner

from anydet import cli
from anydet.cli import Group
from anydet.errors import AnydetWarning, OptionError


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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 9 GiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
    ],
)
def test_memory_that_is_exhausted_is_a_message_with_a_fix(error):
    done = invoke(error)
    assert done.exit_code == 1
    assert re.fullmatch(r"Error: memory is exhausted.*\n  fix: free memory, .*ulimit -v.*\n", done.stderr)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["export-predictions", "--checkpoint", "", "--adapter", "toy"], "after '--checkpoint' is empty"),
        (["view", "--dataset="], "'--dataset=' has an empty value"),
        (["adapters", "new", ""], "after 'new' is empty"),
        ([""], "after 'anydet' is empty"),
    ],
)
def test_what_a_variable_that_is_not_set_leaves_is_wrong_usage(words, named):
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 2
    assert f"{named}; is a variable of the shell not set?" in done.stderr


def test_a_closed_pipe_and_a_mistake_in_the_code_are_not_taken_for_them():
    assert isinstance(invoke(OSError(errno.EIO, "no file at all")).exception, OSError)
    assert isinstance(invoke(KeyError("a mistake")).exception, KeyError)


@pytest.mark.parametrize("line", ["adapters list", "--help", "--version", "eval --help", "COMPLETE"])
def test_a_full_stdout_is_one_line_and_a_closed_one_is_no_error(line, monkeypatch):
    command = [sys.executable, "-m", "anydet.cli", *line.split()]
    if line == "COMPLETE":
        command = [sys.executable, "-c", "from anydet.cli import main; main(prog_name='anydet')"]
        monkeypatch.setenv("_ANYDET_COMPLETE", "bash_source")
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 2)
    assert done.stderr.startswith("Error: stdout: No space left on device\n  fix: ")
    closed = subprocess.run(["sh", "-c", f"{shlex.join(command)} >&-"], capture_output=True, check=False)
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_what_is_written_to_descriptor_1_is_not_in_the_data(tmp_path):
    code = (
        "import os, sys\nfrom anydet import cli\n"
        "cli._keep_stdout()\nos.write(1, b'noise')\nos.system('echo noise')\nprint('data')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "data\n"
    assert done.stderr == "noisenoise\n"


def test_our_warnings_are_lines_and_others_stay_as_they_are(capsys):
    others = []
    show = partial(cli._show_warning, lambda *args, **_: others.append(args[0]))
    show(AnydetWarning("worth less"), AnydetWarning, "a.py", 1)
    show(UserWarning("of somebody else"), UserWarning, "a.py", 1)
    assert capsys.readouterr().err == "warning: worth less\n"
    assert [str(warning) for warning in others] == ["of somebody else"]


def run(*words):
    return CliRunner().invoke(cli.main, words, prog_name="anydet")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("evall", "no command called 'evall'; did you mean 'eval'?"),
        ("evaluate", "no command called 'evaluate'; its name here is 'eval-coco'"),
        ("zzz", "no command called 'zzz'\n"),
        ("\x1b[31mred", "no command called '\\x1b[31mred'"),
    ],
)
def test_an_unknown_command_leads_to_the_one_that_was_meant(name, said):
    done = run(name)
    assert done.exit_code == 2
    assert said in done.stderr


def test_names_that_other_tools_use_lead_to_commands_that_exist():
    assert not {name for name in cli._OTHER_NAMES if run(name, "--help").exit_code == 0}
    for words in set(cli._OTHER_NAMES.values()):
        assert run(*words.split(), "--help").exit_code == 0, words


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_commands_are_listed_in_sections_and_their_summaries_are_whole(columns):
    done = CliRunner().invoke(cli.main, ["--help"], prog_name="anydet", terminal_width=columns)
    lines = done.stdout.splitlines()
    sections = ["Predict:", "Evaluate:", "Data and files:", "Train:", "Plugins and installation:"]
    assert [line for line in lines if line in sections] == sections
    assert max(len(line) for line in lines[: lines.index("  Example:")]) <= columns
    text = " ".join(done.stdout.split())
    assert "..." not in text.replace("[ARGS]...", "").replace("sheet-001.png, ...", "")
    assert "quoted patterns (also **)." in text


def test_python_runs_the_package_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "anydet", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("anydet, version ")


def test_each_command_of_a_process_says_again_what_it_found():
    @click.command()
    def doubt() -> None:
        warnings.warn("the same doubt", AnydetWarning, stacklevel=1)

    group = Group("anydet", callback=cli.main.callback)
    group.get_command = lambda _ctx, _name: doubt  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.resetwarnings()
        said = [CliRunner().invoke(group, ["doubt"]).stderr for _ in range(2)]
    assert said == ["warning: the same doubt\n"] * 2
