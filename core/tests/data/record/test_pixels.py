from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from anydet.data.record.pixels import ImageArray, ImageFile
from anydet.errors import ImageError

ORIENTATION = 0x0112
SIZE = (6, 4)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


@pytest.fixture
def save(tmp_path, pixels):
    def save(orientation):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(pixels).save(path, exif=exif)
        return path

    return save


def turned(pixels, orientation):
    """The upright view, from the definition of each orientation: which corner row 0 and column 0 are."""
    flips = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels[::-1].transpose(1, 0, 2),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels[:, ::-1].transpose(1, 0, 2),
    }
    return flips[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(save, pixels, orientation):
    file = ImageFile(save(orientation))
    expected = turned(pixels, orientation)
    assert np.array_equal(file.read(), expected)
    assert file.size_wh() == (expected.shape[1], expected.shape[0])
    with Image.open(file.path) as image:
        assert np.array_equal(np.array(ImageOps.exif_transpose(image)), expected)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_there_is_not_turns_nothing(save, pixels, orientation):
    np.testing.assert_array_equal(ImageFile(save(orientation)).read(), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("stated", [SIZE, SIZE[::-1], (99, 77)])
def test_a_stated_size_that_only_the_unrotated_image_has_wins(save, pixels, orientation, stated):
    file = ImageFile(save(orientation), stated)
    stays = orientation >= 5 and stated == SIZE
    expected = pixels if stays else turned(pixels, orientation)
    assert np.array_equal(file.read(), expected)
    assert file.size_wh() == (expected.shape[1], expected.shape[0])


def test_a_square_image_is_turned_whatever_is_stated(tmp_path):
    square = np.random.default_rng(1).integers(0, 256, (5, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(square).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(ImageFile(tmp_path / "a.png", (5, 5)).read(), turned(square, 6))


@pytest.mark.parametrize(
    ("mode", "value", "rgb"),
    [
        ("L", 128, (128, 128, 128)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 32896, (128, 128, 128)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
        ("LA", (77, 9), (77, 77, 77)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, value, rgb):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, SIZE, value).save(path)
    image = ImageFile(path).read()
    assert (image.shape, image.dtype) == ((4, 6, 3), np.uint8)
    assert (image == rgb).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("top", [1, 255, 65535, 4_000_000])
def test_numbers_of_more_than_8_bits_are_parts_of_the_least_range_that_holds_them(tmp_path, dtype, top):
    if top > np.iinfo(dtype if dtype != np.float32 else np.int32).max:
        return
    steps = np.linspace(0, 1, 12).reshape(3, 4)
    given = (steps * top).astype(dtype)
    Image.fromarray(given).save(tmp_path / "a.tif")
    shown = ImageFile(tmp_path / "a.tif").read()
    # Whole numbers of 0 and 1 are nearly black, as in 8 bits; fractions are white at 1.
    white = 1 if top == 1 and dtype != np.float32 else 255
    assert shown[..., 0].max() == white
    np.testing.assert_allclose(shown[..., 0], given / top * white, atol=1.01)
    assert (shown == shown[..., :1]).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
def test_16_bits_are_read_as_opencv_reads_them(tmp_path, suffix, shape):
    values = np.random.default_rng(4).integers(0, 65536, shape).astype(np.uint16)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), values)
    # Of TIFF with colors, OpenCV rounds where Pillow cuts.
    most = 1 if suffix == "tif" and len(shape) == 3 else 0
    theirs = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_allclose(ImageFile(path).read().astype(int), theirs.astype(int), atol=most)


def test_what_is_no_number_is_black_and_infinity_white(tmp_path):
    Image.fromarray(np.array([[np.nan, -np.inf, -3, 0.5, 1, np.inf]], np.float32)).save(tmp_path / "a.tif")
    assert ImageFile(tmp_path / "a.tif").read()[0, :, 0].tolist() == [0, 0, 0, 128, 255, 255]


def test_a_palette_becomes_its_colors(tmp_path, pixels):
    flat = np.zeros_like(pixels)
    flat[:, 3:] = (10, 200, 30)
    Image.fromarray(flat).quantize(2).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
    assert np.array_equal(ImageFile(tmp_path / "a.png").read(), flat)


def test_one_pixel_is_an_image(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert ImageFile(tmp_path / "a.png").read().tolist() == [[[1, 2, 3]]]


def test_decoded_pixels_can_be_written_to(save):
    ImageFile(save(1)).read()[0, 0] = 0


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "folder", "broken header"])
def test_what_cannot_be_decoded_names_the_file(tmp_path, kind):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    path.unlink()
    contents = {"empty": b"", "text": b"hello", "truncated": whole[: len(whole) // 2]}
    if kind == "folder":
        path.mkdir()
    elif kind == "broken header":
        path.write_bytes(whole[:2] + b"\xff" * 40)
    elif kind != "missing":
        path.write_bytes(contents[kind])
    with pytest.raises(ImageError, match=r"a\.jpg") as caught:
        ImageFile(path).read()
    assert caught.value.fix
    if kind != "truncated":  # its header is whole
        with pytest.raises(ImageError, match=r"a\.jpg"):
            ImageFile(path).size_wh()


def test_sizes_come_from_the_header_alone(tmp_path, pixels):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.tile(pixels, (40, 40, 1))).save(path)
    path.write_bytes(path.read_bytes()[:800])
    assert ImageFile(path).size_wh() == (240, 160)


def test_pixels_are_picklable(save, pixels):
    file = ImageFile(save(6))
    assert np.array_equal(pickle.loads(pickle.dumps(file)).read(), turned(pixels, 6))
    memory = pickle.loads(pickle.dumps(ImageArray(pixels)))
    assert memory.size_wh() == SIZE
    assert np.array_equal(memory.read(), pixels)


def chunks_of(png):
    """(type, whole chunk) of each chunk of a PNG, from the definition of the format."""
    at = 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at:end]
        at = end


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_of_a_png_may_stand_behind_its_pixels(save, pixels, orientation):
    path = save(orientation)
    chunks = list(chunks_of(path.read_bytes()))
    kinds = [kind for kind, _ in chunks]
    assert kinds.index(b"eXIf") < kinds.index(b"IDAT")
    moved = [chunk for kind, chunk in chunks if kind not in (b"eXIf", b"IEND")]
    moved += [dict(chunks)[b"eXIf"], dict(chunks)[b"IEND"]]
    path.write_bytes(path.read_bytes()[:8] + b"".join(moved))
    expected = turned(pixels, orientation)
    assert np.array_equal(ImageFile(path).read(), expected)
    assert ImageFile(path).size_wh() == (expected.shape[1], expected.shape[0])
    stays = orientation >= 5
    assert ImageFile(path, SIZE).size_wh() == (SIZE if stays else (expected.shape[1], expected.shape[0]))


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_of_a_png_comes_from_its_header_alone(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
    Image.fromarray(noise).save(path, exif=exif)
    path.write_bytes(path.read_bytes()[:1000])
    assert ImageFile(path).size_wh() == ((240, 160) if orientation == 1 else (160, 240))
    with pytest.raises(ImageError, match=r"a\.png: cannot be decoded"):
        ImageFile(path).read()
