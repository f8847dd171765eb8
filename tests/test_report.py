"""Reports of data sets that plugins bring: what is said of states and poses is what their evaluators say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from core.tests.noisy_predictions import noisy_predictions
from core.tests.report.conftest import unpack

from anydet.cli import main
from anydet.data.opening import open_dataset
from anydet.evaluation.reading import read_inputs
from anydet.evaluation.run import run_evaluators
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.report.page.outcomes import NO_ERROR, NO_STATE, judge


@pytest.fixture(scope="module", params=["bikes", "pose"])
def scenes(request, tmp_path_factory):
    """Kind, data set, predictions of it, and the page about them."""
    root = tmp_path_factory.mktemp(request.param)
    made = [
        "synth",
        "--scene",
        request.param,
        "--out",
        str(root / "data"),
        "--images",
        "8",
        "--size",
        "320x240",
    ]
    assert CliRunner().invoke(main, made).exit_code == 0
    dataset = open_dataset(root / "data", formats=installed_formats(Plugins.from_env()))
    (root / "p.json").write_text(json.dumps(noisy_predictions(dataset)))
    arguments = ["report", root / "p.json", "--dataset", root / "data", "--output", root / "r.html"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--resamples", "5"])
    assert done.exit_code == 0, done.output
    return request.param, read_inputs(dataset, root / "p.json"), unpack(root / "r.html")


@pytest.mark.slow
def test_states_and_poses_of_a_page_are_those_of_their_evaluators(scenes):
    kind, inputs, page = scenes
    name = {"bikes": "states", "pose": "pose"}[kind]
    result = run_evaluators([inputs], [name]).results[name]
    (written,) = [one for one in page.header["models"][0]["results"] if one["name"] == name]
    assert written["metrics"] == dict(result.metrics)
    assert len(written["figures"]) == len(result.figures)
    assert written["tables"] == json.loads(json.dumps([table.as_dict() for table in result.tables]))
    columns = judge(inputs.detections, inputs.ground_truth).detections
    for column in columns:
        assert np.array_equal(columns[column], page.columns[f"0/{column}"])
    if kind == "bikes":
        known = columns["true_state"] != NO_STATE
        names = inputs.ground_truth.state_names
        counts = np.zeros((len(names), len(names)), np.int64)
        np.add.at(counts, (columns["true_state"][known], columns["state"][known]), 1)
        (figure,) = [one for one in result.figures if one.row_names == names]
        assert counts.tolist() == [list(row[: len(names)]) for row in figure.values]
    else:
        known = columns["rotation"] != NO_ERROR
        assert np.median(columns["rotation"][known] / 10) == pytest.approx(
            result.metrics["rotation_deg_median"], abs=0.051
        )
        assert np.mean(columns["translation"][known] / 1000) == pytest.approx(
            result.metrics["translation_m_mean"], abs=5.1e-4
        )


@pytest.mark.slow
def test_pictures_show_states_and_axes(scenes):
    kind, _, page = scenes
    marks = [mark for item in page.header["items"] for mark in item["marks"]]
    assert any({"bikes": "t", "pose": "a"}[kind] in mark for mark in marks)
    assert all(np.isfinite(mark["b"]).all() for mark in marks)
