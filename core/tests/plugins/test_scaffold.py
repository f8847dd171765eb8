"""``anydet adapters new``: what it writes works, what it refuses says what to type."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.plugins import scaffold
from anydet.plugins.manager import Plugins
from anydet.plugins.scaffold import write_plugin
from anydet.testing import KITS, AdapterSubject, train_briefly


@pytest.fixture
def kind():
    return "numpy"


@pytest.fixture
def installed(kind, tmp_path, monkeypatch):
    """The plugins of an environment into which a new package was installed."""
    written = write_plugin("my_det", tmp_path / "new", kind=kind, plugins=Plugins([]))
    monkeypatch.syspath_prepend(written.folder / "src")
    yield Plugins([EntryPoint(written.name, written.package, "anydet")])
    for name in [name for name in sys.modules if name.startswith(written.package)]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", scaffold.FILES)
def test_a_new_adapter_keeps_every_promise_of_the_kit(kind, installed, tmp_path):
    subject = AdapterSubject.installed(installed, "my_det", tmp_path / "checks")
    if kind == "torch":
        pytest.importorskip("torch")
        subject = replace(subject, train=train_briefly)
    outcomes = list(KITS["adapters"].run(subject))
    assert not [outcome for outcome in outcomes if outcome.state == "FAIL"]
    skipped = {outcome.reason for outcome in outcomes if outcome.state == "skip"}
    undeclared = [reason for reason in skipped if "capability" in reason or reason == "it needs pixels"]
    assert set(undeclared) == skipped, "only what it does not declare is left out"


@pytest.mark.slow
def test_a_new_adapter_finds_the_things_of_synthetic_scenes(installed):
    dataset = SyntheticDataset(6)
    with installed.adapter("my_det", installed.settings("my_det")) as adapter:
        results = list(adapter.predict(list(dataset)))
        assert adapter.classes == dataset.classes
    found = sum(len(result) for result in results)
    assert 0.7 < found / len(dataset.ground_truth()) < 1.3


def test_its_options_are_checked_and_change_what_it_finds(installed):
    dataset = list(SyntheticDataset(3))
    with installed.adapter("my_det", installed.settings("my_det", options=["min_area_px=100000"])) as adapter:
        assert [len(result) for result in adapter.predict(dataset)] == [0, 0, 0]
    with pytest.raises(OptionError, match="did you mean 'tolerance_deg'"):
        installed.settings("my_det", options=["tolerance=1"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch"])
def test_a_new_network_learns(installed, tmp_path):
    """The whole way, on a task that takes seconds: the losses fall, and the same scenes are found again."""
    pytest.importorskip("torch")
    with installed.adapter("my_det", installed.settings("my_det")) as adapter:
        keys = {"epochs": 60, "image_size": 64, "hflip_prob": 0.0, "val_every": 60}
        result = train_briefly(adapter, tmp_path, **keys)
    assert result.metrics["AP50"] > 0.8, "four scenes are learned by heart"


@pytest.mark.parametrize("kind", scaffold.FILES)
def test_folder_distribution_import_and_adapter_have_one_name(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = write_plugin("my_det", kind=kind, plugins=Plugins([]))
    text = (tmp_path / "my_det/pyproject.toml").read_text("utf-8")
    assert (written.folder, written.distribution) == (Path("my_det"), "anydet-my-det")
    assert 'name = "anydet-my-det"' in text
    assert 'my_det = "anydet_my_det"' in text
    assert (tmp_path / "my_det/src/anydet_my_det/__init__.py").exists()
    files = [path for path in (tmp_path / "my_det").rglob("*") if path.is_file()]
    assert sorted(written.files) == sorted(p.relative_to(tmp_path / "my_det").as_posix() for p in files)
    for path in files:
        assert not re.search(r"\$\w|\$\{", path.read_text("utf-8").replace('"$schema"', "")), path


def test_it_requires_the_anydet_that_wrote_it(tmp_path):
    write_plugin("my_det", tmp_path / "new", plugins=Plugins([]))
    major, minor = version("anydet").split(".")[:2]
    assert f'"anydet>={major}.{minor},<' in (tmp_path / "new/pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("found", "wanted"), [("0.1.0", ">=0.1,<0.2"), ("0.9.3rc1", ">=0.9,<0.10"), ("2.4.1", ">=2.4,<3")]
)
def test_the_range_ends_before_the_next_version_that_may_break(found, wanted):
    assert scaffold._compatible(found) == wanted


@pytest.mark.parametrize(
    ("name", "problem", "better"),
    [
        ("my-det", "is not a valid adapter name", "my_det"),
        ("MyDet", "is not a valid adapter name", "mydet"),
        ("my__det", "is not a valid adapter name", "my_det"),
        ("_det", "is not a valid adapter name", "det"),
        ("3d", "is not a valid adapter name", "detector_3d"),
        ("../up", "is not a valid adapter name", "up"),
        ("détecteur", "is not a valid adapter name", "d_tecteur"),
        ("", "is not a valid adapter name", "my_detector"),
        ("class", "is a word of Python", "class_detector"),
        ("precomputed", "is taken by anydet itself", "my_precomputed"),
        ("anydet", "is taken by anydet itself", "my_anydet"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(name, problem, better, tmp_path):
    with pytest.raises(OptionError, match=problem) as caught:
        write_plugin(name, tmp_path / "new", plugins=Plugins([]))
    assert caught.value.fix == f"anydet adapters new {better}"
    assert not list(tmp_path.iterdir())
    scaffold.check_name(better, Plugins([]))


def test_the_name_of_an_installed_plugin_is_taken_though_it_does_not_load(tmp_path, monkeypatch):
    info = tmp_path / "anydet_sad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anydet-sad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[anydet]\nsad = a_module_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OptionError, match="taken by the installed package anydet-sad"):
        write_plugin("sad", tmp_path / "new", plugins=Plugins(only=["sad"]))


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match="not an empty folder"):
        write_plugin("my_det", tmp_path, plugins=Plugins([]))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    write_plugin("my_det", tmp_path, plugins=Plugins([]))
    assert (tmp_path / "pyproject.toml").exists()


def test_nothing_is_left_where_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setitem(scaffold.FILES, "numpy", {**scaffold.FILES["numpy"], "last": "no-such-template"})
    with pytest.raises(FileNotFoundError):
        write_plugin("my_det", tmp_path / "new", plugins=Plugins([]))
    assert not list(tmp_path.iterdir())
