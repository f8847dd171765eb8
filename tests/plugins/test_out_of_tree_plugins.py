"""Plugins that live outside the tree: found by their metadata, used by the pipeline, reported when broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anydet.contract.checking.validate import validate
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError, PluginError, UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, TTT, Choice
from anydet.prediction.hooks import TTTSettings, ViewSettings
from anydet.prediction.pipeline import Pipeline, RunningTTT
from anydet.prediction.recipe import Recipe
from anydet.testing import (
    AdapterConformance,
    AdapterSubject,
    FusionConformance,
    TTTMethodConformance,
    ViewConformance,
)
from anydet.testing.checks.fusions import FusionSubject
from anydet.testing.checks.ttt_methods import TTTMethodSubject
from anydet.testing.checks.views import ViewSubject
from anydet.types import ByteImage, ImagePredictions

HERE = Path(__file__).parent
DIST_INFO = {"mirror": "0.3.0", "broken": "6.6.6"}


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder as an installer leaves it: packages and the metadata that finds them."""
    folder = tmp_path_factory.mktemp("site")
    for name, version in DIST_INFO.items():
        (folder / f"anydet_{name}").symlink_to(HERE / name / "src" / f"anydet_{name}")
        info = folder / f"anydet_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: anydet-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[anydet]\n{name} = anydet_{name}\n")
    return folder


@pytest.fixture
def plugins(site, monkeypatch) -> Plugins:
    monkeypatch.syspath_prepend(site)
    return Plugins(only=["mirror"])


def anydet(*arguments: str, site: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anydet.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def spot(x: int, level: int = 250, background: int = 0) -> ByteImage:
    """A 40x30 image with one bright 6x5 rectangle whose left edge is at ``x``."""
    image = np.full((30, 40, 3), background, np.uint8)
    image[10:15, x : x + 6] = level
    return image


def open_bright(plugins: Plugins, **recipe) -> Pipeline:
    return Recipe("bright", plugins.settings("bright", batch_size=2), **recipe).open(plugins)


def run(pipeline: Pipeline, images: list[ByteImage]) -> list[ImagePredictions]:
    records = [Record(f"{i}.png", ImageArray(image)) for i, image in enumerate(images)]
    return [p for chunk in pipeline.run(records) for p in chunk]


def boxes(found: list[ImagePredictions]) -> list[list[list[float]]]:
    return [p.boxes_xyxy_px.tolist() for p in found]


DIM = [spot(5, level=90), spot(15, level=120)]
DIM_BOXES = [[[5, 10, 11, 15]], [[15, 10, 21, 15]]]


def test_the_mirrored_view_gives_the_boxes_of_the_image_itself(plugins):
    images = [spot(3), spot(20), spot(34)]
    plain = run(open_bright(plugins), images)
    mirrored = run(open_bright(plugins, tta=TTA((Choice("mirror"),))), images)
    assert boxes(mirrored) == [[[3, 10, 9, 15]], [[20, 10, 26, 15]], [[34, 10, 40, 15]]]
    assert boxes(mirrored) == boxes(plain)


def test_the_view_really_shows_the_adapter_a_mirrored_image(plugins):
    view = plugins.build("views", "mirror", ViewSettings())
    (seen,) = view.apply(Record("a.png", ImageArray(spot(3))))
    assert np.array_equal(seen.image(), spot(40 - 3 - 6))


def test_the_fusion_makes_one_detection_of_those_of_all_views(plugins):
    tta = TTA((Choice("original"), Choice("mirror"), Choice("scale", {"factor": 2})), Choice("best"))
    (found,) = run(open_bright(plugins, tta=tta), [spot(3)])
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes_xyxy_px, [[3, 10, 9, 15]], atol=0.5)


def test_the_ttt_method_changes_what_is_predicted_and_puts_the_model_back(plugins):
    pipeline = open_bright(plugins, ttt=TTT("brightness"))
    assert boxes(run(open_bright(plugins), DIM)) == [[], []]
    assert boxes(run(pipeline, DIM)) == DIM_BOXES
    assert pipeline.adapter.model.threshold == 200


def test_options_of_a_method_reach_it(plugins):
    lifted = TTT("brightness", TTTSettings(options={"lift": 50}))
    assert boxes(run(open_bright(plugins, ttt=lifted), DIM)) == [[], DIM_BOXES[1]]
    with pytest.raises(
        OptionError, match=r"brightness has no option 'lit' .*did you mean 'lift'.*\n.*adaptation"
    ):
        open_bright(plugins, ttt=TTT("brightness", TTTSettings(options={"lit": 1})))


def test_a_method_reads_its_source_data_set(plugins, tmp_path):
    for i in range(2):
        Image.fromarray(spot(5, level=20)).save(tmp_path / f"{i}.png")
    source = TTT("brightness", source=str(tmp_path))
    assert boxes(run(open_bright(plugins, ttt=source), [spot(5, level=15)])) == [DIM_BOXES[0]]


def test_a_teacher_predicts_and_the_student_stays(plugins):
    pipeline = open_bright(plugins, ttt=TTT("teacher"))
    thresholds = []

    class Observer:
        @hookimpl
        def after_predict(self) -> None:
            thresholds.append(pipeline.adapter.model.threshold)

    plugins.manager.register(Observer())
    assert boxes(run(pipeline, DIM)) == DIM_BOXES
    assert thresholds == [200]


