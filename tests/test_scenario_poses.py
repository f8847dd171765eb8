"""``anydet test poses`` on posed scenes: predictions that are wrong by known amounts, and these as numbers.

What a warp does to poses, depths and cameras is done to labels and pixels alike; an error of it would show as
an error of a model that makes none.
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.rotations import turn_by
from anydet.plugins import Adapter, AdapterSpec, hookimpl
from anydet.plugins.manager import Plugins
from anydet.types import ClassTable, ImagePredictions, Poses

CHANGED = ("handheld-jitter", "rotation-15", "half-scale", "low-light", "occlusion")
SELECTED = ("clean", "symmetric", "asymmetric", "extreme-depth")


class Labeled(Adapter):
    """Labels as predictions: objects turned around an axis across the camera's, and put farther away."""

    degrees = 0.0
    farther_m = 0.0

    @property
    def classes(self):
        return ClassTable(("carton", "can", "bracket", "beam", "bottle"))

    def predict(self, records):
        for record in records:
            labels = record.labels.take(~record.labels.iscrowd)
            assert record.image().shape[:2] == record.size_wh[::-1]
            turn = turn_by(np.array([np.radians(self.degrees), 0.0, 0.0]))
            poses = Poses(
                rotations=labels.poses.rotations @ turn.T,  # of the object, in its own frame
                translations_m=labels.poses.translations_m + np.array([0.0, 0.0, self.farther_m]),
            )
            yield ImagePredictions(
                record.key,
                record.size_wh,
                xywh_to_xyxy(labels.boxes_xywh_px),
                np.full(len(labels), 0.9),
                labels.class_ids,
                poses=poses,
                intrinsics=record.camera,
            )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("poses") / "scenes"
    line = ["synth", "--scene", "pose", "--images", "6", "--size", "160x120", "--out", str(folder)]
    assert CliRunner().invoke(main, line).exit_code == 0
    return folder


@pytest.fixture
def plugins(monkeypatch):
    module = types.ModuleType("labeled_plugin")
    module.Labeled = Labeled
    module.PLUGIN_API = 2
    spec = AdapterSpec("labeled", "labeled_plugin:Labeled", "finds what is labeled", tasks=("detect", "pose"))
    module.register_adapters = hookimpl(lambda register: register(spec))
    monkeypatch.setitem(sys.modules, "labeled_plugin", module)
    points = [EntryPoint("labeled", "labeled_plugin", "anydet"), EntryPoint("bop", "anydet_bop", "anydet")]
    return Plugins(points)


def run(plugins, out, *words):
    """The numbers of each scenario that was measured."""
    done = CliRunner().invoke(main, ["test", "poses", "--out", str(out), *map(str, words)], obj=plugins)
    assert done.exit_code == 0, done.output
    scenarios = json.loads((out / "results.json").read_text())["scenarios"]
    return {one["name"]: one["numbers"] for one in scenarios if one["images"]}, done.stderr


@pytest.mark.slow
def test_what_is_right_has_no_error_in_any_scenario(scenes, plugins, tmp_path):
    found, _ = run(plugins, tmp_path, "--adapter", "labeled", "--dataset", scenes)
    assert set(found) == {*SELECTED, *CHANGED}
    for name, numbers in found.items():
        assert numbers["AP"] == pytest.approx(1.0), name
        assert numbers["rotation_error_deg"] == pytest.approx(0.0, abs=1e-3), name
        assert numbers["depth_error_m"] == pytest.approx(0.0, abs=1e-6), name


@pytest.mark.slow
def test_what_is_wrong_by_a_known_amount_is_measured_as_that(scenes, plugins, tmp_path, monkeypatch):
    monkeypatch.setattr(Labeled, "degrees", 4.0)
    monkeypatch.setattr(Labeled, "farther_m", 0.03)
    found, _ = run(plugins, tmp_path, "--adapter", "labeled", "--dataset", scenes)
    assert set(found) == {*SELECTED, *CHANGED}
    for name, numbers in found.items():
        assert numbers["depth_error_m"] == pytest.approx(0.03, abs=1e-6), name
        if name == "symmetric":  # to the nearest pose that looks the same
            assert 0.0 < numbers["rotation_error_deg"] <= 4.0 + 1e-3
    # Of objects that look the same in one pose alone, all of the turn is error, whatever the camera did.
    assert found["asymmetric"]["rotation_error_deg"] == pytest.approx(4.0, abs=1e-3)
    whole = found["clean"]["rotation_error_deg"]
    for name in ("handheld-jitter", "rotation-15", "half-scale", "low-light", "occlusion"):
        assert found[name]["rotation_error_deg"] == pytest.approx(whole, abs=0.2), name


def test_a_file_of_poses_is_measured_in_what_selects(scenes, plugins, tmp_path):
    file = tmp_path / "predictions.json"
    line = ["export-predictions", "--adapter", "labeled", "--dataset", str(scenes), "--output", str(file)]
    done = CliRunner().invoke(main, line, obj=plugins)
    assert done.exit_code == 0, done.output
    given = ("--adapter", "precomputed", "--predictions", file, "--dataset", scenes)
    found, said = run(plugins, tmp_path / "out", *given)
    assert set(found) == set(SELECTED)
    for name in CHANGED:
        assert f"{name} is not measured: it changes pixels" in said
    for numbers in found.values():
        assert numbers["rotation_error_deg"] == pytest.approx(0.0, abs=1e-3)
        assert numbers["depth_error_m"] == pytest.approx(0.0, abs=1e-6)


def test_a_zoom_halves_the_focal_lengths_and_keeps_poses(scenes):
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats
    from anydet.scenarios.changed import ChangedDataset
    from anydet.scenarios.changes import Scale

    dataset = open_dataset(scenes, None, formats=installed_formats(Plugins.from_env()))
    record = ChangedDataset(dataset, Scale(0.5))[0]
    camera = dataset[0].camera
    assert record.camera == replace(camera, fx=camera.fx / 2, fy=camera.fy / 2)
    np.testing.assert_allclose(record.labels.poses.rotations, dataset[0].labels.poses.rotations, atol=1e-12)
    np.testing.assert_allclose(
        record.labels.poses.translations_m, dataset[0].labels.poses.translations_m, atol=1e-12
    )
