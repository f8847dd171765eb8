"""Class logits of a training task: those of its step, and those of another model's queries."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from anydet.errors import TrainingError
from anydet.training.batches.samples import sample_of
from anydet.types import AdapterSettings
from anydet_rtdetr_pose.adapter import RTDETRPose


@pytest.fixture(scope="module")
def make_task(tmp_path_factory, tiny_run):
    def make(seed=0, **options):
        run = tiny_run(tmp_path_factory.mktemp("task"), options=options)
        torch.manual_seed(seed)
        task = RTDETRPose(AdapterSettings()).training_task(run)
        task.model.eval()
        return task, run

    return make


@pytest.fixture(scope="module")
def task(make_task):
    return make_task()[0]


@pytest.fixture(scope="module")
def batch(make_task):
    task, run = make_task()
    return task.collate([task.item(sample_of(run.dataset[index], task.label_kinds)) for index in (0, 1)])


def test_a_step_gives_the_logits_of_queries_that_are_no_denoising_ones(make_task, batch):
    task, _ = make_task()
    task.model.train()
    found = task.step(batch).logits
    assert found.logits.shape == (2, 12, len(task.classes))
    assert found.queries.shape == (2, 12)
    assert all(len(set(row)) == 12 for row in found.queries.tolist())
    assert found.sizes_wh.tolist() == [[96, 64]] * 2
    assert found.logits.requires_grad


def test_the_same_model_has_the_same_logits_of_the_queries_of_its_step_in_any_order(task, batch):
    like = task.step(batch).logits
    found = task.logits(batch, like=like)
    torch.testing.assert_close(found.logits, like.logits)
    torch.testing.assert_close(found.boxes, like.boxes)
    torch.testing.assert_close(task.logits(batch).logits, like.logits)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    turned = task.logits(batch, like=replace(like, queries=like.queries[:, order]))
    torch.testing.assert_close(turned.logits, like.logits[:, order])


def test_another_model_makes_its_queries_of_the_same_positions(make_task, task, batch):
    teacher, _ = make_task(seed=1, num_queries=20)
    like = task.step(batch).logits
    seen = []
    decoder = teacher.model.detector.model.decoder
    hook = decoder.register_forward_pre_hook(
        lambda _module, _args, given: seen.append(given["inputs_embeds"]), with_kwargs=True
    )
    memories = []
    memory = teacher.model.detector.model.enc_output.register_forward_hook(
        lambda _module, _args, found: memories.append(found)
    )
    found = teacher.logits(batch, like=like)
    hook.remove()
    memory.remove()
    assert torch.equal(found.queries, like.queries)
    assert found.logits.shape == like.logits.shape
    rows = torch.arange(2)[:, None]
    assert torch.equal(seen[0], memories[0][rows, like.queries])
    own = teacher.logits(batch)
    assert own.logits.shape[1] == 20, "the model chooses as before"
    assert not torch.equal(own.queries[:, :12], like.queries)


def test_logits_without_queries_are_refused(task, batch):
    like = replace(task.logits(batch), queries=None)
    with pytest.raises(TrainingError, match="have no queries"):
        task.logits(batch, like=like)
