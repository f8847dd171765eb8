"""The comparison protocol: reading a setting, running what is missing, and the tables."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
import yaml

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.protocol import BASELINE, CLEAN, Comparison, Outcome, Runs, Setting
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.errors import OptionError
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.evaluation.tables import markdown
from anydet.plugins import AdapterSpec, hookimpl
from anydet.plugins.manager import Plugins

METHODS = {"norm": {"preset": "norm_safe"}, "sharp": {"method": "sar", "steps": 2, "options": {"rho": 0.1}}}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes whose shapes are called as the detector's two classes."""
    folder = tmp_path_factory.mktemp("scenes") / "data"
    write_coco(SyntheticDataset(6, 0, (64, 64)), folder)
    (file,) = (folder / "annotations").glob("*.json")
    truth = json.loads(file.read_text())
    ids = [category["id"] for category in truth["categories"]][:2]
    truth["categories"] = [{"id": id_, "name": name} for id_, name in zip(ids, ("cat", "dog"), strict=True)]
    for annotation in truth["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"] % 2]
    file.write_text(json.dumps(truth))
    return folder


@pytest.fixture
def plugins(monkeypatch):
    """The kit's detector as an adapter that is installed."""
    import sys

    module = ModuleType("registers_grid")
    module.PLUGIN_API = 2
    spec = AdapterSpec(
        "grid", "anydet.testing.grid:GridDetector", capabilities=("predict", "ttt", "features")
    )
    module.register_adapters = hookimpl(lambda register: register(spec), specname="register_adapters")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Plugins([EntryPoint("grid", module.__name__, "anydet")])


@pytest.fixture
def write(tmp_path, scenes):
    def make(**keys):
        given = {
            "adapter": "grid",
            "dataset": str(scenes),
            "max_images": 4,
            "corruptions": ["fog"],
            "severities": [2, 5],
            "methods": METHODS,
            "resamples": 20,
        }
        path = tmp_path / "setting.yaml"
        path.write_text(yaml.safe_dump({**given, **keys}, sort_keys=False))
        return path

    return make


def test_a_setting_is_read_with_its_methods_resolved(write, plugins):
    setting = Setting.read(write(seeds=[0, 3], methods={**METHODS, "none": None, "tent": None}), plugins)
    assert setting.conditions == (CLEAN, "fog:2", "fog:5")
    assert setting.seeds == (0, 3)
    assert [(name, ttt.method) for name, ttt in setting.methods.items()] == [
        ("norm", "norm"),
        ("sharp", "sar"),
        ("tent", "tent"),
    ]
    assert setting.methods["norm"].settings.reset == "stream"
    assert setting.methods["sharp"].settings.options["rho"] == 0.1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"metods": {}}, "no option 'metods'.*did you mean 'methods'"),
        ({"methods": {"norm": {"preset": "nrm_safe"}}}, "preset 'nrm_safe'.*did you mean 'norm_safe'"),
        ({"methods": {"x": {"method": "tent", "step": 1}}}, "method 'x': unknown key 'step'"),
        ({"methods": {"x": {"method": "tent", "steps": "two"}}}, "steps"),
        ({"corruptions": ["fogg"]}, "no corruption called 'fogg'"),
        ({"severities": [6]}, "severities"),
        ({"seeds": []}, "seeds"),
    ],
)
def test_a_wrong_key_is_named(keys, message, write, plugins):
    with pytest.raises(OptionError, match=message):
        Setting.read(write(**keys), plugins)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00", "1: 2"])
def test_what_is_no_setting_is_refused(text, tmp_path, plugins):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(OptionError, match=r"s\.yaml"):
        Setting.read(tmp_path / "s.yaml", plugins)


@pytest.mark.slow
def test_runs_are_compared_and_done_once(write, plugins, tmp_path, monkeypatch):
    runs = Runs(Setting.read(write(), plugins), tmp_path / "out", plugins, PycocotoolsEngine())
    steps = []
    found = runs.run(steps.append)
    assert len(steps) == len(runs) == 9
    assert list(found.outcomes) == [CLEAN, "fog:2", "fog:5"]
    assert list(found.outcomes["fog:5"]) == [BASELINE, "norm", "sharp"]
    assert found.outcomes[CLEAN][BASELINE].difference is None
    assert found.outcomes["fog:5"]["norm"].difference is not None
    meta = json.loads((tmp_path / "out/predictions/fog-5/norm-0.json").read_text())["meta"]
    assert meta["ttt"]["method"] == "norm"
    assert meta["images"] == 4

    def fail(*_args, **_kwargs):
        raise AssertionError("a run that is there is done again")

    monkeypatch.setattr("anydet.adaptation.ttt.protocol.export_predictions", fail)
    monkeypatch.setattr("anydet.adaptation.ttt.protocol.compare", fail)
    assert runs.run().as_dict() == found.as_dict()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [BASELINE, "norm"])
