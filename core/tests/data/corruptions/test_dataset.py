"""Corrupted views of data sets: what stays, what changes, and how they are named."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from anydet.data.corruptions.corruption import Corruption
from anydet.data.corruptions.dataset import describe_corruption
from anydet.data.dataset.subset import FirstImages
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.errors import DatasetError, OptionError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes") / "clean"
    write_coco(SyntheticDataset(5, image_wh=(96, 80)), root)
    return root


def test_keys_sizes_and_labels_stay_and_pixels_do_not(scenes):
    clean, foggy = open_dataset(scenes), open_dataset(f"corruption:fog:3:{scenes}")
    assert foggy.keys == clean.keys
    assert foggy.classes == clean.classes
    assert foggy.source == clean.source
    assert len(foggy) == len(clean) == 5
    for before, after in zip(clean, foggy, strict=True):
        assert after.size_wh == before.size_wh
        assert after.extra == before.extra
        np.testing.assert_array_equal(after.labels.boxes_xywh_px, before.labels.boxes_xywh_px)
        np.testing.assert_array_equal(after.image(), Corruption("fog", 3).apply(before.image(), before.key))
    np.testing.assert_array_equal(
        foggy.ground_truth().labels.boxes_xywh_px, clean.ground_truth().labels.boxes_xywh_px
    )


def test_each_corruption_severity_and_seed_has_a_fingerprint(scenes):
    names = ("", "fog:3:", "fog:4:", "snow:3:", "fog:3:seed=1:")
    found = {open_dataset(f"corruption:{n}{scenes}" if n else scenes).fingerprint() for n in names}
    assert len(found) == len(names)
    assert open_dataset(f"corruption:fog:3:seed=0:{scenes}").fingerprint() in found


def test_the_root_opens_the_same_again(scenes):
    snowy = open_dataset(f"corruption:snow:2:seed=4:{scenes}")
    assert str(snowy.root) == f"corruption:snow:2:seed=4:{scenes}"
    again = open_dataset(snowy.root)
    assert again.fingerprint() == snowy.fingerprint()
    np.testing.assert_array_equal(again[0].image(), snowy[0].image())
    assert "snow at severity 2" in snowy.note


def test_pixels_are_the_same_in_any_order_and_in_another_process(scenes):
    noisy = open_dataset(f"corruption:shot_noise:3:{scenes}")
    forward = [record.image() for record in noisy]
    for position in reversed(range(len(noisy))):
        np.testing.assert_array_equal(noisy[position].image(), forward[position])
    copied = pickle.loads(pickle.dumps(noisy))
    np.testing.assert_array_equal(copied[2].image(), forward[2])
    assert copied.fingerprint() == noisy.fingerprint()


def test_the_corruption_is_known_of_views_too(scenes):
    clean = open_dataset(scenes)
    assert describe_corruption(clean) is None
    foggy = FirstImages(open_dataset(f"corruption:fog:3:seed=2:{scenes}"), 2)
    assert describe_corruption(foggy) == {
        "name": "fog",
        "severity": 3,
        "seed": 2,
        "clean": clean.fingerprint(),
    }


def test_no_file_holds_the_pixels_of_a_corrupted_record(scenes):
    assert open_dataset(f"corruption:fog:3:{scenes}")[0].path is None


def test_a_corrupted_data_set_is_not_corrupted_again(scenes):
    with pytest.raises(DatasetError, match="its images are corrupted already, by snow at severity 2"):
        open_dataset(f"corruption:fog:3:corruption:snow:2:{scenes}")


def test_unknown_corruptions_and_data_sets_are_refused(scenes):
    with pytest.raises(OptionError, match="did you mean 'frost'"):
        open_dataset(f"corruption:forst:3:{scenes}")
    with pytest.raises(DatasetError, match="nowhere: no such data set"):
        open_dataset("corruption:fog:3:nowhere")
    with pytest.raises(OptionError, match="names no data set"):
        open_dataset("corruption:fog:3:")
