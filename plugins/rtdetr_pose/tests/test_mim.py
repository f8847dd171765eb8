from __future__ import annotations

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # importing transformers takes seconds

from anydet.errors import OptionError, TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.masking import hidden_cells, masked_feature_loss
from anydet.types import AdapterSettings
from anydet_rtdetr_pose.architecture import Mim, read_architecture

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
NORMS = (torch.nn.BatchNorm2d, torch.nn.LayerNorm, torch.nn.GroupNorm)
LEVELS = ((8, 12), (4, 6), (2, 3))
"""Rows and columns of P3, P4 and P5 of these images."""
MIM = Mim()


@pytest.fixture(scope="module")
def model(tiny_architecture):
    """Makes a model."""
    from anydet_rtdetr_pose.model import PoseDetector

    def make(mim=MIM, seed=0):
        torch.manual_seed(seed)
        return PoseDetector(tiny_architecture(mim=mim))

    return make


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def train(tiny_run):
    """A run that has ended, and its adapter."""
    from anydet_rtdetr_pose.adapter import RTDETRPose

    def train(folder, options=None, **keys):
        run = tiny_run(folder, options={"enable_mim": True} | (options or {}), **({"epochs": None} | keys))
        adapter = RTDETRPose(AdapterSettings(batch_size=2))
        adapter.train(run)
        return adapter, run

    return train


def test_predictions_are_the_same_bits_with_and_without_the_branch(model):
    with_it, without = model().eval()(IMAGES), model(mim=None).eval()(IMAGES)
    assert torch.equal(with_it.logits, without.logits)
    assert torch.equal(with_it.boxes, without.boxes)
    assert all(torch.equal(with_it.heads[name], without.heads[name]) for name in without.heads)


@pytest.mark.parametrize("patch_px", [32, 64])
def test_cells_are_hidden_where_their_pixels_are_on_every_level(patch_px, model):
    branch = model(Mim(patch_px=patch_px)).mim
    patches = branch.draw(IMAGES, seeded())
    changed = (branch.hide(IMAGES, patches) != IMAGES).any(dim=1)
    assert patches.any()
    assert not patches.all()
    for rows, columns in LEVELS:
        stride = 64 // rows
        cells = hidden_cells(patches, patch_px, (64, 96), (rows, columns))
        assert torch.equal(cells.repeat_interleave(stride, 1).repeat_interleave(stride, 2), changed)


def test_the_fraction_of_hidden_patches_is_mask_prob(model):
    drawn = model(Mim(mask_prob=0.3)).mim.draw(torch.zeros(64, 3, 256, 256), seeded())
    assert drawn.float().mean().item() == pytest.approx(0.3, abs=0.02)  # 4096 patches: 3 standard errors


def test_a_batch_with_nothing_hidden_costs_nothing_and_keeps_all_in_the_graph(model):
    trainee = model(Mim(mask_prob=0.0)).train()
    loss = trainee.mim_loss(IMAGES)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in trainee.mim.decoder.parameters())
    assert trainee.mim.mask_value.grad is not None


@pytest.mark.parametrize("teacher", ["ema", "trained"])
def test_constant_images_have_a_finite_loss_and_gradient(teacher, model):
    trainee = model(Mim(teacher=teacher)).train()
    loss = trainee.mim_loss(torch.full_like(IMAGES, 0.5), generator=seeded())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in trainee.parameters() if p.grad is not None)


