"""Runs with the methods: what they minimize, leave, take over, go on with, and refuse."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

from core.tests.training.continual.runs import ALL, Signal, continual_run, two_tasks
from core.tests.training.distillation import assert_same_training
from core.tests.training.grid import GridTask, tiny_run
from core.tests.training.processes import torchrun

from anydet.errors import InterruptedTraining, OptionError, TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint, load_tensors, save_tensors
from anydet.training.checkpoints.plain_data import digest
from anydet.training.continual.handover import read_handover
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a first task, with every method that leaves something."""
    folder = tmp_path_factory.mktemp("first")
    continual_run(folder, epochs=2, **ALL)
    return folder


def left(folder):
    return read_handover(str(folder), adapter="grid").methods


def lines(folder):
    text = (folder / "train_metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_first_task_leaves_what_each_method_needs(first):
    methods = left(first)
    weights = load_checkpoint(first).model
    assert set(methods) == {"derpp", "ewc", "si"}
    for state in (methods["ewc"], methods["si"]):
        assert set(state["weights"]) == set(weights)
        assert all((one >= 0).all() for one in state["weights"].values())
        assert any(one.any() for one in state["weights"].values())
        assert all(torch.equal(anchor, weights[name]) for name, anchor in state["anchors"].items())
    assert methods["derpp"]["seen"] == 24
    assert len(methods["derpp"]["kept"]) == 5


def test_penalties_are_zero_in_a_first_task_and_not_in_the_second(first, tmp_path):
    assert {line["train_loss_ewc"] for line in lines(first)} == {0.0}
    assert {line["train_loss_si"] for line in lines(first)} == {0.0}
    continual_run(tmp_path, seed=1, checkpoint=str(first), **ALL)
    second = lines(tmp_path)
    assert second[0]["train_loss_ewc"] == second[0]["train_loss_si"] == 0.0  # it begins at the anchors
    assert second[-1]["train_loss_ewc"] > 0
    assert second[-1]["train_loss_si"] > 0
    assert min(line["train_loss_derpp_logits"] for line in second) > 0
    methods = left(tmp_path)
    assert methods["derpp"]["seen"] == 48
    for name, before in left(first)["ewc"]["weights"].items():
        assert (methods["ewc"]["weights"][name] >= before).all()


@pytest.mark.parametrize("method", ["ewc", "si"])
def test_a_strong_penalty_holds_the_weights_that_the_first_task_needs(first, tmp_path, method):
    began = load_checkpoint(first).model
    weights = left(first)[method]["weights"]
    # The most important weight is pulled back by a fifth of its way in each step.
    strong = 20 / max(float(one.max()) for one in weights.values())
    moved = []
    for strength in (0.0, strong):
        key = "ewc_lambda" if method == "ewc" else "si_c"
        folder = tmp_path / f"{strength:g}"
        keys = {"optimizer": "sgd", "lr": 1e-2, "momentum": 0.0, "weight_decay": 0.0, "epochs": 4}
        continual_run(folder, seed=1, checkpoint=str(first), **{method: True, key: strength}, **keys)
        end = load_checkpoint(folder).model
        moved.append(sum(float((weights[n] * (end[n] - began[n]).square()).sum()) for n in weights))
    assert 0 < moved[1] < 0.7 * moved[0]


def test_classes_of_another_order_take_over_their_rows_and_new_ones_have_none(first, tmp_path):
    names = load_checkpoint(first).classes
    others = (*reversed(names[1:]), "new")

    class Look(TrainingHook):
        def before_train(self, loop):
            method = next(one for one in self.hooks if one.name == "ewc")
            self.found = method.importance.weights["head.weight"].clone()

    look = Look()
    from anydet.training import engine

    build = engine.build_components

    def building(run, task, processes, hooks):
        look.hooks = hooks
        return build(run, task, processes, hooks)

    engine.build_components = building
    try:
        continual_run(tmp_path, look, names=others, checkpoint=str(first), epochs=1, **ALL)
    finally:
        engine.build_components = build
    before = left(first)["ewc"]["weights"]["head.weight"]
    for place, name in enumerate(others[:-1]):
        assert torch.equal(look.found[place], before[names.index(name)])
    assert not look.found[len(others) - 1].any()
    assert torch.equal(look.found[-4:], before[-4:])


MIXED = {"batch_size": 2, "amp": "bf16", "save_every": 1}
AVERAGED = {**MIXED, "use_ema": True, "ema_eval": True, "gradient_accumulation_steps": 2}


def assert_same_run(whole, part, same_weights):
    """Weights, states of all methods, and what they leave have the same bits."""
    first, second = (load_checkpoint(folder / "checkpoint.pt") for folder in (whole, part))
    assert same_weights(first.model, second.model)
    assert digest(first.training["hooks"]) == digest(second.training["hooks"])
    assert digest(first.training["ema"]) == digest(second.training["ema"])
    first, second = (load_tensors(folder / "continual.pt", handover=True) for folder in (whole, part))
    assert first["digest"] == second["digest"]


def test_a_run_that_a_signal_stopped_goes_on_with_the_same_bits(first, tmp_path, same_weights):
    whole, part = tmp_path / "whole", tmp_path / "part"
    two_tasks(whole, first, **MIXED)
    with pytest.raises(InterruptedTraining):
        two_tasks(part, first, Signal(signal.SIGTERM, 3), **MIXED)
    assert not (part / "continual.pt").exists()
    # This time while the Fisher information is computed.
    with pytest.raises(InterruptedTraining, match="after step 8"):
        two_tasks(part, first, Signal(signal.SIGTERM, None), resume=True, **MIXED)
    assert not (part / "continual.pt").exists()
    two_tasks(part, first, resume=True, **MIXED)
    assert_same_run(whole, part, same_weights)


KILLED = """
import signal, sys
from pathlib import Path
from core.tests.training.continual.runs import Signal, two_tasks
from core.tests.training.continual.test_methods import AVERAGED
two_tasks(Path(sys.argv[1]), Path(sys.argv[2]), Signal(signal.SIGKILL, 3), **AVERAGED)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_that_was_killed_goes_on_with_the_same_bits(first, tmp_path, same_weights):
    whole, part = tmp_path / "whole", tmp_path / "part"
    two_tasks(whole, first, **AVERAGED)
    words = [sys.executable, "-c", KILLED, str(part), str(first)]
    done = subprocess.run(words, check=False, cwd=Path(__file__).parents[4], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    two_tasks(part, first, resume=True, **AVERAGED)
    assert_same_run(whole, part, same_weights)


SCRIPT = """
import sys
from pathlib import Path
from core.tests.training.continual.runs import two_tasks
two_tasks(Path(sys.argv[1]), Path(sys.argv[2]), batch_size=2)
"""


@pytest.mark.soak
def test_two_processes_learn_as_one_with_twice_the_batch(first, tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    done = torchrun(SCRIPT, tmp_path, str(two), str(first))
    assert done.returncode == 0, done.stderr
    two_tasks(one, first, batch_size=4)
    assert_same_training([two / "rank0.pt", two / "rank1.pt", one / "rank0.pt"])
    ours, theirs = left(two), left(one)
    for method in ("ewc", "si"):
        for name, weight in ours[method]["weights"].items():
            torch.testing.assert_close(weight, theirs[method]["weights"][name], rtol=1e-2, atol=1e-2)
    kept = [[one["sample"]["key"] for one in part["derpp"]["kept"]] for part in (ours, theirs)]
    assert kept[0] == kept[1]


def test_distillation_from_a_teacher_that_is_the_model_itself_begins_at_zero(first, tmp_path):
    keys = {"self_distill_from": str(first), "self_distill_keys": "logits,bbox,features"}
    continual_run(tmp_path, checkpoint=str(first), seed=1, self_distill_kl="sym", **keys)
    found = lines(tmp_path)
    for key in ("logits", "bbox", "features"):
        assert found[0][f"train_loss_distill_{key}"] == pytest.approx(0.0, abs=1e-6)
        assert found[-1][f"train_loss_distill_{key}"] > 0
    assert not (tmp_path / "continual.pt").exists()


def test_features_are_those_of_the_batch_whatever_else_runs_the_model(first, tmp_path):
    """Replay, and the batches of an accumulated step, run it as well; a model that stays has no loss."""
    keys = {"self_distill_from": str(first), "self_distill_keys": "features", "lr": 1e-9, "derpp": True}
    continual_run(tmp_path, checkpoint=str(first), batch_size=2, gradient_accumulation_steps=3, **keys)
    for line in lines(tmp_path):
        assert line["train_loss_distill_features"] == pytest.approx(0.0, abs=1e-9)
        assert line["train_loss_derpp_labels"] > 0


def test_old_classes_of_a_teacher_that_knows_fewer_are_found_by_name(first, tmp_path):
    """The student begins with the teacher's rows in another order and with a new class."""
    names = load_checkpoint(first).classes
    others = ("new", *reversed(names[1:]))
    keys = {"checkpoint": str(first), "self_distill_from": str(first), "epochs": 1}
    continual_run(tmp_path, names=others, **keys)
    assert lines(tmp_path)[0]["train_loss_distill_logits"] == pytest.approx(0.0, abs=1e-6)


def test_distillation_brings_the_student_to_its_teacher(first, tmp_path):
    found = {}
    for weight in (0.0, 3.0):
        folder = tmp_path / f"{weight:g}"
        keys = {"self_distill_from": str(first), "self_distill_weight": weight, "epochs": 6, "seed": 1}
        _, run = continual_run(folder, **keys)
        again = {
            **keys,
            "self_distill_weight": 1.0,
            "epochs": 1,
            "checkpoint": str(run.paths.best),
            "lr": 1e-9,
        }
        continual_run(folder / "again", **again)
        found[weight] = lines(folder / "again")[0]["train_loss_distill_logits"]
    assert found[3.0] < 0.7 * found[0.0]


def test_stored_logits_are_those_of_the_rows_that_the_model_gives(first, tmp_path):
    """A model that stays as it is answers about each stored image as it did."""
    shutil.copy(first / "best.pt", tmp_path / "best.pt")
    keys = {"checkpoint": str(tmp_path / "best.pt"), "lr": 1e-9, "derpp": True, "derpp_alpha": 1.0}
    continual_run(tmp_path / "run", **keys)
    found = lines(tmp_path / "run")
    assert found[0]["train_loss_derpp_labels"] == 0.0  # nothing is stored yet
    assert min(line["train_loss_derpp_labels"] for line in found[1:]) > 0
    assert max(line["train_loss_derpp_logits"] for line in found) < 1e-5  # half precision


def test_npz_files_of_records_are_replayed_where_sidecars_name_them(first, tmp_path):
    from dataclasses import dataclass, replace

    from core.tests.training.continual.runs import NamedAdapter

    from anydet.data.dataset.base import DatasetView
    from anydet.errors import DatasetError
    from anydet.training.batches.samples import sample_of
    from anydet.training.continual.stored import Answer, write_answer
    from anydet.types import AdapterSettings

    @dataclass(frozen=True, eq=False)
    class Sidecars(DatasetView):
        folder: Path

        def record(self, position):
            record = self.dataset[position]
            extra = {"derpp_teacher_npz": str(self.folder / f"{position}.npz")} if position < 2 else {}
            return replace(record, extra=extra)

    run = tiny_run(tmp_path / "run", checkpoint=str(first), derpp=True, derpp_alpha=1.0, lr=1e-9, epochs=1)
    adapter = NamedAdapter(AdapterSettings(checkpoint=str(first)))
    task = adapter.training_task(run)
    for position in range(2):
        batch = task.collate([task.item(sample_of(run.dataset[position]))])
        write_answer(tmp_path / f"{position}.npz", Answer.of(task.logits(batch), task.names))
    run = replace(run, dataset=Sidecars(run.dataset, tmp_path), validation=None)
    train(adapter.training_task, run)
    found = lines(tmp_path / "run")
    assert max(line["train_loss_derpp_logits"] for line in found) < 1e-5  # half precision
    assert min(line["train_loss_derpp_labels"] for line in found) > 0
    assert not (tmp_path / "run" / "continual.pt").exists()
    (tmp_path / "0.npz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"image .*0.npz: no stored outputs of DER\+\+"):
        train(adapter.training_task, replace(run, paths=run.paths.of_folder(tmp_path / "other")))


def test_what_another_checkpoint_left_is_refused(first, tmp_path):
    for damage, message in (
        ("weights", "other weights than"),
        ("bytes", "damaged"),
        ("adapter", "was left by"),
        ("methods", "damaged: it has no 'methods' as a run writes it"),
        ("picture", "an image .PNG., no weights"),
        ("model", "nothing that a run of this version left"),
        ("empty", "an empty file"),
        ("folder", None),
    ):
        folder = tmp_path / damage
        shutil.copytree(first, folder)
        path = folder / "continual.pt"
        if damage == "bytes":
            path.write_bytes(path.read_bytes()[:-500])
        elif damage in {"picture", "empty"}:
            path.write_bytes(b"\x89PNG\r\n" if damage == "picture" else b"")
        elif damage == "model":
            shutil.copy(folder / "best.pt", path)
        elif damage == "folder":
            path.unlink()
            path.mkdir()
            continual_run(folder / "next", checkpoint=str(folder), ewc=True, epochs=1)  # as without any
            continue
        else:
            content = load_tensors(path, handover=True)
            del content["digest"]
            content[damage] = "another"
            save_tensors(path, {**content, "digest": digest(content)})
        with pytest.raises(TrainingError, match=message):
            continual_run(folder / "next", checkpoint=str(folder), ewc=True)


def test_what_cannot_be_honored_is_refused_with_the_reason(first, tmp_path):
    class Silent(GridTask):
        distill_keys = ()

    def build(run):
        return Silent(run.classes, {})

    with pytest.raises(OptionError, match="derpp stores class logits, and Grid gives none"):
        train(build, tiny_run(tmp_path / "a", derpp=True))
    with pytest.raises(OptionError, match="has no 'pose' to distill"):
        continual_run(tmp_path / "b", self_distill_from=str(first), self_distill_keys="logits,pose")
    names = tuple(f"other {i}" for i in range(6))
    with pytest.raises(OptionError, match="knows none of the classes to learn"):
        continual_run(tmp_path / "c", self_distill_from=str(first), names=names)
    with pytest.raises(OptionError, match="does not say how a teacher is built"):
        train(lambda run: GridTask(run.classes, {}), tiny_run(tmp_path / "d", self_distill_from=str(first)))


def test_a_resumed_run_with_another_teacher_is_refused(first, tmp_path):
    teacher = tmp_path / "teacher"
    shutil.copytree(first, teacher)
    keys = {"self_distill_from": str(teacher), "epochs": 1}
    continual_run(tmp_path / "run", **keys)
    other = tmp_path / "other"
    continual_run(other, seed=3, epochs=1)
    shutil.copy(other / "best.pt", teacher / "best.pt")
    with pytest.raises(TrainingError, match="other weights than the run began with"):
        continual_run(tmp_path / "run", **{**keys, "epochs": 2, "resume": True})
