"""Corrupted data sets on disk: what they keep, and runs that are interrupted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from anydet.data.corruptions.corruption import Corruption
from anydet.data.corruptions.dataset import describe_corruption
from anydet.data.dataset.subset import FirstImages
from anydet.data.opening import open_dataset
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing import corrupted
from anydet.data.writing.class_masks import write_class_masks
from anydet.data.writing.coco import write_coco
from anydet.data.writing.corrupted import layout_of, write_corrupted
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError, ImageError, OptionError

SCENES = SyntheticDataset(5, seed=2, image_wh=(64, 48))
FOG, SHOT = Corruption("fog", 3), Corruption("shot_noise", 5, 4)


@pytest.fixture(params=["coco", "yolo", "class-masks", "images"])
def clean(request, tmp_path):
    """A data set of each layout."""
    root = tmp_path / "clean"
    if request.param == "class-masks":
        write_class_masks(SyntheticMasks(4, seed=1, image_wh=(64, 48)), root)
    elif request.param == "images":
        for number in range(3):
            (root / "images/val/a").mkdir(parents=True, exist_ok=True)
            pixels = np.full((20, 30 + number, 3), 90, np.uint8)
            Image.fromarray(pixels).save(root / f"images/val/a/{number}.jpg")
    else:
        (write_coco if request.param == "coco" else write_yolo)(SCENES, root)
    dataset = open_dataset(root)
    assert layout_of(dataset) == request.param
    return dataset


def test_keys_sizes_and_labels_stay_and_pixels_are_those_of_the_view(clean, tmp_path):
    done = write_corrupted(clean, tmp_path / "out", [FOG, SHOT], workers=2)
    assert [str(folder.relative_to(tmp_path)) for folder in done.folders] == ["out/fog/3", "out/shot_noise/5"]
    assert done.layout == layout_of(clean)
    for corruption, folder in zip([FOG, SHOT], done.folders, strict=True):
        written = open_dataset(folder)
        view = open_dataset(f"corruption:{corruption}:{clean.root}")
        assert written.keys == clean.keys
        assert written.classes == clean.classes
        for before, after in zip(view, written, strict=True):
            np.testing.assert_array_equal(after.image(), before.image())
            assert after.size_wh == before.size_wh
            assert (after.labels is None) == (before.labels is None)
            if before.labels is not None:
                np.testing.assert_allclose(after.labels.boxes_xywh_px, before.labels.boxes_xywh_px, atol=1e-6)
                np.testing.assert_array_equal(after.labels.class_ids, before.labels.class_ids)
            if before.class_mask is not None:
                np.testing.assert_array_equal(after.class_map(), before.class_map())
                assert after.extra == before.extra


@pytest.mark.parametrize("inside", ["", "c", "images/c"])
def test_nothing_is_written_into_the_data_set_itself(inside, clean):
    before = sorted(clean.root.rglob("*"))
    with pytest.raises(OptionError, match="its images would become images of that"):
        write_corrupted(clean, clean.root / inside, [FOG])
    assert sorted(clean.root.rglob("*")) == before


def test_the_folder_says_what_was_done_to_it(clean, tmp_path):
    write_corrupted(clean, tmp_path / "out", [FOG, SHOT])
    written = open_dataset(tmp_path / "out/shot_noise/5")
    assert describe_corruption(written) == {
        "name": "shot_noise",
        "severity": 5,
        "seed": 4,
        "clean": clean.fingerprint(),
    }
    assert "shot_noise at severity 5" in written.note
    prints = {d.fingerprint() for d in (clean, written, open_dataset(tmp_path / "out/fog/3"))}
    assert len(prints) == 3
    with pytest.raises(DatasetError, match="are corrupted already, by shot_noise at severity 5"):
        write_corrupted(written, tmp_path / "twice", [FOG])


def test_a_coco_file_is_copied_byte_for_byte(tmp_path):
    write_coco(SCENES, tmp_path / "clean")
    file = tmp_path / "clean/annotations/instances_val.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({"info": {"year": 2017}, **document}))
    write_corrupted(open_dataset(tmp_path / "clean"), tmp_path / "out", [FOG])
    assert (tmp_path / "out/fog/3/annotations/instances_val.json").read_bytes() == file.read_bytes()


def test_a_part_of_a_data_set_is_written_with_its_labels_alone(tmp_path):
    write_coco(SCENES, tmp_path / "clean")
    first = FirstImages(open_dataset(tmp_path / "clean"), 2)
    write_corrupted(first, tmp_path / "out", [FOG])
    written = open_dataset(tmp_path / "out/fog/3")
    assert written.keys == first.keys
    assert len(written.ground_truth()) == len(first.ground_truth())
    assert layout_of(first) == "coco"


def test_another_layout_than_the_data_set_s_can_be_written(tmp_path):
    write_coco(SCENES, tmp_path / "clean")
    clean = open_dataset(tmp_path / "clean")
    write_corrupted(clean, tmp_path / "out", [FOG], "yolo")
    assert yaml.safe_load((tmp_path / "out/fog/3/data.yaml").read_text())["val"] == "images/val"
    assert open_dataset(tmp_path / "out/fog/3").keys == clean.keys


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_workers_changes_no_pixel(tmp_path, workers):
    write_corrupted(SCENES, tmp_path / "out", [SHOT], workers=workers)
    for record in open_dataset(tmp_path / "out/shot_noise/5"):
        clean = SCENES[SCENES.keys.index(record.key)].image()
        np.testing.assert_array_equal(record.image(), SHOT.apply(clean, record.key))


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run of two corruptions that ends in the second one's third image; gives the folder."""
    calls = []
    write = corrupted._write_image

    def stops(view, folder, position):
        calls.append(position)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return write(view, folder, position)

    with monkeypatch.context() as patch:
        patch.setattr(corrupted, "_write_image", stops)
        with pytest.raises(KeyboardInterrupt):
            write_corrupted(SCENES, tmp_path / "out", [FOG, SHOT])
    return tmp_path / "out"


