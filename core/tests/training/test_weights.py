"""Weights pass through one place, which may merge layers that training put into the model."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import Grid, GridAdapter, GridTask, tiny_run

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook
from anydet.training.weights import ModelWeights
from anydet.types import AdapterSettings

CLASSES = 6
HEAD, CHANGE = "head.weight", "change.weight"


class Adapted(Grid):
    """A grid whose head is frozen, and a trained change of it."""

    def __init__(self, classes):
        super().__init__(classes)
        self.change = torch.nn.Conv2d(8, classes + 4, 1, bias=False)
        torch.nn.init.zeros_(self.change.weight)
        self.head.requires_grad_(False)

    def forward(self, images):
        features = self.backbone(images)
        found = (self.head(features) + self.change(features)).flatten(2).transpose(1, 2)
        return found[..., : self.classes], found[..., self.classes :].sigmoid()


class Merged(ModelWeights):
    """What predicts has the change in its head, and so the names of a plain grid."""

    def predicting_state(self, model):
        state = dict(model.state_dict())
        return state | {HEAD: state[HEAD] + state.pop(CHANGE)}

    def load_predicting_state(self, model, state, *, source):
        super().load_predicting_state(model, {**state, CHANGE: torch.zeros_like(state[HEAD])}, source=source)


class AdaptedTask(GridTask):
    """Trains the change."""

    weights = Merged()

    def __init__(self, classes):
        super().__init__(classes, {})
        self.model = Adapted(len(classes))


def build(run):
    return AdaptedTask(run.dataset.classes)


@pytest.mark.slow
@pytest.mark.parametrize("average", [False, True])
def test_a_checkpoint_predicts_as_the_model_with_its_added_layer_does(tmp_path, average):
    run = tiny_run(tmp_path, images=8, epochs=1, use_ema=average, ema_eval=average)
    kept = {}

    class Keep(TrainingHook):
        def after_train(self, loop):
            kept["out"] = [out.clone() for out in loop.model(images)]

    images = torch.rand(2, 3, 32, 32)
    train(build, run, [Keep()])
    saved = load_checkpoint(run.paths.best)
    assert saved.model.keys() == Grid(CLASSES).state_dict().keys()
    last = load_checkpoint(run.paths.last).training
    assert last["model"][CHANGE].any()
    plain = GridAdapter(AdapterSettings(checkpoint=str(run.paths.best))).get_model()
    if average:
        twin = Adapted(CLASSES)
        twin.load_state_dict({k.removeprefix("module."): v for k, v in last["ema"].items() if "." in k[7:]})
        kept["out"] = twin(images)
    for ours, theirs in zip(plain(images), kept["out"], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_the_best_weights_are_put_back_into_the_trained_model(tmp_path):
    run = tiny_run(tmp_path, images=8, epochs=2, restore_best=True)
    tasks = []

    def kept(run):
        tasks.append(build(run))
        return tasks[-1]

    train(kept, run)
    plain, images = Grid(CLASSES), torch.rand(2, 3, 32, 32)
    plain.load_state_dict(load_checkpoint(run.paths.best).model)
    assert not tasks[0].model.change.weight.any()
    for ours, theirs in zip(tasks[0].model(images), plain(images), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_a_run_whose_weights_are_merged_resumes_with_the_same_bits(tmp_path, same_weights):
    keys = {"images": 8, "use_ema": True}
    train(build, tiny_run(tmp_path / "whole", epochs=2, **keys))
    train(build, tiny_run(tmp_path / "part", epochs=1, **keys))
    train(build, tiny_run(tmp_path / "part", epochs=2, resume=True, **keys))
    whole, part = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "part"))
    assert same_weights(whole.model, part.model)
    for state in ("model", "ema"):
        assert same_weights(whole.training[state], part.training[state])


@pytest.mark.slow
def test_a_run_that_gives_up_has_the_weights_of_its_last_checkpoint(tmp_path):
    models = []

    class Break(TrainingHook):
        def before_step(self, loop):
            models[:] = [loop.model]
            if loop.progress.step == 3:
                loop.model.change.weight.data[0] = float("nan")

    with pytest.raises(TrainingError, match="the model has its weights of step 2 again"):
        train(build, tiny_run(tmp_path, images=8, epochs=2, val_every=0), [Break()])
    state = load_checkpoint(tmp_path / "checkpoint.pt").model
    assert torch.equal(models[0].head.weight, state[HEAD])
    assert not models[0].change.weight.any()
