from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # importing transformers takes seconds

from tests.first_weights import ORDERS, assert_classes_follow_their_names

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import AnydetError, OptionError, TrainingError
from anydet.plugins.manager import Plugins
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.types import AdapterSettings


def adapter(**settings):
    from anydet_rtdetr_pose.adapter import RTDETRPose

    return RTDETRPose(AdapterSettings(**{"batch_size": 2, "score_floor": 0.001, **settings}))


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_logs_every_loss_and_validates_boxes_and_poses(trained):
    step = lines(trained.run.paths.train_metrics)[-1]
    names = {"class", "box", "giou", "z", "rot", "off", "t", "k"}
    assert {f"train_loss_{name}" for name in names} <= set(step)
    assert {f"train_loss_{name}_dn" for name in names - {"k"}} <= set(step)
    validation = lines(trained.run.paths.val_metrics)[-1]
    assert "AP" in validation
    assert any("rot" in name.lower() for name in validation if "loss" not in name)


def test_a_trained_model_predicts_the_same_from_its_checkpoint(trained):
    records = list(trained.run.validation)
    live = list(trained.adapter.predict(records))
    loaded = list(adapter(checkpoint=str(trained.run.paths.root)).predict(records))
    for a, b in zip(live, loaded, strict=True):
        assert np.array_equal(a.boxes_xyxy_px, b.boxes_xyxy_px)
        assert np.array_equal(a.poses.translations_m, b.poses.translations_m)
        assert a.intrinsics is not None


def test_predictions_do_not_depend_on_the_batch(trained):
    records = list(trained.run.dataset)
    one = adapter(checkpoint=trained.result.checkpoint, batch_size=1).predict(records)
    all_at_once = adapter(checkpoint=trained.result.checkpoint, batch_size=4).predict(records)
    for a, b in zip(one, all_at_once, strict=True):
        assert np.allclose(a.scores, b.scores, atol=1e-4)


def test_a_run_that_goes_on_ends_where_one_in_a_single_piece_does(tmp_path, tiny_run):
    whole, parts = tiny_run(tmp_path / "whole", max_steps=4, epochs=None), tmp_path / "parts"
    adapter().train(whole)
    for steps, resume in ((2, False), (4, True)):
        part = tiny_run(parts, max_steps=steps, epochs=None, resume=resume)
        adapter().train(part)
    first, second = load_checkpoint(whole.paths.last), load_checkpoint(part.paths.last)
    assert all(torch.equal(first.model[key], second.model[key]) for key in first.model)


def test_stages_freeze_all_but_the_named_head(tmp_path, tensors_after):
    before = tensors_after(tmp_path / "a", 0)
    offsets = tensors_after(tmp_path / "b", 2, {"stage_off_steps": 2})
    cameras = tensors_after(tmp_path / "c", 3, {"stage_off_steps": 2, "stage_k_steps": 1})
    after = tensors_after(tmp_path / "d", 4, {"stage_off_steps": 2, "stage_k_steps": 1})
    assert all(name.startswith("heads.offsets") for name in changed(before, offsets))
    assert changed(before, offsets)
    assert {name.split(".")[0] for name in changed(offsets, cameras)} == {"camera_head"}
    assert {"detector", "heads"} <= {name.split(".")[0] for name in changed(cameras, after)}


@pytest.fixture
def tensors_after(tiny_run):
    """Weights and buffers after so many steps; of 0 steps, those of a new model."""
    from anydet.training.numerics.rng import seed_everything

    def tensors(folder, steps, options=None):
        options = {"camera": True, **(options or {})}
        run = tiny_run(folder, options=options, max_steps=steps or 1, epochs=None)
        trainee = adapter()
        if not steps:
            seed_everything(run.settings.seed)
            return {k: v.clone() for k, v in trainee.training_task(run).model.state_dict().items()}
        trainee.train(run)
        assert run.options["num_queries"] == trainee.get_model().architecture.num_queries
        return load_checkpoint(run.paths.last).model

    return tensors


def changed(first, second) -> list[str]:
    return [name for name in first if not torch.equal(first[name], second[name])]


def test_a_stage_without_its_head_is_refused(tmp_path, tiny_run):
    config = tiny_run(tmp_path, options={"stage_k_steps": 2, "camera": False})
    with pytest.raises(OptionError, match="stage_k_steps 2"):
        adapter().training_task(config)


def test_data_without_poses_trains_a_detector_without_pose_heads(tmp_path, tiny_run):
    plain = replace(tiny_run(tmp_path), dataset=SyntheticDataset(2, 0, (96, 64)), validation=None)
    detector = adapter()
    detector.train(plain)
    assert not detector.get_model().architecture.heads.pose
    assert next(detector.predict([plain.dataset[0]])).poses is None