@pytest.mark.parametrize("teacher", ["ema", "trained"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_norms_of_backbone_and_encoder_learn_from_images_alone(teacher, mode, model):
    trainee = model(Mim(teacher=teacher))
    getattr(trainee, mode)()
    trainee.mim_loss(IMAGES, generator=seeded()).backward()
    parts = [trainee.backbone, trainee.detector.model.encoder_input_proj, trainee.detector.model.encoder]
    norms = [module for part in parts for module in part.modules() if isinstance(module, NORMS)]
    assert len(norms) > 10
    assert all(norm.weight.grad is not None and norm.weight.grad.any() for norm in norms)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_loss_changes_no_buffer_and_is_repeatable(mode, model):
    trainee = model()
    getattr(trainee, mode)()
    before = {name: buffer.clone() for name, buffer in trainee.named_buffers()}
    first, second = (trainee.mim_loss(IMAGES, generator=seeded()) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, trainee.mim_loss(IMAGES, generator=seeded(2)))
    assert all(torch.equal(before[name], buffer) for name, buffer in trainee.named_buffers())
    trainee.train()(IMAGES)
    changed = [n for n, buffer in trainee.named_buffers() if not torch.equal(before[n], buffer)]
    assert changed  # a forward pass in training mode still collects statistics
    assert not any(name.startswith("mim.") for name in changed)


def test_the_model_as_its_own_teacher_gets_no_gradient_through_its_targets(model):
    trainee = model(Mim(teacher="trained")).train()
    own = trainee.mim_loss(IMAGES, generator=seeded())
    own.backward()
    reference = model(Mim(teacher="trained")).train()
    with torch.no_grad():
        targets = reference.pyramid(IMAGES)
    patches = reference.mim.draw(IMAGES, seeded())
    seen = reference.pyramid(reference.mim.hide(IMAGES, patches))
    states = reference.detector.model.encoder(seen).last_hidden_state
    loss = reference.mim.loss(IMAGES, patches, states, targets)
    loss.backward()
    assert torch.equal(own, loss)
    pairs = list(zip(trainee.parameters(), reference.parameters(), strict=True))
    assert any(p.grad is not None and p.grad.any() for p, _ in pairs)
    assert all(p.grad is None or torch.equal(p.grad, q.grad) for p, q in pairs)


def test_the_teacher_follows_by_its_decay_and_has_no_gradient(model):
    trainee = model(Mim(teacher_decay=0.9)).train()
    teacher = dict(trainee.mim.teacher.pyramid.named_parameters())
    live = dict(trainee.pyramid.named_parameters())
    assert teacher.keys() == live.keys()
    assert all(torch.equal(teacher[name], live[name]) for name in live)
    first = {name: p.detach().clone() for name, p in teacher.items()}
    with torch.no_grad():
        for parameter in live.values():
            parameter.add_(torch.randn(parameter.shape, generator=seeded()))
    trainee(IMAGES)  # statistics of norms move as well
    trainee.update_teacher()
    for name, parameter in teacher.items():
        assert torch.allclose(parameter, 0.9 * first[name] + 0.1 * live[name], atol=1e-6)
    buffers = dict(trainee.pyramid.named_buffers())
    assert all(torch.equal(b, buffers[n]) for n, b in trainee.mim.teacher.pyramid.named_buffers())
    trainee.mim_loss(IMAGES).backward()
    assert all(p.grad is None and not p.requires_grad for p in teacher.values())
    assert not trainee.mim.teacher.pyramid.backbone.training


@pytest.mark.parametrize("teacher", ["ema", "trained"])
def test_the_loss_falls_when_two_images_are_learned(teacher, model):
    trainee = model(Mim(teacher=teacher)).train()
    optimizer = torch.optim.AdamW([p for p in trainee.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(30):
        loss = trainee.mim_loss(IMAGES, generator=seeded())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trainee.update_teacher()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_model_without_the_branch_is_an_error_with_a_fix(model):
    with pytest.raises(OptionError, match="masked image modeling") as caught:
        model(mim=None).mim_loss(IMAGES)
    assert "--enable-mim" in caught.value.fix


def test_descriptions_from_before_the_branch_are_read(tiny_architecture):
    plain = tiny_architecture().description()
    del plain["mim"]
    assert read_architecture(plain, source="old") == tiny_architecture()
    chosen = tiny_architecture(mim=Mim(patch_px=64, teacher="trained"))
    assert read_architecture(chosen.description(), source="new") == chosen
    with pytest.raises(TrainingError, match=r"mim\.patch_px"):
        read_architecture({**plain, "mim": {"patch_px": 48}}, source="wrong")


def test_every_parameter_that_learns_has_a_gradient_after_a_training_step(tmp_path, tiny_run):
    from anydet.training.batches.samples import sample_of
    from anydet_rtdetr_pose.adapter import RTDETRPose

    run = tiny_run(tmp_path, options={"enable_mim": True, "loss_mim": 0.5})
    task = RTDETRPose(AdapterSettings()).training_task(run)
    task.model.train()
    batch = task.collate([task.item(sample_of(run.dataset[index], task.label_kinds)) for index in (0, 1)])
    output = task.step(batch)
    output.loss.backward()
    assert output.losses["mim"] > 0
    assert all(p.grad is not None for p in task.model.parameters() if p.requires_grad)
    task.model.eval()
    assert "mim" not in task.step(batch).losses  # validation judges what is predicted


@pytest.mark.parametrize("teacher", ["ema", "trained"])
def test_a_run_with_mim_that_goes_on_ends_where_one_in_a_single_piece_does(tmp_path, teacher, train):
    options = {"mim_teacher": teacher}
    _, whole = train(tmp_path / "whole", options, max_steps=4)
    train(tmp_path / "parts", options, max_steps=2)
    _, part = train(tmp_path / "parts", options, max_steps=4, resume=True)
    first, second = load_checkpoint(whole.paths.last).model, load_checkpoint(part.paths.last).model
    assert any(key.startswith("mim.teacher.") for key in first) == (teacher == "ema")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_teacher_moves_once_a_step_and_comes_back_from_a_checkpoint(tmp_path, train):
    from anydet_rtdetr_pose.adapter import RTDETRPose

    adapter, run = train(tmp_path / "a", {"mim_teacher_decay": 0.0}, max_steps=1)
    live = adapter.get_model()
    pairs = zip(live.mim.teacher.pyramid.parameters(), live.pyramid.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)  # with a decay of 0 it is what the step left
    loaded = RTDETRPose(AdapterSettings(checkpoint=str(run.paths.last))).get_model()
    assert torch.equal(
        loaded.mim_loss(IMAGES, generator=seeded()), live.eval().mim_loss(IMAGES, generator=seeded())
    )


def test_the_branch_rests_while_a_head_learns_alone(tmp_path, train):
    states = {}
    for steps in (1, 2):
        _, run = train(tmp_path / str(steps), {"stage_off_steps": 2}, max_steps=steps)
        states[steps] = load_checkpoint(run.paths.last).model
    changed = [name for name in states[1] if not torch.equal(states[1][name], states[2][name])]
    assert changed
    assert all(name.startswith("heads.offsets") for name in changed)


def test_a_checkpoint_without_the_branch_starts_one_whose_teacher_is_what_was_read(trained, tmp_path):
    from anydet_rtdetr_pose.saved import read_saved

    saved = read_saved(trained.result.checkpoint)
    assert saved.architecture.mim is None
    from anydet_rtdetr_pose.model import PoseDetector

    torch.manual_seed(7)
    started = PoseDetector(msgspec.structs.replace(saved.architecture, mim=Mim()))
    saved.put_into(started)
    teacher = started.mim.teacher.pyramid.state_dict()
    live = started.pyramid.state_dict()
    assert all(torch.equal(teacher[key], live[key]) for key in live)
    key = "detector.model.encoder_input_proj.0.0.weight"
    assert torch.equal(started.state_dict()[key], saved.model[key])
    without = PoseDetector(saved.architecture)
    read_with = type(saved)(started.state_dict(), started.architecture, "with it")
    read_with.put_into(without)
    assert torch.equal(without.state_dict()[key], saved.model[key])


def test_an_adapter_has_the_branchs_loss_or_that_of_any_torch_model(trained, train, tmp_path):
    from anydet_rtdetr_pose.adapter import RTDETRPose

    with_it, _ = train(tmp_path, max_steps=1)
    own = with_it.self_supervised_loss(IMAGES, seeded())
    assert torch.equal(own, with_it.get_model().mim_loss(IMAGES, generator=seeded()))
    without = RTDETRPose(AdapterSettings(checkpoint=str(trained.result.checkpoint)))
    loss = without.self_supervised_loss(IMAGES, seeded())
    assert torch.equal(loss, masked_feature_loss(without.get_model(), IMAGES, seeded()))
