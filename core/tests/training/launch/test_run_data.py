"""Which splits a run trains on and validates with."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("flags", "train", "val"),
    [
        ({}, "train", "val"),
        ({"split": "val"}, "val", None),
        ({"split": "test"}, "test", "val"),
        ({"val_split": "test"}, "train", "test"),
        ({"split": "val", "val_split": "val"}, "val", "val"),
        ({"val_dataset": "SCENES"}, "train", "val"),
        ({"val_dataset": "SCENES", "val_split": "test"}, "train", "test"),
    ],
)
def test_validation_takes_another_split(recorder_plugins, split_scenes, flags, train, val, ready):
    flags = {key: str(split_scenes) if value == "SCENES" else value for key, value in flags.items()}
    run = ready(recorder_plugins, split_scenes, run_id="a", **flags).run
    assert run.dataset.split == train
    assert (run.validation and run.validation.split) == val


def test_only_the_first_training_images_are_taken(recorder_plugins, split_scenes, ready):
    run = ready(recorder_plugins, split_scenes, run_id="a", max_images="3").run
    assert (len(run.dataset), len(run.validation)) == (3, 2)
