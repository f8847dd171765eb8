"""What comes through a pipe is read once, into a file that can be opened as often as needed."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from anydet import inputs, open_dataset
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.class_masks import write_class_masks
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError, OptionError
from anydet.inputs import (
    as_file,
    is_kept,
    keep,
    keeping_inputs,
    read_json,
    read_text,
    read_text_bytes,
    release,
)


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
    (tmp_path / "1").mkdir()
    (tmp_path / "1/pipe").symlink_to("/dev/full")
    monkeypatch.setattr(inputs, "_read", set())
    monkeypatch.setattr(inputs, "_folder", lambda: tmp_path)
    monkeypatch.setattr(inputs.Path, "mkdir", lambda _self: None)
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


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    read_bytes = 0

    def readinto(self, target):
        count = super().readinto(target)
        self.read_bytes += count
        return count

    def readall(self):
        found = super().read()
        self.read_bytes += len(found)
        return found


def counted(monkeypatch, content: bytes) -> tuple[Path, Counted]:
    raw = Counted(content)
    monkeypatch.setattr(Path, "open", lambda *_: io.BufferedReader(raw))
    return Path("file"), raw


@pytest.mark.parametrize("begin", [b"\0", b"x", b"\xff\xfe{", b"\xef\xbb\xbf{", b"  17", b'"'])
def test_what_begins_like_no_json_is_not_read_to_its_end(begin, monkeypatch):
    path, raw = counted(monkeypatch, begin + b" " * 1_000_000)
    assert read_json(path).startswith(begin)
    assert raw.read_bytes < 20_000


@pytest.mark.parametrize("begin", [b"{", b"[", b" \n\t[", b" " * 10_000 + b"{", b" " * 100_000])
def test_what_may_be_json_is_read_whole(begin, monkeypatch):
    content = begin + b" " * 100_000
    path, _ = counted(monkeypatch, content)
    assert read_json(path) == content


@pytest.mark.parametrize("begin", [b"\0", b"key: 1\n\0", b"\xff\xfek\0", b"\x89PNG"])
def test_what_begins_like_no_text_is_not_read_to_its_end(begin, monkeypatch):
    path, raw = counted(monkeypatch, begin + b" " * 1_000_000)
    assert read_text_bytes(path).startswith(begin)
    assert raw.read_bytes < 20_000


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_text_is_read_whole_wherever_its_characters_lie(offset, monkeypatch):
    text = "x" * offset + "東京" * 50_000
    path, _ = counted(monkeypatch, text.encode())
    assert read_text(path) == text


def test_text_has_line_ends_of_one_kind_and_no_mark(monkeypatch):
    path, _ = counted(monkeypatch, b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\nb\nc\n"


def test_a_file_within_a_data_set_is_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "labels.txt")
    (tmp_path / "good.txt").write_bytes(b"content")
    assert inputs.read_file(tmp_path / "good.txt") == b"content"
    for path, said in (
        (tmp_path / "labels.txt", "it is a pipe"),
        (inputs.Path("/dev/zero"), "it is a device"),
    ):
        with pytest.raises(OSError, match=said):  # at once, though nobody writes into it
            inputs.open_file(path)


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_a_data_set_with_a_pipe_for_annotations_is_an_error(layout, tmp_path):
    write = {"coco": write_coco, "yolo": write_yolo}[layout]
    write(SyntheticDataset(2), tmp_path / "data", "val")
    for file in (*tmp_path.glob("data/annotations/*.json"), *tmp_path.glob("data/labels/val/*.txt")):
        file.unlink()
        os.mkfifo(file)
    with pytest.raises(DatasetError, match="it is a pipe, not a file"):
        open_dataset(tmp_path / "data").ground_truth()


DESCRIPTIONS = ("data.yaml", "dataset.yaml", "classes.txt")
"""Files that name the classes; of several, the first is read."""


@pytest.mark.parametrize("name", [*DESCRIPTIONS, "labels.csv", "corruption.json"])
@pytest.mark.parametrize("layout", ["yolo", "masks"])
def test_a_pipe_with_the_name_of_a_file_of_a_data_set_is_never_taken_for_none(name, layout, tmp_path):
    if layout == "yolo":
        write_yolo(SyntheticDataset(2), tmp_path / "data", "val")
    else:
        write_class_masks(SyntheticMasks(2), tmp_path / "data", "val")
    file = tmp_path / "data" / name
    for other in DESCRIPTIONS if name in DESCRIPTIONS else (name,):
        (file.parent / other).unlink(missing_ok=True)
    os.mkfifo(file)
    if (name, layout) == ("labels.csv", "yolo"):
        open_dataset(tmp_path / "data").ground_truth()  # a file of that name means nothing to it
        return
    with pytest.raises(DatasetError, match="it is a pipe, not a file"):
        open_dataset(tmp_path / "data").ground_truth()


def test_a_folder_with_the_name_of_a_file_is_no_such_file(tmp_path):
    assert not inputs.there_is(tmp_path)
    assert not inputs.there_is(tmp_path / "absent")


def test_the_inode_of_an_input_that_was_removed_is_free_again(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1")
    with keeping_inputs():
        keep(path)
        other = tmp_path / "b.txt"
        path.rename(other)  # as a new file that is given the inode of the removed one
        assert not is_kept(other)
        other.rename(path)
        assert is_kept(path)
        release(path)
        assert not is_kept(path)