def test_the_model_is_put_back_after_an_error_too(plugins):
    thresholds = []

    class Observer:
        """Stops the run while the model is adapted."""

        @hookimpl
        def after_predict(self) -> None:
            thresholds.append(pipeline.adapter.model.threshold)
            raise RuntimeError("stop here")

    pipeline = open_bright(plugins, ttt=TTT("brightness"))
    plugins.manager.register(Observer())
    with pytest.raises(PluginError, match="stop here"):
        run(pipeline, [spot(5, level=90)])
    assert thresholds == [45]
    assert pipeline.adapter.model.threshold == 200


def test_the_model_is_put_back_when_the_run_is_left_early(plugins):
    pipeline = open_bright(plugins, ttt=TTT("brightness"))
    chunks: Iterator[object] = pipeline.run(
        [Record(f"{i}.png", ImageArray(spot(i, level=90))) for i in range(4)]
    )
    next(chunks)
    assert pipeline.adapter.model.threshold == 45
    chunks.close()  # type: ignore[attr-defined]
    assert pipeline.adapter.model.threshold == 200


@pytest.mark.slow
def test_meta_says_what_a_method_did(site, tmp_path):
    """Of a method that the core knows nothing of: its true settings, its report, what was asked for."""
    for i, image in enumerate(DIM):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    output = tmp_path / "p.json"
    line = f"export-predictions --adapter bright --dataset {tmp_path} --wrap --output {output} "
    line += "--ttt-method brightness --ttt-batch-size 3 --ttt-reset stream --ttt-option lift=1"
    done = anydet(*line.split(), site=site, ANYDET_PLUGINS="mirror")
    assert done.returncode == 0, done.stderr
    ttt = json.loads(output.read_text())["meta"]["ttt"]
    stated = {name: ttt[name] for name in ("method", "steps", "batch_size", "lr", "update_filter")}
    assert stated == {"method": "brightness", "steps": 1, "batch_size": 3, "lr": 0, "update_filter": "all"}
    report = {"preset": None, "reset": "stream", "options": {"lift": 1}, "thresholds": [53.5]}
    assert ttt["report"] == report
    assert validate(output).ok


def test_the_ttt_method_refuses_other_adapters_by_name(plugins):
    class Other(Adapter):
        def predict(self, records):
            return iter(())

    method = plugins.build("ttt_methods", "brightness", TTTSettings(options={"lift": 0}))
    with pytest.raises(UnsupportedError, match=r"'Other' does not support brightness .*: bright\)"):
        list(Pipeline(Other(plugins.settings("bright")), ttt=RunningTTT(TTT("brightness"), method)).run([]))


def test_the_list_shows_a_broken_plugin_with_its_reason_and_the_others_work(site):
    listed = anydet("adapters", "list", "--json", site=site, ANYDET_PLUGINS="broken,mirror")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert listed.returncode == 0
    assert rows["broken"]["state"] == "failed"
    assert rows["broken"]["note"] == "ModuleNotFoundError: No module named 'a_library_that_nobody_has'"
    assert (rows["broken"]["package"], rows["broken"]["version"]) == ("anydet-broken", "6.6.6")
    assert rows["bright"]["state"] == "ok"
    assert (rows["bright"]["package"], rows["bright"]["version"]) == ("anydet-mirror", "0.3.0")


def test_strict_mode_shows_where_the_broken_plugin_broke(site):
    listed = anydet("adapters", "list", site=site, ANYDET_PLUGINS="broken,mirror", ANYDET_STRICT="1")
    assert listed.returncode == 1
    assert "a_library_that_nobody_has" in listed.stderr
    assert "Traceback" in listed.stderr


@pytest.mark.slow
def test_the_installed_plugin_passes_the_kit_from_the_command_line(site):
    checked = anydet("adapters", "check", "bright", "--json", site=site, ANYDET_PLUGINS="mirror")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    states = {row["check"]: row["state"] for row in json.loads(checked.stdout)}
    assert states["pixels_come_from_the_record"] == "ok"
    assert set(states.values()) == {"ok", "skip"}


class TestBright(AdapterConformance):
    adapter = "bright"

    @pytest.fixture
    def subject(self, plugins, tmp_path):
        return AdapterSubject.installed(plugins, "bright", tmp_path)


class TestMirror(ViewConformance):
    view = "mirror"

    @pytest.fixture
    def subject(self, plugins, tmp_path):
        return ViewSubject.installed(plugins, "mirror", tmp_path)


class TestBest(FusionConformance):
    fusion = "best"

    @pytest.fixture
    def subject(self, plugins, tmp_path):
        return FusionSubject.installed(plugins, "best", tmp_path)


class TestBrightness(TTTMethodConformance):
    method = "brightness"

    @pytest.fixture
    def subject(self, plugins, tmp_path):
        settings = plugins.settings("bright", batch_size=2)
        found = TTTMethodSubject.installed(plugins, self.method, tmp_path)
        return found.adapting(lambda: plugins.adapter("bright", settings))


class TestTeacher(TestBrightness):
    method = "teacher"


@pytest.mark.slow
def test_pip_installs_the_plugin_into_an_empty_environment(tmp_path):
    """Built and installed for real, beside the core and libraries of this environment."""
    pytest.importorskip("hatchling", reason="builds the plugin without network")
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    target = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install = "pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check --target"
    subprocess.run([sys.executable, "-m", *install.split(), target, HERE / "mirror"], check=True)
    here = os.pathsep.join(path for path in sys.path if path)
    shown = subprocess.run(
        [python, "-m", "anydet.cli", "adapters", "show", "bright", "--json"],
        env={**os.environ, "PYTHONPATH": here, "ANYDET_PLUGINS": "mirror"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shown.stdout)["options"][0]["name"] == "threshold"
