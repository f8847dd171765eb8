"""Results appear whole or not at all, and what is no file is written into."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from anydet.errors import OptionError, OutputError
from anydet.outputs import (
    copy_file,
    growing_file,
    locked_folder,
    new_file,
    new_folder,
    new_parts,
    refused,
    remove_leftovers,
    require_writable,
    write_file,
    writing_to,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.json"
    with new_file(path) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_write_that_is_interrupted_leaves_the_old_file_and_nothing_else(stop, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(stop), new_file(path) as file:  # noqa: PT012 - stopped within the block
        file.write(b"half")
        raise stop
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "b.json", tmp_path / "a.json"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, "new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["b.json"]


def test_a_link_to_a_file_that_is_not_there_makes_it(tmp_path):
    link = tmp_path / "a.json"
    link.symlink_to(tmp_path / "b.json")
    write_file(link, "new")
    assert (tmp_path / "b.json").read_text() == "new"
    assert link.is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_permissions_of_a_file_that_is_there_stay(mode, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_file(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_permissions_that_files_have(tmp_path):
    (tmp_path / "usual").touch()
    write_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_other_names_of_a_file_keep_the_old_content(tmp_path):
    (tmp_path / "a.json").write_bytes(b"old")
    os.link(tmp_path / "a.json", tmp_path / "b.json")
    write_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "b.json").read_bytes() == b"old"


def test_a_pipe_is_written_into_and_stays(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_file(path, b"through the pipe")
    reader.join()
    assert read == [b"through the pipe"]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_full_device_is_an_error_and_stays_a_device():
    with pytest.raises(OutputError, match=r"^/dev/full: cannot be written: No space left") as caught:
        write_file("/dev/full", b"x" * 100_000)
    assert "free space" in caught.value.fix
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)  # noqa: PTH116 - a device, not a file of ours


def test_a_full_device_is_named_by_a_log_that_grows_too():
    with (
        pytest.raises(OutputError, match=r"^/dev/full: cannot be written: No space left"),
        growing_file(Path("/dev/full")) as append,
    ):
        append(b"line\n")


def test_stdout_that_leads_to_a_file_is_written_on_and_not_replaced(tmp_path):
    code = (
        "from anydet.outputs import write_file\n"
        "print('first')\nwrite_file('/dev/stdout', 'second\\n')\nprint('third')"
    )
    with (tmp_path / "out.txt").open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "out.txt").read_text() == "first\nsecond\nthird\n"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("write", [write_file, lambda path, _: require_writable(path)])
def test_a_folder_is_no_file(write, tmp_path):
    with pytest.raises(OutputError, match="Is a directory") as caught:
        write(tmp_path, b"")
    assert caught.value.fix == "name a file in this folder"
    assert names(tmp_path) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for refuse in (lambda p: write_file(p, b""), require_writable):
        with pytest.raises(OutputError, match=r"file/a\.json: cannot be written: ") as caught:
            refuse(tmp_path / "file" / "a.json")
        assert "a part of this path is a file" in caught.value.fix


def test_a_name_too_long_for_a_suffix_is_refused_before_the_work(tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    path = tmp_path / ("x" * (longest - 5) + ".json")
    write_file(path, b"fits")
    require_writable(path)
    with pytest.raises(OutputError, match="File name too long") as caught:
        require_writable(path, ".partial")
    assert caught.value.fix == "give it a shorter name"
    with pytest.raises(OutputError, match="File name too long"):
        write_file(path.with_name("y" + path.name), b"")


def test_names_of_several_bytes_a_letter_are_cut_without_an_error(tmp_path):
    path = tmp_path / ("ü" * 120 + ".json")
    write_file(path, b"fits")
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_an_error_that_names_no_file_and_can_only_be_of_a_write_is_of_the_output(code, tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(OutputError, match=r"a\.json: cannot be written"), new_file(path):
        raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_an_error_of_a_file_that_is_read_meanwhile_stays_its_own(tmp_path):
    missing = tmp_path / "source.png"
    with pytest.raises(FileNotFoundError) as caught, new_file(tmp_path / "a.json"):
        missing.read_bytes()
    assert caught.value.filename == str(missing)


def test_a_full_disk_is_not_blamed_on_the_file_that_is_copied(tmp_path):
    (tmp_path / "source").write_bytes(b"x" * 100)
    with pytest.raises(OutputError, match=r"^/dev/full: cannot be written: No space left"):
        copy_file(tmp_path / "source", "/dev/full")
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "missing", tmp_path / "copy")


def test_every_error_has_something_to_do():
    for code in errno.errorcode:
        assert refused("a", OSError(code, os.strerror(code))).fix


def test_appending_to_a_full_disk_is_an_error_of_the_file(tmp_path):
    path = tmp_path / "log"
    with pytest.raises(OutputError, match=r"log: cannot be written"), writing_to(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_appears_whole(tmp_path):
    root = tmp_path / "data"
    with new_folder(root) as folder:
        (folder / "a").write_text("1")
        assert not root.exists()
    assert names(root) == ["a"]
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize("there", ["file", "folder"])
def test_something_that_is_there_is_not_replaced_by_a_folder(there, tmp_path):
    root = tmp_path / "data"
    if there == "file":
        root.write_text("mine")
    else:
        (root / "mine").mkdir(parents=True)
    with pytest.raises(OptionError, match="not an empty folder"), new_folder(root):
        pass
    assert names(tmp_path) == ["data"]


def test_a_full_disk_in_a_folder_is_an_error_of_the_folder_and_leaves_nothing(tmp_path):
    root = tmp_path / "data"
    full = partial(OSError, errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match=r"data: cannot be written: No space"), new_folder(root) as folder:  # noqa: PT012 - fails within
        (folder / "a").write_text("1")
        raise full(str(folder / "b"))
    assert names(tmp_path) == []


def test_parts_are_gone_and_what_was_moved_out_of_them_stays(tmp_path):
    with new_parts(tmp_path / "data") as parts:
        (parts / "a").write_text("1")
        (parts / "b").write_text("2")
        (parts / "a").rename(tmp_path / "data" / "a")
    assert names(tmp_path / "data") == ["a"]


def test_leftovers_of_one_file_are_removed_and_no_others(tmp_path):
    path = tmp_path / "last.pt"
    write_file(path, b"weights")
    stays = [".best.pt.0123456789ab.partial", ".last.pt.partial", ".last.pt.more.0123456789ab.partial"]
    for name in (*stays, ".last.pt.0123456789ab.partial", ".last.pt.ba9876543210.partial"):
        (tmp_path / name).touch()
    remove_leftovers(path)
    assert names(tmp_path) == sorted([*stays, "last.pt"])


def test_a_folder_is_of_one_process_at_a_time(tmp_path):
    pytest.importorskip("filelock")
    folder = tmp_path / "new" / "out"
    with locked_folder(folder) as out:
        with (
            pytest.raises(OptionError, match="another process of anydet writes into it now"),
            locked_folder(folder),
        ):
            pass
        write_file(out / "a", "kept")
    with locked_folder(folder):
        pass
    assert (folder / "a").read_text() == "kept"


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    pytest.importorskip("filelock")
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new/out"):
        with pytest.raises(ZeroDivisionError), locked_folder(tmp_path / name):
            raise ZeroDivisionError
    assert names(tmp_path) == ["mine"]


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path):
    pytest.importorskip("filelock")
    script = (
        "import sys\nfrom pathlib import Path\nfrom anydet.outputs import locked_folder\n"
        "with locked_folder(Path(sys.argv[1])):\n    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], **pipes) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(OptionError, match="another process"), locked_folder(tmp_path):
            pass
        other.kill()
    with locked_folder(tmp_path):
        pass
