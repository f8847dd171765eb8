from __future__ import annotations

import pytest

from anydet.data.record.containment import contained
from anydet.errors import DatasetError


@pytest.mark.parametrize("name", ["a.jpg", "sub/a.jpg", "sub/../a.jpg", "./a.jpg", "missing.jpg"])
def test_names_inside_are_paths_inside(tmp_path, name):
    (tmp_path / "set/sub").mkdir(parents=True)
    assert contained(tmp_path / "set", name) == (tmp_path / "set" / name).resolve()


@pytest.mark.parametrize(
    "name", ["..", "../a.jpg", "sub/../../a.jpg", "/etc/hosts", "../set2/a.jpg", "out/a.jpg"]
)
def test_names_outside_are_refused(tmp_path, name):
    (tmp_path / "set/sub").mkdir(parents=True)
    (tmp_path / "set2").mkdir()
    (tmp_path / "set/out").symlink_to(tmp_path / "set2")
    with pytest.raises(DatasetError, match="is outside of"):
        contained(tmp_path / "set", name)


def test_a_folder_that_is_a_link_itself_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "real")
    assert contained(tmp_path / "set", "a.jpg") == tmp_path.resolve() / "real/a.jpg"


def test_names_that_no_file_can_have_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot be opened"):
        contained(tmp_path, "a\0.jpg")


def test_a_link_that_the_folder_holds_itself_may_lead_outside(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/4f").write_bytes(b"x")
    (tmp_path / "set/sub").mkdir(parents=True)
    (tmp_path / "set/sub/a.jpg").symlink_to("../../blobs/4f")
    (tmp_path / "set/out").symlink_to("../blobs")
    (tmp_path / "set/loop.jpg").symlink_to("loop.jpg")
    found = contained(tmp_path / "set", "sub/a.jpg", links=True)
    assert found == (tmp_path / "blobs/4f").resolve()
    for name in ("out/4f", "../blobs/4f", str(tmp_path / "blobs/4f"), "sub/../../blobs/4f"):
        with pytest.raises(DatasetError, match="is outside of"):
            contained(tmp_path / "set", name, links=True)
    with pytest.raises(DatasetError, match="is outside of"):
        contained(tmp_path / "set", "sub/a.jpg")
    for links in (False, True):
        with pytest.raises(DatasetError, match="cannot be opened"):
            contained(tmp_path / "set", "loop.jpg", links=links)
