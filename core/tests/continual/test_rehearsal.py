"""What cannot be trained is refused before the first training, and leaves no folder."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner
from core.tests.continual.growing import GrowingTask
from core.tests.training.grid import Grid

from anydet.commands.continual import command
from anydet.commands.figures import draw_figures
from anydet.continual.results import FIGURES
from anydet.errors import AnydetError
from anydet.evaluation.figures import Axis, Lines, Series
from anydet.outputs import locked_folder
from anydet.training.checkpoints.checkpoint import Checkpoint, save_checkpoint
from anydet.training.continual.handover import Handover, write_handover
from anydet.training.first_weights import Names

NAMES = ("circle", "square", "triangle", "star", "cross", "hexagon")


@pytest.fixture
def checkpoint(tmp_path):
    """Weights that the first task can begin with, with what its methods left beside."""
    path = tmp_path / "before" / "best.pt"
    save_checkpoint(path, Checkpoint("growing", Grid(6).state_dict(), {"options": {}, "classes": 6}, NAMES))
    write_handover(path.with_name("continual.pt"), Handover("growing", Names(NAMES), "sha256:0", {}))
    return path


@pytest.fixture
def refused(write, plugins, tmp_path, monkeypatch):
    """Runs the command, which must end with an error before it trains anything."""

    def step(task, batch):
        raise AssertionError("a step was taken")

    monkeypatch.setattr(GrowingTask, "step", step)

    def run(**keys):
        out = tmp_path / "new" / "out"
        found = CliRunner().invoke(command, [str(write(**keys)), "--out", str(out)], obj=plugins)
        assert isinstance(found.exception, AnydetError), found.exception
        assert not out.parent.exists()
        return found.exception

    return run


def test_a_teacher_that_is_not_there(refused, tmp_path):
    methods = {"none": None, "taught": {"later": {"self_distill_from": str(tmp_path / "gone.pt")}}}
    error = refused(methods=methods)
    assert "method 'taught', task 'classes-4-6': " in error.problem
    assert "gone.pt: no such checkpoint" in error.problem


def test_first_weights_that_are_damaged_or_none(refused, checkpoint, tmp_path):
    (tmp_path / "cut.pt").write_bytes(checkpoint.read_bytes()[:-100])
    assert "cut.pt: an archive that is damaged" in refused(checkpoint=str(tmp_path / "cut.pt")).problem
    assert "gone: no such checkpoint" in refused(checkpoint=str(tmp_path / "gone")).problem


def test_the_file_of_the_methods_is_no_model(refused, checkpoint):
    left = checkpoint.with_name("continual.pt")
    error = refused(checkpoint=str(left))
    assert f"{left}: is what the methods of a run leave to its next task" in error.problem
    assert str(checkpoint) in error.fix


def test_what_methods_left_with_other_weights(refused, checkpoint):
    error = refused(checkpoint=str(checkpoint), methods={"none": None, "held": {"ewc": True}})
    assert "method 'held', task 'classes-1-3': " in error.problem
    assert "was left with other weights than" in error.problem


@pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"lora_r": 2}, "task 'clean': lora_r adapts weights that have learned"),
        ({"later": {"lora_r": 900, "lora_target": "all_conv1x1"}}, "task 'fog': lora_r 900 is above"),
        (
            {"later": {"lora_r": 2, "lora_target": "all_linear"}},
            "task 'fog': lora_target all_linear means no",
        ),
    ],
)
def test_layers_that_do_not_fit(refused, keys, said):
    tasks = {"clean": None, "fog": {"corruption": "fog:2"}}
    assert said in refused(class_groups=..., tasks=tasks, methods={"none": None, "lora": keys}).problem


@pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
def test_a_target_whose_layers_are_all_new_is_not_answered_with_another_such(refused):
    """The head, which has a new class in the second task, is the one layer that LoRA could go into."""
    error = refused(methods={"none": None, "lora": {"later": {"lora_r": 2, "lora_target": "all_conv1x1"}}})
    assert "that has learned before (layers: none at all)" in error.problem
    assert error.fix == "leave lora_r out"


def test_keys_of_a_teacher_that_the_model_does_not_have(refused):
    later = {"self_distill_from": "{previous}", "self_distill_keys": "logits,masks"}
    assert "has no 'masks' to distill" in refused(methods={"a": None, "b": {"later": later}}).problem


def test_a_class_that_no_image_has(refused):
    tasks = {"first": {"classes": ["circle"]}, "second": {"classes": ["dog"]}}
    assert "task 'second': no class 'dog'" in refused(class_groups=..., tasks=tasks).problem


def test_two_at_once_in_a_folder(write, plugins, tmp_path):
    with locked_folder(tmp_path / "out"):
        found = CliRunner().invoke(command, [str(write()), "--out", str(tmp_path / "out")], obj=plugins)
    assert "another process of anydet writes into it now" in found.exception.problem


def test_a_chart_that_a_result_has_no_more_is_removed(tmp_path):
    pytest.importorskip("matplotlib")
    for name in (*FIGURES, "mine"):
        (tmp_path / f"{name}.png").write_bytes(b"old")
    lines = Lines("so-far", "t", Axis("x"), Axis("y"), (Series("a", (1,), (0.5,)),))
    draw_figures([lines], tmp_path, drawn=FIGURES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.png", "so-far.png"]
    assert (tmp_path / "so-far.png").read_bytes() != b"old"
