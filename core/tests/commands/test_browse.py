"""``anydet browse``: an address on stdout, numbers of the report, and errors before the work."""

from __future__ import annotations

import json
import re
import socket
import webbrowser

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.report.server.server import BrowseServer

URL = re.compile(r"http://127\.0\.0\.1:\d+/[0-9a-f]{32}/\?token=[\w-]{43}\n", re.ASCII)


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """The words behind ``report`` and ``browse``."""
    root = tmp_path_factory.mktemp("browse")
    for words in (
        ["synth", "--out", root / "data", "--images", 3, "--size", "96x72"],
        ["export-predictions", "--adapter", "toy", "--dataset", root / "data", "--output", root / "p.json"],
    ):
        assert run(*words).exit_code == 0
    return root / "p.json", "--dataset", root / "data", "--resamples", 3


def test_stdout_is_the_address_and_stderr_the_numbers(scenes):
    done = run("browse", *scenes, "--idle-minutes", 0)
    assert done.exit_code == 0, done.output
    assert URL.fullmatch(done.stdout)
    assert re.search(r"^p: AP [01]\.\d{4}, AP50 [01]\.\d{4}$", done.stderr, re.MULTILINE)


def test_json_has_the_numbers_of_the_report_and_a_file_lets_nobody_in(scenes, tmp_path):
    report = run("report", *scenes, "--output", tmp_path / "r.html", "--json", "-")
    done = run("browse", *scenes, "--idle-minutes", 0, "--json", "-")
    printed = json.loads(done.stdout)
    assert URL.fullmatch(printed.pop("url") + "\n")
    assert printed["models"] == json.loads(report.stdout)["models"]
    done = run("browse", *scenes, "--idle-minutes", 0, "--json", tmp_path / "numbers.json")
    assert URL.fullmatch(done.stdout)
    assert json.loads((tmp_path / "numbers.json").read_text()) == printed


@pytest.mark.parametrize(
    ("words", "display", "opens"),
    [([], ":0", True), (["--no-open"], ":0", False), ([], "", False)],
)
def test_a_browser_is_opened_where_there_is_a_desktop(scenes, words, display, opens, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(BrowseServer, "serve", lambda server, contents, idle: None)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = run("browse", *scenes, *words)
    assert len(opened) == opens
    # What is on a command line can be seen by others: not the token that is printed.
    assert done.stdout.strip() not in opened
    assert all(URL.fullmatch(f"{one}\n") for one in opened)


def test_a_port_that_is_taken_is_said_before_anything_is_read(scenes):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("browse", "--port", taken.getsockname()[1], "--dataset", scenes[2], scenes[0])
    assert done.exit_code == 1
    assert "is in use" in done.stderr or "cannot be had" in done.stderr
    assert "  fix: give another --port" in done.stderr
    assert "images" not in done.stderr


@pytest.mark.parametrize(
    "words", [["--port", "65536"], ["--port", "-1"], ["--idle-minutes", "-1"], ["--idle-minutes", "nan"]]
)
def test_wrong_usage_is_refused(scenes, words):
    assert run("browse", *scenes, *words).exit_code == 2
