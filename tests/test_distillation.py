"""Class logits of a teacher are learned by several processes as by one, whatever the model family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.distillation import assert_same_training
from core.tests.training.processes import torchrun
from tests.distilling import build_teacher, distill

from anydet.training.checkpoints.checkpoint import load_checkpoint

SCRIPT = Path(__file__).with_name("distilling.py").read_text()


def losses(folder: Path) -> list[float]:
    lines = (folder / "train_metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss_distillation"] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["fasterrcnn_multitask", "rtdetr_pose"])
def test_two_processes_distill_as_one_with_twice_the_batch_and_resume(tmp_path, adapter):
    two, one, part = (tmp_path / name for name in ("two", "one", "part"))
    done = torchrun(SCRIPT, tmp_path, str(two), adapter, "2", "2")
    assert done.returncode == 0, done.stderr
    distill(one, adapter, batch_size=4, epochs=2)
    assert_same_training([two / "rank0.pt", two / "rank1.pt", one / "rank0.pt"])
    assert len(losses(one)) == 4
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert min(losses(one)) > 1e-3, "there is something to learn"
    teacher = build_teacher(adapter, tmp_path).model.state_dict()
    for rank in (0, 1):
        kept = torch.load(two / f"rank{rank}.pt", weights_only=True)["teacher"]
        assert kept.keys() == teacher.keys()
        assert all(torch.equal(kept[name], teacher[name]) for name in teacher)
    distill(part, adapter, batch_size=4, epochs=1)
    distill(part, adapter, batch_size=4, epochs=2, resume=True)
    whole, resumed = (load_checkpoint(folder / "checkpoint.pt") for folder in (one, part))
    assert all(torch.equal(whole.model[name], resumed.model[name]) for name in whole.model)
