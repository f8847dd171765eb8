from __future__ import annotations

import os
import re
import socket

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import AnydetWarning, DatasetError
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins


def test_images_without_labels_are_found_recursively(paint, put, tmp_path):
    paint("b/2.PNG")
    paint("a.jpg")
    put("notes.txt")
    dataset = open_dataset(tmp_path)
    assert (dataset.keys, dataset.split, dataset.source) == (("a.jpg", "b/2.PNG"), "", "none")
    assert dataset.classes is None
    assert [record.labels for record in dataset] == [None, None]
    assert dataset[1].image().shape == (20, 40, 3)
    with pytest.raises(DatasetError, match="has no labels, only images"):
        dataset.ground_truth()


def test_an_images_folder_without_labels_is_the_base_of_keys(paint, tmp_path):
    paint("images/a.jpg")
    paint("overview.jpg")
    assert open_dataset(tmp_path).keys == ("a.jpg",)


def test_folders_with_names_of_splits_are_splits(paint, tmp_path):
    paint("images/train2017/a.jpg")
    paint("images/val2017/b.jpg")
    dataset = open_dataset(tmp_path)
    assert (dataset.keys, dataset.note) == (("b.jpg",), "split val2017 (of train2017, val2017)")
    assert open_dataset(tmp_path, "train2017").keys == ("a.jpg",)


def test_another_folder_can_be_selected_as_a_split(paint, tmp_path):
    paint("summer/a.jpg")
    paint("winter/b.jpg")
    assert open_dataset(tmp_path).keys == ("summer/a.jpg", "winter/b.jpg")
    assert open_dataset(tmp_path, "winter").keys == ("b.jpg",)
    with pytest.raises(DatasetError, match=r"no split 'spring' \(there are: summer, winter\)"):
        open_dataset(tmp_path, "spring")


def test_the_fingerprint_is_that_of_the_keys_in_order(paint, tmp_path):
    paint("a.jpg")
    before = open_dataset(tmp_path).fingerprint()
    paint("b.jpg")
    assert open_dataset(tmp_path).fingerprint() != before


def test_files_named_alike_in_another_split_have_another_fingerprint_only_by_name(paint, tmp_path):
    paint("x/ab.jpg")
    paint("y/a.jpg")
    paint("y/b.jpg")
    assert open_dataset(tmp_path / "x").fingerprint() != open_dataset(tmp_path / "y").fingerprint()


HOSTILE = {
    "pipe": (lambda path: os.mkfifo(path / "x.png"), "no file but a pipe"),
    "link to a pipe": (
        lambda path: (os.mkfifo(path / "pipe"), (path / "x.png").symlink_to("pipe")),
        "no file but a pipe",
    ),
    "socket": (lambda path: socket.socket(socket.AF_UNIX).bind("x.png"), "no file but a socket"),
    "link to a device": (lambda path: (path / "x.png").symlink_to("/dev/zero"), "no file but a device"),
    "link to a folder": (lambda path: (path / "x.png").symlink_to("/"), "no file but a folder"),
    "name that is not UTF-8": (
        lambda path: (path / os.fsdecode(b"\xe9.png")).touch(),
        r"\xe9.png': its name is not UTF-8",
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_image_file_is_skipped_with_a_word(kind, paint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    paint("a.png")
    make, why = HOSTILE[kind]
    make(tmp_path)
    with pytest.warns(AnydetWarning, match=f"1 skipped; the first: .*{re.escape(why)}"):
        assert open_dataset(tmp_path).keys == ("a.png",)


@pytest.mark.parametrize(("target", "why"), [("nothing", "no such image"), ("x.png", "x.png.* cannot be ")])
def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(target, why, paint, tmp_path):
    paint("a.png")
    (tmp_path / "x.png").symlink_to(target)
    dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.png", "x.png")
    with pytest.raises(DatasetError, match=why):
        dataset[1].image()


def test_names_may_be_long_or_have_line_breaks_and_links_in_a_circle_are_not_followed(paint, tmp_path):
    names = ("A.png", "a.png", "new\nline.png", "sub.png/b.png", "x" * 240 + ".png")
    for name in names:
        paint(name)
    (tmp_path / "self").symlink_to(".")
    assert open_dataset(tmp_path).keys == names


def test_many_that_are_skipped_are_one_warning(paint, tmp_path):
    paint("a.png")
    for i in range(100):
        os.mkfifo(tmp_path / f"{i:03}.png")
    with pytest.warns(AnydetWarning, match="100 skipped; the first: .*000.png") as found:
        open_dataset(tmp_path)
    assert len(found) == 1


def test_a_folder_that_is_closed_is_skipped_with_a_word(paint, tmp_path, monkeypatch):
    paint("a.png")
    paint("closed/b.png")
    scan = os.scandir

    def refuse(path):
        if os.fspath(path).rstrip("/").endswith("closed"):  # root may open all that chmod closes
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(AnydetWarning, match="1 skipped; the first: .*closed.*Permission denied"):
        assert open_dataset(tmp_path, formats=installed_formats(Plugins())).keys == ("a.png",)
