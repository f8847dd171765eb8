"""Image files that are cut off are found without decoding those that are whole."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from anydet.data.dataset.image_files import open_image_files
from anydet.data.inspection.files import inspect_files
from anydet.data.record import decoding
from anydet.data.record.tails import ends_well

KINDS = {
    "a.jpg": {"format": "JPEG"},
    "b.jpg": {"format": "JPEG", "progressive": True},
    "a.png": {"format": "PNG"},
    "a.gif": {"format": "GIF"},
    "a.webp": {"format": "WEBP"},
    "b.webp": {"format": "WEBP", "lossless": True},
    "a.tif": {"format": "TIFF"},
    "b.tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "a.bmp": {"format": "BMP"},
    "a.jp2": {"format": "JPEG2000"},
}


def saved(folder, name):
    pixels = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(folder / name, **KINDS[name])
    return folder / name


def found(*paths, **how):
    return {one.check: one.count for one in inspect_files(open_image_files(paths), **how)}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_whole_ends_well_and_is_not_decoded(name, tmp_path, monkeypatch):
    path = saved(tmp_path, name)
    assert ends_well(path)
    monkeypatch.setattr(decoding, "decode", None)
    assert found(path) == {}


@pytest.mark.filterwarnings("ignore:.*EXIF data", "ignore:Truncated File")  # Pillow's, of a TIFF
@pytest.mark.parametrize("lost", [30, 0.5])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_cut_off_is_found(name, lost, tmp_path):
    path = saved(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: -lost if isinstance(lost, int) else int(len(whole) * lost)])
    assert found(path) == {"unreadable images": 1}


def test_a_missing_end_marker_alone_does_no_harm(tmp_path):
    path = saved(tmp_path, "a.gif")
    path.write_bytes(path.read_bytes()[:-1])
    assert not ends_well(path)
    assert found(path) == {}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.bmp"])
def test_bytes_behind_the_end_do_no_harm(name, tmp_path):
    path = saved(tmp_path, name)
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert found(path) == {}


def test_damage_in_the_middle_is_found_where_files_are_decoded(tmp_path):
    path = saved(tmp_path, "a.png")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 20] = bytes(20)
    path.write_bytes(whole)
    other = saved(tmp_path, "a.jpg")
    assert found(path, other) == {}
    assert found(path, other, decode=True) == {"unreadable images": 1}
