"""Files of several frames: the first is read, and predicting or checking them says how many there are."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.data.record.frames import frames_notice, noting_frames
from anydet.data.record.pixels import ImageFile

FRAMES = [Image.new("RGB", (12, 8), color) for color in ("red", "lime", "blue")]
KINDS = {"a.gif": {}, "a.tif": {}, "a.webp": {"lossless": True}, "a.png": {"default_image": False}}


@pytest.fixture
def write(tmp_path):
    def write(name, frames=FRAMES):
        first, *others = frames
        first.save(tmp_path / name, save_all=True, append_images=others, **KINDS[name])
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", KINDS)
def test_the_first_frame_is_read_and_the_file_noted_once(name, write):
    path = write(name)
    with noting_frames() as several:
        pixels = ImageFile(path).read()
        assert ImageFile(path).size_wh() == (12, 8)
    assert (pixels == [255, 0, 0]).all()
    assert list(several) == [path]
    assert frames_notice(several).startswith(
        "1 image has several frames or pages, of which the first is read"
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_one_frame_is_not_noted(name, write):
    with noting_frames() as several:
        ImageFile(write(name, FRAMES[:1])).read()
    assert frames_notice(several) == ""


def test_nothing_is_noted_where_nobody_asks(write):
    with noting_frames() as several:
        pass
    ImageFile(write("a.gif")).read()
    assert not several


def test_a_later_frame_of_less_colors_does_not_change_the_first(write):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 4, (8, 12), dtype=np.uint8) * 80).convert("RGB")
    alone = ImageFile(write("a.tif", [noise])).read()
    np.testing.assert_array_equal(ImageFile(write("a.tif", [noise, *FRAMES])).read(), alone)


@pytest.mark.slow
def test_predict_and_check_dataset_read_gifs_of_a_folder_and_say_how_many_have_several_frames(
    write, tmp_path
):
    write("a.gif")
    write("a.tif")
    FRAMES[0].save(tmp_path / "b.gif")
    run = CliRunner()
    done = run.invoke(main, ["predict", str(tmp_path), "--adapter", "toy"])
    assert done.exit_code == 0, done.output
    assert "2 images have several frames or pages" in " ".join(done.stderr.split())
    assert "b.gif" in done.stdout
    done = run.invoke(main, ["check-dataset", str(tmp_path), "--json"])
    assert '"check": "several frames"' in done.stdout
    assert '"count": 2' in done.stdout
