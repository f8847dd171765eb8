"""Images are opened by decoders of image formats, and what is none says what it is."""

from __future__ import annotations

import ast
import os
import re
import struct
from binascii import crc32
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from anydet.data.record.image_formats import open_image
from anydet.data.record.pixels import ImageFile
from anydet.errors import ImageError, OptionError

ROOT = Path(__file__).parents[4]
PIXELS = np.random.default_rng(0).integers(0, 255, (8, 10, 3), np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "MPO"])
def test_images_of_the_usual_formats_are_opened_whatever_their_suffix(kind, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", format=kind)
    with open_image(tmp_path / "a.png") as image:
        assert image.size == (10, 8)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "it holds PostScript"),
        (b"%PDF-1.7\n", "it holds PDF"),
        (b"8BPS" + bytes(40), "it holds a Photoshop document"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run 'git lfs pull'"),
        (b"<!DOCTYPE html>", "it holds a web page"),
        (b"", "the file is empty"),
        (b"nothing known", "not an image of a known kind"),
    ],
)
def test_what_is_no_image_says_what_it_is(content, what, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnidentifiedImageError, match=re.escape(what)):
        open_image(tmp_path / "a.png")
    with pytest.raises(ImageError, match=re.escape(what)):
        ImageFile(tmp_path / "a.png").read()


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (ImageFile(tmp_path / "a.png").read, ImageFile(tmp_path / "a.png").size_wh):
        with pytest.raises(ImageError, match="cannot be decoded: no file but a pipe"):
            read()


@pytest.mark.parametrize(("path", "kind"), [("/dev/zero", "a device"), ("/", "a folder")])
def test_devices_and_folders_are_no_images(path, kind):
    with pytest.raises(OSError, match=kind):
        open_image(Path(path))


def test_a_small_file_of_a_huge_image_is_refused_before_it_is_decoded(tmp_path):
    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT" + bytes(20)):
        content += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", crc32(chunk))
    (tmp_path / "a.png").write_bytes(content)
    for read in (ImageFile(tmp_path / "a.png").read, ImageFile(tmp_path / "a.png").size_wh):
        with pytest.raises(ImageError, match=r"3600000000 pixels.*exceeds limit(.|\n)*MAX_PIXELS=3600000000"):
            read()


def test_more_and_fewer_pixels_are_opened_where_the_environment_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # Pillow refuses twice as many
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    file = ImageFile(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"80 pixels, which exceeds limit 60(.|\n)*ANYDET_MAX_PIXELS=80"):
        file.read()
    monkeypatch.setenv("ANYDET_MAX_PIXELS", "80")
    assert np.array_equal(file.read(), PIXELS)
    monkeypatch.setenv("ANYDET_MAX_PIXELS", "79")
    with pytest.raises(ImageError, match="80 pixels, which exceeds limit 79"):
        file.size_wh()
    for wrong in ("0", "-1", "many", "1e9", "\u0663", "9" * 30):
        monkeypatch.setenv("ANYDET_MAX_PIXELS", wrong)
        with pytest.raises(OptionError, match="is no number of pixels"):
            file.read()


def test_tiff_of_kinds_that_are_not_read_says_what_to_write(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((4, 5, 3), np.float32))
    with pytest.raises(ImageError, match=r"TIFF of a kind that is not read, .* write 8 or 16 bits"):
        ImageFile(tmp_path / "a.tif").read()


@pytest.mark.slow
def test_images_are_opened_here_and_nowhere_else():
    found = set()
    for path in (*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "Image.open",
                "cv2.imread",
                "imread",
            }:
                found.add(path.relative_to(ROOT).as_posix())
    # Corruptions open what they bring or have just encoded.
    corruptions = {f"core/src/anydet/data/corruptions/{name}.py" for name in ("digital", "weather")}
    # The contract does not know data sets; its masks are PNG files, and opened as such alone.
    masks = "core/src/anydet/contract/reading/foreign/instance_masks.py"
    # LabelMe's masks are PNG files inside of its JSON.
    labelme = "core/src/anydet/data/annotation_tools/labelme.py"
    assert found == {"core/src/anydet/data/record/image_formats.py", masks, labelme, *corruptions}
