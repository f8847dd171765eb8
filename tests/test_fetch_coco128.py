"""The fetch script, offline: archives are made here and read through file:// addresses."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "fetch_coco128.sh"
pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "coco128.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("coco128/images/train2017/a.jpg", b"pixels")
    return path


def fetch(folder, url, checksum):
    env = {**os.environ, "COCO128_URL": url, "COCO128_SHA256": checksum}  # an empty sum is the published one
    return subprocess.run(["bash", SCRIPT], cwd=folder, env=env, capture_output=True, text=True, check=False)


def checksum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_good_archive_is_unpacked_and_a_second_run_leaves_it(archive, tmp_path):
    for _ in range(2):
        done = fetch(tmp_path, archive.as_uri(), checksum_of(archive))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/coco128/images/train2017/a.jpg").read_bytes() == b"pixels"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["coco128"]


@pytest.mark.parametrize(
    ("url", "checksum", "message"),
    [
        (None, "0" * 64, "not 0000"),
        (None, "", "not 61e5e3028863d8ff"),
        ("file:///nowhere/coco128.zip", "0" * 64, "fetch it where there is a network"),
    ],
)
def test_what_cannot_be_trusted_or_fetched_leaves_nothing_and_says_what_to_do(
    url, checksum, message, archive, tmp_path
):
    done = fetch(tmp_path, url or archive.as_uri(), checksum)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())
