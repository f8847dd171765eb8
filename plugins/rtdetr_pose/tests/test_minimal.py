from __future__ import annotations

import json
from importlib.resources import files

import pytest

from anydet.errors import OptionError
from anydet.plugins.options import load_schema

pytest.importorskip("torch")

from anydet.training.config import resolve
from anydet_rtdetr_pose.minimal import as_train_words

pytestmark = pytest.mark.slow

SCHEMA = load_schema("anydet_rtdetr_pose:training.schema.json")
SEED = {
    "num_queries": "10",
    "stage_off_steps": "1000",
    "stage_k_steps": "1000",
    "cost_z": "1.0",
    "cost_rot": "1.0",
    "cost_t": "1.0",
    "cost_z_start_step": "500",
    "cost_rot_start_step": "1000",
    "cost_t_start_step": "1500",
    "task_aligner": "uncertainty",
    "use_matcher": True,
    "use_ema": "true",
    "dataset_root": "data/coco128",
}


def test_the_old_name_of_a_config_is_the_packaged_one(tmp_path):
    words = as_train_words(
        ["--dataset-root", "d", "--config", "rtdetr_pose/configs/base.json", "--use-matcher"]
    )
    assert words == ["train", "base", "--adapter", "rtdetr_pose", "--dataset-root", "d", "--use-matcher"]
    own = tmp_path / "own.yaml"
    own.write_text("lr: 1.0")
    assert as_train_words([f"--config={own}"])[1] == str(own)


def test_the_flags_of_the_old_trainer_are_known():
    resolved = resolve(SEED, None, SCHEMA, adapter_name="rtdetr_pose")
    assert resolved.options["cost_t_start_step"] == 1500
    assert resolved.options["num_queries"] == 10
    assert resolved.settings.use_ema


def test_the_matcher_cannot_be_switched_off():
    with pytest.raises(OptionError, match="--use-matcher"):
        resolve({"use_matcher": False}, None, SCHEMA, adapter_name="rtdetr_pose")


@pytest.mark.parametrize("name", ["base", "n", "s", "m", "l", "x"])
def test_packaged_configs_are_what_the_adapter_takes(name):
    from anydet_rtdetr_pose.architecture import read_model

    resolved = resolve({}, name, SCHEMA, adapter_name="rtdetr_pose")
    model = read_model(resolved.options["model"])
    assert model.backbone.norm == "bn"


def test_the_config_base_is_the_default_but_for_the_norm_that_it_names():
    from anydet_rtdetr_pose.architecture import Model, read_model

    text = (files("anydet_rtdetr_pose") / "configs" / "base.json").read_text()
    values = json.loads(text)
    del values["model"]["backbone"]["norm"]
    model = read_model(values["model"])
    assert model.transformer == Model().transformer
    assert model.projector == Model().projector
    assert values["num_queries"] == SCHEMA["properties"]["num_queries"]["default"]
    assert values["image_size"] == SCHEMA["properties"]["image_size"]["default"]
