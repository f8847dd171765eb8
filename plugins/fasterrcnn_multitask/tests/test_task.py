"""Class logits of a training task: those of its step, and those of another model's regions."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cross_entropy

from anydet.errors import TrainingError
from anydet.training.batches.samples import sample_of
from anydet.types import AdapterSettings
from anydet_fasterrcnn_multitask.adapter import FasterRCNNMultiTask


@pytest.fixture(scope="module")
def make_task(tmp_path_factory, tiny_run):
    def make(**options):
        run = tiny_run(tmp_path_factory.mktemp("task"), options=options)
        torch.manual_seed(0)
        return FasterRCNNMultiTask(AdapterSettings()).training_task(run), run

    return make


@pytest.fixture(scope="module")
def task(make_task):
    return make_task()[0]


@pytest.fixture(scope="module")
def batch(make_task):
    task, run = make_task()
    return task.collate([task.item(sample_of(run.dataset[index])) for index in (0, 1)])


@pytest.mark.slow
def test_a_step_gives_the_logits_that_its_class_loss_is_made_of(task, batch, monkeypatch):
    heads, labels = task.model.roi_heads, []

    def sampled(*given):
        found = type(heads).select_training_samples(heads, *given)
        labels.extend(found[2])
        return found

    monkeypatch.setattr(heads, "select_training_samples", sampled)
    task.model.train()
    output = task.step(batch)
    logits = output.logits
    assert logits.valid.sum(1).tolist() == [len(one) for one in labels]
    assert logits.boxes.shape == (*logits.valid.shape, 4)
    loss = cross_entropy(logits.logits[logits.valid], torch.cat(labels))
    torch.testing.assert_close(loss, output.losses["classifier"])


@pytest.mark.slow
def test_the_same_model_has_the_same_logits_of_the_regions_of_its_step(task, batch):
    task.model.train()
    like = task.step(batch).logits
    found = task.logits(batch, like=like)
    assert torch.equal(found.valid, like.valid)
    torch.testing.assert_close(found.boxes[like.valid], like.boxes[like.valid])
    torch.testing.assert_close(found.logits[like.valid], like.logits[like.valid], rtol=1e-4, atol=1e-5)
    assert found.logits.requires_grad


@pytest.mark.slow
def test_a_teacher_with_inputs_of_another_size_looks_at_the_same_regions(make_task, task, batch):
    teacher, _ = make_task(min_size=128, max_size=256)
    like = task.step(batch).logits
    found = teacher.logits(batch, like=like)
    assert found.logits.shape == like.logits.shape
    assert (found.sizes_wh > 1.5 * like.sizes_wh).all()
    inside = found.boxes / found.sizes_wh.repeat(1, 2)[:, None]
    expected = like.boxes / like.sizes_wh.repeat(1, 2)[:, None]
    torch.testing.assert_close(inside[like.valid], expected[like.valid])


def test_without_others_the_regions_are_those_that_the_first_stage_proposes_in_prediction(task, batch):
    task.model.eval()
    found = task.logits(batch)
    counts = found.valid.sum(1)
    assert counts.max() <= task.model.architecture.proposals
    assert found.logits.shape[1] == counts.max()
    assert torch.equal(found.logits, task.logits(batch).logits)
    assert (found.boxes.amax(1) <= found.sizes_wh.repeat(1, 2)).all()


def test_logits_without_boxes_are_refused(task, batch):
    like = replace(task.logits(batch), boxes=None)
    with pytest.raises(TrainingError, match="have no boxes"):
        task.logits(batch, like=like)