def test_a_comparison_that_was_killed_goes_on(killed, write, plugins, tmp_path, monkeypatch):
    """A kill leaves the unfinished predictions of one run."""
    from anydet.adaptation.ttt import protocol

    runs = Runs(Setting.read(write(), plugins), tmp_path / "out", plugins, PycocotoolsEngine())
    export = protocol.export_predictions

    class KilledError(BaseException):
        pass

    def export_until(pipeline, dataset, path, **options):
        if path.name != f"{killed}-0.json" or "fog-2" not in str(path):
            return export(pipeline, dataset, path, **options)
        for suffix in (".partial", ".partial.log"):
            path.with_name(path.name + suffix).write_text("{}\n")
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "export_predictions", export_until)
        with pytest.raises(KilledError):
            runs.run()
    assert list((tmp_path / "out").rglob("*.partial"))
    assert runs.run().images == 4
    assert not list((tmp_path / "out").rglob("*.partial*"))


@pytest.mark.slow
def test_only_what_changed_is_done_again(write, plugins, tmp_path, monkeypatch):
    from anydet.adaptation.ttt import protocol

    setting = Setting.read(write(severities=[2]), plugins)
    Runs(setting, tmp_path / "out", plugins, PycocotoolsEngine()).run()
    again = []
    own = protocol.export_predictions

    def export(pipeline, dataset, output, **given):
        again.append(output.relative_to(tmp_path / "out/predictions").as_posix())
        return own(pipeline, dataset, output, **given)

    monkeypatch.setattr(protocol, "export_predictions", export)
    ttt = setting.methods["norm"]
    other = replace(ttt, settings=replace(ttt.settings, batch_size=2))
    changed = replace(setting, methods={**setting.methods, "norm": other})
    Runs(changed, tmp_path / "out", plugins, PycocotoolsEngine()).run()
    assert again == ["clean/norm-0.json", "fog-2/norm-0.json"]


def outcome(ap, difference=None, low=None, high=None):
    return Outcome(ap, difference, low, high, 0.5)


def test_the_summary_states_what_was_won_back_and_where_it_is_sure():
    comparison = Comparison(
        {
            "clean": {"none": outcome(0.6), "norm": outcome(0.59, -0.01, -0.02, 0.01)},
            "fog:5": {"none": outcome(0.2), "norm": outcome(0.4, 0.2, 0.1, 0.3)},
            "snow:5": {"none": outcome(0.4), "norm": outcome(0.38, -0.02, -0.03, -0.01)},
        },
        images=400,
        seeds=1,
    )
    none, norm = comparison.summary.rows
    assert none[:3] == ("none", 0.6, None)
    assert none[3] == pytest.approx(0.3)
    name, clean, change, corrupted, gain, won, better, worse, seconds = norm
    assert (name, clean, change, better, worse, seconds) == ("norm", 0.59, -0.01, 1, 1, 0.5)
    assert corrupted == pytest.approx(0.39)
    assert gain == pytest.approx(0.09)
    assert won == pytest.approx(0.09 / 0.3)
    assert comparison.summary.title.startswith("AP, 400 images, 2 corrupted conditions, 1 seed;")
    assert comparison.table.rows[1] == ("fog:5", 0.2, "+0.200 [+0.100, +0.300]")
    matrix, bars = comparison.figures
    assert matrix.values == ((-0.01,), (0.2,), (-0.02,))
    assert bars.bars[0].value == pytest.approx(0.09)
    text = markdown([comparison.table])
    assert "| fog:5 | 0.200 | +0.200 [+0.100, +0.300] |" in text


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "x" * 300, "", ".hidden"])
def test_names_of_methods_are_names_of_files(name, write, plugins):
    with pytest.raises(OptionError, match="names are up to 64"):
        Setting.read(write(methods={name: {"method": "norm"}}), plugins)


def test_the_model_as_it_is_cannot_be_a_method(write, plugins):
    with pytest.raises(OptionError, match="'none' is the name of the model as it is"):
        Setting.read(write(methods={"none": {"method": "norm"}}), plugins)
    with pytest.raises(OptionError, match="no method to compare"):
        Setting.read(write(methods={"none": None}), plugins)


def test_numbers_as_people_write_them_are_read_and_wrong_ones_name_their_method(write, plugins):
    setting = Setting.read(write(methods={"t": {"method": "tent", "lr": "1e-5"}}, seeds=[1, 1]), plugins)
    assert setting.methods["t"].settings.lr == 1e-5
    assert setting.seeds == (1,)
    with pytest.raises(OptionError, match="method 't': steps"):
        Setting.read(write(methods={"t": {"method": "tent", "steps": 0}}), plugins)


@pytest.mark.slow
def test_other_statistics_are_another_run(write, plugins, scenes, tmp_path):
    from anydet.adaptation.ttt.source_statistics import collect_statistics
    from anydet.data.opening import open_dataset

    path = tmp_path / "source.npz"
    align = {"align": {"preset": "align_safe", "statistics": str(path)}}
    setting = Setting.read(write(methods=align, corruptions=["fog"], severities=[2]), plugins)
    digests = []
    for images in (4, 6):
        with plugins.adapter("grid", setting.recipe.settings) as adapter:
            collect_statistics(adapter, open_dataset(scenes), images=images).write(path)
        Runs(setting, tmp_path / "out", plugins, PycocotoolsEngine()).run()
        run = json.loads((tmp_path / "out/predictions/clean/align-0.run.json").read_text())
        digests.append(run["identity"])
    assert digests[0] != digests[1]
