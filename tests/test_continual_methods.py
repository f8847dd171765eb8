"""Methods of continual learning in each adapter that trains: a second task, with LoRA, with every key."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

from tests.first_weights import Renamed
from tests.test_lora import DATA, KEYS, PLUGINS

from anydet.errors import OptionError
from anydet.training.batches.samples import sample_of
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.continual.distillation import SelfDistillation
from anydet.training.continual.handover import read_handover
from anydet.training.launch.preparation import prepare
from anydet.training.launch.start import launch
from anydet.training.task import StepOutput

ALL = {"derpp": True, "derpp_size": 2, "ewc": True, "si": True}
OFFERED = {
    "rtdetr_pose": ["logits", "bbox", "log_z", "rot6d", "offsets", "features"],
    "adaptivestream": ["logits", "features"],
    "fasterrcnn_multitask": ["logits", "bbox", "states", "features"],
}


def train(name, folder, *, names=None, **keys):
    usual = {
        **{"adapter": name, "run_dir": str(folder), "max_steps": 3, "batch_size": 2, "num_workers": 0},
        **{"device": "cpu", "best_metric": "val_loss", "lr": 1e-3, "parity_policy": "off"},
    }
    data = {"dataset": DATA[name]("train"), "validation": DATA[name]("val")}
    if names is not None:
        data = {kind: Renamed(one, names(one.classes.names)) for kind, one in data.items()}
    ready = prepare({**usual, **KEYS[name], **keys}, plugins=PLUGINS, **data)
    launch(ready)
    return ready.run


def lines(run):
    return [json.loads(line) for line in run.paths.train_metrics.read_text().splitlines()]


@pytest.fixture(scope="module", params=sorted(KEYS))
def first(request, tmp_path_factory):
    """A first task of each adapter."""
    return train(request.param, tmp_path_factory.mktemp(request.param) / "first", **ALL)


def test_a_second_task_goes_on_with_what_the_first_left(first, tmp_path):
    keys = {"checkpoint": str(first.paths.root), "self_distill_from": str(first.paths.root)}
    run = train(first.adapter, tmp_path / "second", **ALL, **keys)
    before, after = (read_handover(str(one.paths.root), adapter=run.adapter) for one in (first, run))
    found = lines(run)
    assert found[-1]["train_loss_ewc"] > 0
    assert found[-1]["train_loss_si"] > 0
    assert found[-1]["train_loss_derpp_labels"] > 0
    assert found[-1]["train_loss_derpp_logits"] > 0
    assert found[-1]["train_loss_distill_logits"] > 0
    assert after.methods["derpp"]["seen"] == before.methods["derpp"]["seen"] + 6
    known = before.methods["ewc"]["weights"]
    assert sum(float(one.sum()) for one in known.values()) > 0
    for name, weight in after.methods["ewc"]["weights"].items():
        assert (weight >= known[name]).all(), name


@pytest.mark.parametrize(
    "more", [{}, {"lora_r": 2, "lora_target": "all_linear_conv1x1"}], ids=["full", "lora"]
)
def test_every_key_that_the_adapter_offers_is_taught(first, tmp_path, more):
    """Classes are in another order and one is new."""
    if more and find_spec("peft") is None:
        pytest.skip("peft is not installed")
    keys = {"checkpoint": str(first.paths.root), "self_distill_from": str(first.paths.root), "max_steps": 2}
    offered = OFFERED[first.adapter]
    run = train(
        first.adapter,
        tmp_path / "taught",
        names=lambda names: ("new", *reversed(names[1:])),
        **{"self_distill_keys": ",".join(offered), "derpp": True, **keys, **more},
    )
    for line in lines(run):
        assert all(math.isfinite(line[f"train_loss_distill_{key}"]) for key in offered)
    assert len(load_checkpoint(run.paths.best).classes) == len(first.classes)


def test_a_student_that_begins_as_its_teacher_has_nothing_to_learn(first, tmp_path):
    """Rows of the student are in the reversed order of classes, and its queries chosen by itself."""
    data = DATA[first.adapter]("train")
    renamed = Renamed(data, tuple(reversed(data.classes.names)))
    settings = msgspec.structs.replace(first.settings, self_distill_keys=OFFERED[first.adapter])
    run = replace(first, dataset=renamed, validation=None, settings=settings)
    chosen = PLUGINS.settings(first.adapter, checkpoint=str(first.paths.root))
    with PLUGINS.adapter(first.adapter, chosen) as adapter:
        task = adapter.training_task(run)
        method = SelfDistillation(task, adapter.open_teacher(str(first.paths.root)), settings)
        for model in (task.model, *method.frozen()):
            model.eval()
        batch = task.collate([task.item(sample_of(record, task.label_kinds)) for record in data])
        with torch.no_grad():
            found = method.losses(task, batch, StepOutput({}, torch.zeros(()), task.logits(batch)))
            for one in task.model.parameters():
                one.add_(0.01)
            moved = method.losses(task, batch, StepOutput({}, torch.zeros(()), task.logits(batch)))
    assert set(found) == {f"distill_{key}" for key in OFFERED[first.adapter]}
    for name, value in found.items():
        assert abs(float(value)) < 1e-4, name
        assert float(moved[name]) > 1e-4, name


def test_a_key_that_the_adapter_does_not_have_is_refused(first, tmp_path):
    missing = "bbox" if first.adapter == "adaptivestream" else "masks"
    keys = {"self_distill_from": str(first.paths.root), "self_distill_keys": missing}
    with pytest.raises(OptionError, match=f"has no '{missing}' to distill") as caught:
        train(first.adapter, tmp_path / "refused", **keys)
    assert caught.value.fix == f"choose among {', '.join(OFFERED[first.adapter])}"
    assert not (tmp_path / "refused").exists()
    with pytest.raises(OptionError, match="ewc holds weights near where they were, and LoRA"):
        train(first.adapter, tmp_path / "refused", ewc=True, lora_r=2, checkpoint=str(first.paths.root))
