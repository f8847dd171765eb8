"""The corruptions against the package ``imagecorruptions-imaug``, and what they promise of any image."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anydet.data.corruptions.corruption import (
    GROUPS,
    NAMES,
    SEVERITIES,
    Corruption,
    choose_names,
    corrupt,
    parse_corruption,
    split_path,
)
from anydet.errors import OptionError

OWN_NUMBERS = ("impulse_noise", "glass_blur")
"""Draw random numbers in another way than the package, whose distribution they have."""
LAST_BITS = {"snow": 1e-3, "frost": 1e-3}
"""Share of the numbers that may differ by one: OpenCV fuses and orders sums as the processor likes."""


def _images():
    """A photograph-like image, noise of an odd size, and areas of one color, where rounding shows."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:97, :131]
    smooth = np.stack([128 + 90 * np.sin(x / 9 + k) * np.cos(y / (7 + k)) for k in range(3)], -1)
    flat = np.zeros((64, 80, 3), np.uint8)
    flat[:20], flat[20:40, :40], flat[20:40, 40:], flat[40:] = 255, (200, 30, 90), 100, (0, 0, 255)
    return {
        "smooth": np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8),
        "noise": rng.integers(0, 256, (33, 101, 3), dtype=np.uint8),
        "flat": flat,
        "gray": np.repeat(rng.integers(0, 256, (150, 32, 1), dtype=np.uint8), 3, axis=2),
        "white": np.full((40, 45, 3), 255, np.uint8),
    }


IMAGES = _images()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN_NUMBERS])
@pytest.mark.parametrize("image", IMAGES)
def test_a_corruption_equals_the_package_given_the_same_random_numbers(peer, legacy, name, image):
    clean = IMAGES[image]
    for severity in SEVERITIES:
        np.random.seed(severity)
        theirs = peer.corrupt(clean, severity, name)
        ours = corrupt(clean, name, severity, legacy(severity))
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= (1 if name in LAST_BITS else 0), severity
        assert (difference > 0).mean() <= LAST_BITS.get(name, 0), severity


def test_the_names_are_those_of_the_package(peer):
    assert list(NAMES) == peer.get_corruption_names()
    for group, names in GROUPS.items():
        assert list(names) == peer.get_corruption_names(group)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size_hw", [(1, 1), (7, 300), (300, 7), (31, 32), (2, 2), (33, 47), (64, 1)])
