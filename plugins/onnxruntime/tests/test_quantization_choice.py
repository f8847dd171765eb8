"""The choice of layers, with losses that are known: what it takes, what it leaves, and what time does."""

from __future__ import annotations

import pytest

from anydet_onnxruntime.quantization.choice import Loss, choose_layers, time_left
from anydet_onnxruntime.quantization.graph import Layer
from anydet_onnxruntime.quantization.measurements import Measurements

SIZES = {"stem": 400, "depthwise": 300, "wide": 9000, "wider": 12000, "neck": 5000, "head": 700}
LAYERS = tuple(Layer(name, (name,), size) for name, size in SIZES.items())
COSTLY = {"stem": 0.05, "depthwise": 0.2, "head": 0.02}


class Known:
    """Layers lose what they lose, and together the sum; each question takes a second."""

    def __init__(self, costs, seconds=1e9):
        self.costs, self.seconds, self.asked = costs, seconds, []

    def loss(self, layers):
        self.asked.append([layer.name for layer in layers])
        lost = sum(self.costs.get(layer.name, 0.0) for layer in layers)
        return Loss(drop=lost, disagreement=0.0, float_ap=0.5)

    def disagreement(self, layers):
        (layer,) = layers
        self.asked.append([layer.name])
        return self.costs.get(layer.name, 0.0)

    def time_left(self):
        return 1 - len(self.asked) / self.seconds


def names(choice):
    return {layer.name for layer in choice.layers}


def test_all_layers_go_where_all_pass_and_nothing_else_is_measured():
    trial = Known({})
    choice = choose_layers(LAYERS, trial, 0.005)
    assert names(choice) == set(SIZES)
    assert len(trial.asked) == 1
    assert choice.complete


def test_the_costly_layers_stay_in_float_and_all_others_go():
    choice = choose_layers(LAYERS, Known(COSTLY), 0.005)
    assert names(choice) == {"wide", "wider", "neck"}
    assert choice.loss.drop == 0.0
    assert choice.sensitivity["depthwise"] == pytest.approx(0.2)
    assert choice.complete


def test_a_costly_layer_goes_where_there_is_room_for_it():
    choice = choose_layers(LAYERS, Known(COSTLY), 0.03)
    assert names(choice) == {"wide", "wider", "neck", "head"}
    assert choice.loss.drop == pytest.approx(0.02)


def test_where_no_layer_passes_nothing_is_chosen():
    choice = choose_layers(LAYERS, Known(dict.fromkeys(SIZES, 0.1)), 0.005)
    assert not choice.layers
    assert choice.loss is None
    assert choice.complete


def test_when_the_time_is_short_the_small_layers_stay_in_float():
    choice = choose_layers(LAYERS, Known(COSTLY, seconds=6), 0.005)
    assert "wider" in choice.sensitivity
    assert "depthwise" not in choice.sensitivity
    assert names(choice) <= {"wide", "wider", "neck"}
    assert not choice.complete


class Clocked(Known):
    """As ``Known``, with measurements of seven seconds on all images and one on a few."""

    def __init__(self, costs, budget_s):
        super().__init__(costs)
        self.spent_s, self.budget_s, self.longest_s = 0, budget_s, 0

    def loss(self, layers):
        self.spent_s, self.longest_s = self.spent_s + 7, 7
        return super().loss(layers)

    def disagreement(self, layers):
        self.spent_s, self.longest_s = self.spent_s + 1, max(1, self.longest_s)
        return super().disagreement(layers)

    def time_left(self):
        return time_left(self.spent_s, self.longest_s, self.budget_s)


@pytest.mark.parametrize("budget_s", [25, 30, 40, 60, 100])
def test_the_report_still_fits_into_the_time(budget_s):
    trial = Clocked(COSTLY, budget_s)
    choice = choose_layers(LAYERS, trial, 0.005)
    assert trial.spent_s + 2 * 7 <= budget_s
    assert choice.complete == (budget_s >= 100)


def test_progress_ends_where_its_phases_end():
    seen = {}
    choose_layers(LAYERS, Known(COSTLY), 0.005, progress=lambda phase, *at: seen.update({phase: at}))
    assert set(seen) == {"all layers", "each layer alone", "how many layers", "one layer more"}
    assert all(done == steps for done, steps in seen.values())


def test_luck_on_few_images_does_not_pass_for_quality():
    lucky = Loss(drop=-0.01, disagreement=0.3, float_ap=0.4)
    assert lucky.said == pytest.approx(0.036)
    assert not lucky.within(0.036)
    assert lucky.within(0.073)
    assert not Loss(drop=0.02, disagreement=0.0, float_ap=0.4).within(0.01)
    assert Loss(drop=-0.01, disagreement=-0.001, float_ap=0.4).within(0.001)


def measured(path, identity, resume, questions):
    asked = []
    with Measurements(path, identity, resume=resume) as measurements:
        for name in questions:
            measurements.get(name, lambda name=name: (asked.append(name), (1.0, 2.0))[1])
    return asked


def test_numbers_of_an_interrupted_run_are_asked_for_once(tmp_path):
    output = tmp_path / "q.onnx"
    assert measured(output, {"model": "a"}, False, "ab") == ["a", "b"]
    assert measured(output, {"model": "a"}, True, "abc") == ["c"]


def test_a_line_that_was_cut_short_is_measured_again(tmp_path):
    output = tmp_path / "q.onnx"
    measured(output, {"model": "a"}, False, "ab")
    partial = tmp_path / "q.onnx.partial"
    partial.write_bytes(partial.read_bytes()[:-5])
    assert measured(output, {"model": "a"}, True, "ab") == ["b"]
    assert measured(output, {"model": "a"}, True, "ab") == []


@pytest.mark.parametrize(
    ("content", "resume", "said"),
    [
        (None, False, "holds an unfinished run"),
        (None, True, "is of another run: model differ"),
        (b"nothing of ours\n", True, "is no file of an unfinished run"),
    ],
)
def test_another_run_is_in_the_way(content, resume, said, tmp_path):
    from anydet.errors import OptionError

    output = tmp_path / "q.onnx"
    measured(output, {"model": "a"}, False, "a")
    if content is not None:
        (tmp_path / "q.onnx.partial").write_bytes(content)
    with pytest.raises(OptionError, match=said) as error:
        measured(output, {"model": "b"}, resume, "a")
    assert "remove" in error.value.fix