def test_an_interrupted_run_goes_on_where_it_stopped(interrupted):
    assert (interrupted / "fog/3/annotations").is_dir()
    assert not (interrupted / "shot_noise/5").exists()
    kept = sorted((interrupted / "shot_noise/5.partial/images/val").iterdir())
    assert 2 <= len(kept) < 5  # another thread may have been at work on the next
    before = [file.stat().st_mtime_ns for file in kept]
    counts = []
    done = write_corrupted(SCENES, interrupted, [FOG, SHOT], resume=True, report=counts.append)
    assert done.resumed == 5 + len(kept)
    assert sum(counts) == 10
    files = sorted((interrupted / "shot_noise/5/images/val").iterdir())
    assert [file.stat().st_mtime_ns for file in files if file.name in {k.name for k in kept}] == before
    assert len(files) == 5
    assert not (interrupted / "shot_noise/5.partial").exists()
    assert write_corrupted(SCENES, interrupted, [FOG, SHOT], resume=True).resumed == 10


def test_what_is_there_is_never_overwritten_or_mixed(interrupted):
    with pytest.raises(OptionError, match=r"fog/3: is there already") as there:
        write_corrupted(SCENES, interrupted, [FOG])
    assert "--resume" in there.value.fix
    with pytest.raises(OptionError, match=r"5.partial: is left of an interrupted run"):
        write_corrupted(SCENES, interrupted, [SHOT])
    for other in (Corruption("shot_noise", 5, 9), Corruption("fog", 3, 1)):
        with pytest.raises(OptionError, match="is of another data set, seed, split or layout than this run"):
            write_corrupted(SCENES, interrupted, [other], resume=True)
    with pytest.raises(OptionError, match="is of another data set"):
        write_corrupted(SyntheticDataset(6, seed=2, image_wh=(64, 48)), interrupted, [SHOT], resume=True)


def test_an_unreadable_image_stops_the_run_and_keeps_what_is_done(tmp_path):
    write_coco(SCENES, tmp_path / "clean")
    clean = open_dataset(tmp_path / "clean")
    broken = tmp_path / "clean/images/val" / clean.keys[3]
    kept = broken.read_bytes()
    broken.write_bytes(b"no image")
    with pytest.raises(ImageError, match="cannot be decoded"):
        write_corrupted(clean, tmp_path / "out", [FOG])
    broken.write_bytes(kept)
    assert write_corrupted(clean, tmp_path / "out", [FOG], resume=True).resumed in {3, 4}


def test_a_fault_of_the_labels_is_found_before_the_images_and_leaves_nothing(tmp_path):
    write_yolo(SCENES, tmp_path / "clean")
    clean = open_dataset(tmp_path / "clean")
    label = next(file for file in (tmp_path / "clean/labels/val").iterdir() if file.stat().st_size)
    label.write_text("9999999 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DatasetError, match=label.name):
        write_corrupted(clean, tmp_path / "out", [FOG])
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": "fgo", "severity": 3, "seed": 0}', "\xff"])
def test_a_description_of_something_else_is_refused(tmp_path, content):
    write_coco(SCENES, tmp_path / "clean")
    (tmp_path / "clean/corruption.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"clean/corruption.json: "):
        open_dataset(tmp_path / "clean")