def test_images_of_any_size_are_corrupted(name, size_hw):
    clean = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    kept = clean.copy()
    for severity in SEVERITIES:
        corrupted = Corruption(name, severity).apply(clean, "a.png")
        assert corrupted.shape == clean.shape
        assert corrupted.dtype == np.uint8
        assert corrupted.flags.c_contiguous
    np.testing.assert_array_equal(clean, kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_image_is_part_of_its_mirrored_self(name):
    clean = IMAGES["noise"][:20, :25]
    mirrored = np.pad(clean, [(0, 12), (0, 7), (0, 0)], mode="symmetric")
    for severity in (1, 5):
        part = corrupt(mirrored, name, severity, np.random.default_rng(3))[:20, :25]
        np.testing.assert_array_equal(corrupt(clean, name, severity, np.random.default_rng(3)), part)


@pytest.mark.parametrize("name", NAMES)
def test_each_severity_takes_more_from_the_image(name):
    """By the mean absolute difference over several images; pixelate and JPEG keep what is flat."""

    def loss(severity):
        images = (IMAGES["smooth"], IMAGES["flat"])
        return np.mean(
            [
                np.abs(Corruption(name, severity).apply(image, str(key)).astype(int) - image).mean()
                for image in images
                for key in range(8)
            ]
        )

    losses = [loss(severity) for severity in SEVERITIES]
    assert losses[0] > 0.2
    assert losses[4] > 1.1 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_pixels_depend_on_seed_and_key_and_on_nothing_else(name):
    clean = IMAGES["smooth"]
    first = Corruption(name, 3, seed=1).apply(clean, "a/b.jpg")
    Corruption(name, 3, seed=1).apply(clean, "other.jpg")
    np.random.seed(0)
    np.testing.assert_array_equal(first, Corruption(name, 3, seed=1).apply(clean, "a/b.jpg"))
    others = [
        Corruption(name, 3, seed=2).apply(clean, "a/b.jpg"),
        Corruption(name, 3, 1).apply(clean, "c.jpg"),
    ]
    drawn = name not in {
        "defocus_blur",
        "zoom_blur",
        "brightness",
        "contrast",
        "pixelate",
        "jpeg_compression",
    }
    assert [bool((other != first).any()) for other in others] == [drawn, drawn]


def test_a_key_that_is_not_utf8_has_numbers_of_its_own():
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    image = IMAGES["white"]
    assert (
        Corruption("gaussian_noise", 1).apply(image, name) != Corruption("gaussian_noise", 1).apply(image, "")
    ).any()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.sampled_from(SEVERITIES),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 2**32),
)
def test_corruptions_give_images_of_their_size(name, severity, height, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert corrupt(image, name, severity, rng).shape == image.shape


def test_gray_and_transparent_files_are_corrupted_as_the_rgb_that_they_are_read_as(tmp_path):
    from anydet.data.opening import open_dataset

    gray = IMAGES["gray"][..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(np.dstack([IMAGES["flat"], IMAGES["flat"][..., :1]])).save(tmp_path / "rgba.png")
    for record in open_dataset(f"corruption:fog:2:{tmp_path}"):
        clean = IMAGES["gray"] if record.key == "gray.png" else IMAGES["flat"]
        np.testing.assert_array_equal(record.image(), Corruption("fog", 2).apply(clean, record.key))


def test_jpeg_compression_is_what_pillow_writes():
    stream = BytesIO()
    Image.fromarray(IMAGES["smooth"]).save(stream, "JPEG", quality=7)
    np.testing.assert_array_equal(
        Corruption("jpeg_compression", 5).apply(IMAGES["smooth"], "a"), np.array(Image.open(stream))
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fgo:3", "no corruption called 'fgo'; did you mean 'fog'?"),
        ("fgo", "no corruption called 'fgo'; did you mean 'fog'?"),
        ("fog:6", "severity 6 of fog is not 1 to 5"),
        ("fog:0", "severity 0 of fog is not 1 to 5"),
        ("fog:-1", "severity -1 of fog is not 1 to 5"),
        ("fog", "'fog': expected a severity after 'fog', got ''"),
        ("fog:hard", "'fog:hard': expected a severity after 'fog', got 'hard'"),
        ("fog:3:seed=x", "'fog:3:seed=x': the seed 'x' is not a whole number from 0"),
        ("fog:3:seed=-1:", "'fog:3:seed=-1:': the seed '-1' is not a whole number from 0"),
        ("", "no corruption called ''"),
    ],
)
def test_what_is_no_corruption_is_refused(text, problem):
    with pytest.raises(OptionError) as refused:
        parse_corruption(text)
    assert refused.value.problem == problem
    assert refused.value.fix


@pytest.mark.parametrize("corruption", [Corruption("fog", 3), Corruption("snow", 5, 12)])
def test_a_corruption_is_read_as_it_is_written(corruption):
    assert parse_corruption(str(corruption)) == corruption
    written, path = split_path(f"corruption:{corruption}:/a:b/c d")
    assert (written, str(path)) == (corruption, "/a:b/c d")


def test_a_folder_with_such_a_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corruption:fog:3:here").mkdir()
    assert split_path("corruption:fog:3:here") == (None, tmp_path.__class__("corruption:fog:3:here"))
    with pytest.raises(OptionError, match="names no data set"):
        split_path("corruption:fog:3")
    with pytest.raises(OptionError, match="'abc' is not a whole number"):
        split_path("corruption:fog:3:seed=abc:scenes")


def test_names_are_chosen_by_group_in_their_usual_order():
    assert choose_names(["all"]) == NAMES
    assert choose_names(["fog", "noise", "fog"]) == (*GROUPS["noise"], "fog")
    with pytest.raises(OptionError, match=r"'wheather'; did you mean 'weather'\?"):
        choose_names(["wheather"])
