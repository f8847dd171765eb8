"""What comes through a pipe is read once, into a file that can be opened as often as needed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from anydet import inputs
from anydet.errors import OptionError
from anydet.inputs import as_file


@pytest.fixture
def pipe(tmp_path):
    """Makes a FIFO, and a thread that writes into it when it is opened."""
    threads = []

    def make(content, name="pipe"):
        path = tmp_path / name
        os.mkfifo(path)
        threads.append(threading.Thread(target=lambda: path.write_bytes(content)))
        threads[-1].start()
        return path

    yield make
    for thread in threads:
        thread.join()


def test_a_file_and_a_folder_are_themselves(tmp_path):
    (tmp_path / "a.json").touch()
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "missing", tmp_path / "*.json"):
        assert as_file(path) is path


def test_what_comes_through_a_pipe_can_be_read_twice(pipe):
    path = as_file(pipe(b"content" * 1000))
    assert path.is_file()
    assert path.read_bytes() == path.read_bytes() == b"content" * 1000


def test_the_suffix_of_a_pipe_stays(pipe):
    assert as_file(pipe(b"", "a.jsonl")).suffix == ".jsonl"


def test_a_pipe_that_was_read_is_refused(pipe):
    path = pipe(b"content")
    as_file(path)
    with pytest.raises(OptionError, match="can be read once, and it has been read"):
        as_file(path)


def test_a_pipe_that_gives_too_much_is_refused(pipe, monkeypatch):
    monkeypatch.setattr(inputs, "MOST_BYTES", 1 << 10)
    path = pipe(b"x" * 2000)
    with pytest.raises(OptionError, match="GiB came through it"):
        as_file(path)


def test_a_full_temporary_folder_is_named(pipe, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/pipe-1").symlink_to("/dev/full")
    monkeypatch.setattr(inputs, "_read", set())
    monkeypatch.setattr(inputs, "_folder", lambda: tmp_path / "full")
    with pytest.raises(OptionError, match="temporary folder: No space left on device") as caught:
        as_file(pipe(b"content"))
    assert "TMPDIR" in caught.value.fix


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_no_file(device):
    with pytest.raises(OptionError, match=f"{device}: is a device"):
        as_file(inputs.Path(device))


def test_a_socket_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        with pytest.raises(OptionError, match="socket: is a socket"):
            as_file(inputs.Path("socket"))


def test_a_dash_is_stdin_and_the_file_is_gone_when_the_process_ends():
    code = (
        "from pathlib import Path\nfrom anydet.inputs import as_file\n"
        "path = as_file(Path('-'))\nprint(path)\nassert path.read_text() == 'through stdin'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="through stdin", capture_output=True, text=True, check=True
    )
    assert not inputs.Path(done.stdout.strip()).exists()