def test_keypoints_and_uncertainty_are_learned_and_poses(tmp_path, tiny_run):
    from anydet.data.scenes.shapes import KEYPOINTS

    shapes = SyntheticDataset(2, 0, (96, 64))
    config = replace(tiny_run(tmp_path, options={"keypoints": True}), dataset=shapes, validation=shapes)
    pointer = adapter()
    pointer.train(config)
    assert "train_loss_keypoints" in lines(config.paths.train_metrics)[-1]
    assert next(pointer.predict([shapes[0]])).keypoints.shape[1] == len(KEYPOINTS)
    sure = tiny_run(tmp_path / "sure", options={"task_aligner": "uncertainty"}, max_steps=1)
    uncertain = adapter()
    uncertain.train(sure)
    poses = next(uncertain.predict([sure.dataset[0]])).poses
    assert np.isfinite(poses.log_sigma_z).all()
    assert np.isfinite(poses.log_sigma_rot).all()


def test_matching_costs_begin_at_their_step(tmp_path, tiny_run):
    task = adapter().training_task(tiny_run(tmp_path, options={"cost_rot": 2.0, "cost_rot_start_step": 5}))
    assert task.criterion.matcher.rotation.at(4) == 0
    assert task.criterion.matcher.rotation.at(5) == 2
    task.stages.begin(7)
    assert task.stages.steps_done == 7


def test_a_checkpoint_starts_a_model_of_other_classes(trained, tmp_path, tiny_run):
    config = tiny_run(tmp_path)
    shapes = replace(config, dataset=SyntheticDataset(2, 0, (96, 64)), validation=None)
    model = adapter(checkpoint=trained.result.checkpoint).training_task(shapes).model
    saved = load_checkpoint(trained.result.checkpoint).model
    key = "detector.model.encoder.lateral_convs.0.conv.weight"
    assert torch.equal(model.state_dict()[key], saved[key])
    assert len(model.architecture.classes) == len(shapes.dataset.classes)


@pytest.mark.parametrize("order", ORDERS)
def test_classes_of_a_checkpoint_follow_their_names(trained, tmp_path, tiny_run, order):
    second = adapter(checkpoint=trained.result.checkpoint)
    batch = torch.rand(1, 3, 64, 96)
    assert_classes_follow_their_names(trained.adapter, second, tiny_run(tmp_path), order, batch)


def test_the_model_says_where_all_rows_of_classes_are(tiny_architecture):
    from anydet_rtdetr_pose.model import PoseDetector

    small, large = (PoseDetector(tiny_architecture(classes=tuple("abcd"[:n]))) for n in (3, 4))
    differs = {k for k, v in small.state_dict().items() if v.shape != large.state_dict()[k].shape}
    assert differs == small.named_rows().keys()


def test_a_batch_without_objects_trains(tmp_path, tiny_run):
    task = adapter().training_task(tiny_run(tmp_path))
    sample = replace_labels(task, tiny_run(tmp_path).dataset[0])
    task.model.train()
    output = task.step(task.collate([task.item(sample)] * 2))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(p.grad is not None for p in task.model.parameters() if p.requires_grad)


def replace_labels(task, record):
    from anydet.training.batches.samples import sample_of
    from anydet.training.batches.transforms import take

    return take(sample_of(record, task.label_kinds), torch.zeros(0, dtype=torch.int64))


def test_without_a_checkpoint_weights_are_random_with_a_warning():
    names = ("ball", "cube", "cup")
    made = adapter(config="n", options={"image_size": [96, 64], "names": list(names), "num_queries": 12})
    assert "RANDOM" in made.notes.warnings[0]
    assert made.classes.names == names
    assert made.get_model().architecture.model.projector.d_model == 128


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"config": "huge"}, "no such config file"),
        ({"checkpoint": "/no/such.pt"}, "no such checkpoint"),
        ({"options": {"image_size": 100}}, "multiples of 32"),
        ({"options": {"image_size": 64}}, "num_queries 300"),
    ],
)
def test_mistakes_are_explained(settings, problem):
    with pytest.raises(AnydetError, match=problem):
        adapter(**settings)


def test_names_must_be_as_many_as_the_classes_of_a_checkpoint(trained):
    with pytest.raises(OptionError, match="2 names"):
        adapter(checkpoint=trained.result.checkpoint, options={"names": ["a", "b"]})


def test_a_checkpoint_of_another_adapter_is_refused(trained, tmp_path):
    content = torch.load(trained.result.checkpoint, weights_only=True)
    del content["digest"]  # which a changed content does not have
    torch.save({**content, "adapter": "toy"}, tmp_path / "toy.pt")
    with pytest.raises(TrainingError, match="'toy', not 'rtdetr_pose'"):
        adapter(checkpoint=str(tmp_path / "toy.pt"))


def test_the_adapter_is_found_by_its_name():
    spec = Plugins(only=["rtdetr_pose"]).spec("adapters", "rtdetr_pose")
    assert spec.capabilities == ("predict", "train", "ttt", "features", "self-supervised", "export-onnx")
