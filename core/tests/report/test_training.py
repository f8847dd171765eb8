from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from anydet.errors import AnydetError, OptionError, TrainingError
from anydet.report import training
from anydet.report.training import draw_training, read_curves, smooth, summarize

TRAIN = [
    {"step": i, "epoch": 0, "train_loss": 2.0 / i, "train_loss_box": 1.0 / i, "learning_rate": 0.1 * i}
    for i in range(1, 9)
]
VAL = [
    {"step": step, "epoch": 0, "avg_train_loss": 9.0, "avg_val_loss": loss, "AP": ap, "learning_rate": 5.0}
    for step, loss, ap in ((4, 0.5, 0.25), (8, 0.75, None))
]


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def run(tmp_path):
    """The folder of a run with both files."""
    folder = tmp_path / "exp01"
    write(folder / "reports" / "train_metrics.jsonl", TRAIN)
    write(folder / "reports" / "val_metrics.jsonl", VAL)
    return folder


@pytest.fixture
def figures(monkeypatch):
    """What is drawn, as matplotlib has it; files stay empty, as drawing takes its time."""
    made = []

    class Kept(Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

        def savefig(self, *args, **kwargs):
            pass

    monkeypatch.setattr(training, "import_figure", lambda: Kept)
    return made


def lines_of(axes):
    return [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines]


def test_both_files_are_read_wherever_one_points(run):
    reports = run / "reports"
    for path in (run, reports, reports / "train_metrics.jsonl", reports / "val_metrics.jsonl"):
        curves = read_curves(path)
        assert curves.name == "exp01"
        assert curves.folder == reports
        assert curves.columns["train_loss"].values.tolist() == [line["train_loss"] for line in TRAIN]
        assert curves.columns["learning_rate"].steps.tolist() == list(range(1, 9)), "that of training"
        assert curves.columns["AP"].steps.tolist() == [4], "what is null is left out"
        assert curves.metrics == ["AP"]


def test_a_folder_without_reports_and_a_file_of_another_name_are_read(tmp_path):
    write(tmp_path / "flat" / "train_metrics.jsonl", TRAIN)
    assert read_curves(tmp_path / "flat").name == "flat"
    write(tmp_path / "mine.jsonl", [{"train_loss": 3.0}, {"train_loss": 1.0}])
    curves = read_curves(tmp_path / "mine.jsonl")
    assert curves.name == "mine"
    assert curves.columns["train_loss"].steps.tolist() == [1, 2], "lines are counted"


def test_the_summary_says_the_best_values_and_when_they_were(run):
    summary = summarize(read_curves(run))
    assert summary.pop("train_loss") == smooth(np.array([line["train_loss"] for line in TRAIN]))[-1]
    assert summary == {
        "run": "exp01",
        "step": 8,
        "best": {"avg_val_loss": {"value": 0.5, "step": 4}, "AP": {"value": 0.25, "step": 4}},
    }


def test_panels_hold_the_numbers(run, figures, tmp_path):
    draw_training([read_curves(run)], tmp_path / "one.png")
    loss, metrics, components, rate = figures[0].axes
    steps = [float(line["step"]) for line in TRAIN]
    raw, smoothed, val = lines_of(loss)
    assert raw == (steps, [line["train_loss"] for line in TRAIN])
    assert smoothed == (steps, smooth(np.array(raw[1])).tolist())
    assert val == ([4, 8], [0.5, 0.75])
    assert lines_of(metrics)[0] == ([4], [0.25])
    assert len(components.lines) == 1
    assert lines_of(rate) == [(steps, [line["learning_rate"] for line in TRAIN])]
    assert [text.get_text() for text in metrics.get_legend().get_texts()] == ["AP, best 0.25 at 4"]


def test_several_runs_are_drawn_over_each_other_in_their_own_colors(run, figures, tmp_path):
    write(tmp_path / "exp02" / "train_metrics.jsonl", TRAIN)
    draw_training([read_curves(run), read_curves(tmp_path / "exp02")], tmp_path / "two.svg")
    loss, metrics, rate = figures[0].axes
    assert len(loss.lines) == 5
    assert len(metrics.lines) == 2
    assert len({line.get_color() for line in rate.lines}) == 2
    assert [text.get_text() for text in rate.get_legend().get_texts()] == ["exp01", "exp02"]


def test_losses_that_fall_far_get_a_logarithmic_axis(run, figures, tmp_path):
    draw_training([read_curves(run)], tmp_path / "a.png")
    write(tmp_path / "far.jsonl", [{"step": i, "train_loss": 0.5**i} for i in range(20)])
    draw_training([read_curves(tmp_path / "far.jsonl")], tmp_path / "b.png")
    assert [figure.axes[0].get_yscale() for figure in figures] == ["linear", "log"]


def test_smoothing_is_the_average_of_what_was_weighted_by_its_age():
    values = np.random.default_rng(0).normal(size=400)
    ages = np.arange(400)[:, None] - np.arange(400)
    weights = np.where(ages >= 0, (1 - 2 / (10 + 1)) ** np.maximum(ages, 0.0), 0)
    np.testing.assert_allclose(smooth(values), weights @ values / weights.sum(axis=1))


def test_smoothing_keeps_what_is_smooth_and_short_runs_as_they_are():
    np.testing.assert_allclose(smooth(np.full(100, 0.3)), 0.3)
    few = np.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(smooth(few), few)


def test_a_metric_can_be_chosen_and_an_unknown_one_is_an_error(run, figures):
    curves = read_curves(run)
    draw_training([curves], run / "a.png", ["AP"])
    assert len(figures[0].axes) == 4
    with pytest.raises(OptionError, match="'APP'; did you mean 'AP'") as caught:
        draw_training([curves], run / "a.png", ["APP"])
    assert "AP" in caught.value.fix


@pytest.mark.parametrize("lines", [[], [{"step": 1, "train_loss": None, "skipped": "nan"}]])
def test_a_run_without_numbers_is_an_error(tmp_path, lines):
    write(tmp_path / "train_metrics.jsonl", lines)
    with pytest.raises(TrainingError, match="no numbers yet"):
        read_curves(tmp_path)


def test_a_folder_without_metrics_and_a_wrong_suffix_are_errors(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"no train_metrics\.jsonl"):
        read_curves(tmp_path / "empty")
    with pytest.raises(OptionError, match=r"a\.jpg: charts are drawn as"):
        draw_training([read_curves(run)], tmp_path / "a.jpg")


def test_without_matplotlib_the_error_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AnydetError, match="matplotlib") as caught:
        draw_training([read_curves(run)], run / "a.png")
    assert "anydet[plot]" in caught.value.fix


@pytest.mark.slow
def test_nothing_is_left_where_drawing_fails(run, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise io.UnsupportedOperation

    monkeypatch.setattr(Figure, "savefig", refuse)
    with pytest.raises(io.UnsupportedOperation):
        draw_training([read_curves(run)], run / "a.png")
    assert sorted(path.name for path in run.iterdir()) == ["reports"]
