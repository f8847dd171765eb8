"""From flags to a run: its data, its folder, what is written, and how it goes on. No torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import anydet
from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.yolo import write_yolo
from anydet.errors import DatasetError, OptionError, PluginError, UnsupportedError
from anydet.plugins import Adapter, AdapterSpec, hookimpl
from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.training.config.resolve import MADE
from anydet.training.launch.preparation import prepare
from anydet.training.launch.run_meta import git_state, run_meta
from anydet.training.launch.start import launch, next_command

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "lr": {"default": 0.5},
        "width": {"type": "integer", "default": 8, "description": "Channels."},
        "norm": {"type": "boolean", "default": True, "description": "Normalize."},
    },
}
OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"size": {"type": "integer", "default": 64, "description": "Side."}},
}


class Recorder(Adapter):
    """Learns nothing, but keeps what it was asked for and leaves a checkpoint, as a run does."""

    runs: list = []  # noqa: RUF012  (emptied by the fixture)

    def predict(self, records):
        raise AssertionError("nobody predicts here")

    def train(self, dataset, run):
        assert dataset is run.dataset
        sys.stdout.write("chatter\n")
        Recorder.runs.append((self.settings, run))
        for path in (run.paths.last, run.paths.best, run.paths.train_metrics):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        return TrainResult(str(run.paths.best), {"AP": 0.5, "APl": float("nan")})


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """An adapter called recorder, and one that cannot be trained."""
    package = tmp_path / "recorder_schemas"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "training.json").write_text(json.dumps(SCHEMA))
    (package / "options.json").write_text(json.dumps(OPTIONS))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("recorder_plugin", "recorder_schemas"):
        sys.modules.pop(name, None)
    module = types.ModuleType("recorder_plugin")
    specs = (
        AdapterSpec(
            "recorder",
            "recorder_plugin:Recorder",
            "keeps what it is asked",
            capabilities=("predict", "train"),
            training_schema="recorder_schemas:training.json",
            options_schema="recorder_schemas:options.json",
        ),
        AdapterSpec("idle", "recorder_plugin:Recorder", "learns nothing"),
    )
    module.Recorder = Recorder
    module.register_adapters = hookimpl(lambda register: [register(spec) for spec in specs] and None)
    monkeypatch.setitem(sys.modules, "recorder_plugin", module)
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    Recorder.runs = []
    return Plugins([EntryPoint("recorder", "recorder_plugin", "anydet")])


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A YOLO folder with the splits train (4 images), val (2) and test (1)."""
    root = tmp_path_factory.mktemp("data") / "scenes"
    for split, images in (("train", 4), ("val", 2), ("test", 1)):
        part = root.with_name(split)
        write_yolo(SyntheticDataset(images, images, (64, 64), split), part, split)
        for kind in ("images", "labels"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            (part / kind / split).rename(root / kind / split)
    return root


def ready(plugins, scenes, config=None, **flags):
    said: list[str] = []
    flags = {"adapter": "recorder", "dataset": str(scenes), **flags}
    return prepare(
        {k: v for k, v in flags.items() if v is not None}, config, plugins=plugins, say=said.append
    )


def start(plugins, scenes, config=None, **flags):
    return launch(ready(plugins, scenes, config, **flags), command=("anydet", "train"))


def test_the_adapter_gets_the_run_that_was_asked_for(plugins, scenes):
    result = start(
        plugins, scenes, run_id="a", width="16", epochs="3", adapter_options={"size": "32"}, seed=9
    )
    settings, run = Recorder.runs[0]
    assert (run.adapter, run.settings.epochs, run.settings.lr) == ("recorder", 3, 0.5)
    assert run.options == {"width": 16, "norm": True}
    assert (settings.options, settings.seed, settings.batch_size, settings.device) == (
        {"size": 32},
        9,
        4,
        "cpu",
    )
    assert (run.dataset.split, len(run.dataset)) == ("train", 4)
    assert (run.validation.split, len(run.validation)) == ("val", 2)
    assert run.paths.root == Path("runs/a")
    assert result.checkpoint == "runs/a/checkpoints/best.pt"


def test_what_a_run_was_made_with_is_written_before_it_begins(plugins, scenes, monkeypatch):
    def fail(self, dataset, run):
        raise RuntimeError("the power went out")

    monkeypatch.setattr(Recorder, "train", fail)
    with pytest.raises(RuntimeError, match="power"):
        start(plugins, scenes, run_id="a", width=16)
    resolved = yaml.safe_load(Path("runs/a/reports/config_resolved.yaml").read_text("utf-8"))
    assert (resolved["width"], resolved["origins"]["width"]) == (16, "flag")
    assert (resolved["lr"], resolved["origins"]["lr"]) == (0.5, "adapter default")
    meta = json.loads(Path("runs/a/reports/run_meta.json").read_text("utf-8"))
    assert meta["strict"]
    assert meta["command"] == "anydet train"
    assert meta["packages"]["anydet"] == version("anydet")
    assert meta["data"]["train"]["images"] == 4
    assert meta["data"]["val"]["fingerprint"].startswith("sha256:")
    assert meta["hardware"]["cores"] >= 1


def test_a_resolved_config_starts_the_same_run_again(plugins, scenes):
    start(plugins, scenes, run_id="a", width=16, max_steps=5)
    again = ready(
        plugins, None, "runs/a/reports/config_resolved.yaml", adapter=None, dataset=None, run_id="b"
    )
    first = Recorder.runs[0][1]
    assert again.run.options == first.options
    assert {k: v for k, v in again.run.origins.items() if k != "run_id"} == {
        k: v for k, v in first.origins.items() if k != "run_id"
    }
    assert again.run.settings.epochs is None


def test_a_config_file_may_name_adapter_and_data(plugins, scenes, tmp_path):
    (tmp_path / "c.yaml").write_text(
        f"adapter: recorder\ndataset_root: {scenes}\nwidth: 4\nrun-id: from_file\n"
    )
    run = prepare({}, "c.yaml", plugins=plugins).run
    assert (run.adapter, run.options["width"], run.paths.root.name) == ("recorder", 4, "from_file")


@pytest.mark.parametrize(
    ("flags", "train", "val"),
    [
        ({}, "train", "val"),
        ({"split": "val"}, "val", None),
        ({"split": "test"}, "test", "val"),
        ({"val_split": "test"}, "train", "test"),
        ({"split": "val", "val_split": "val"}, "val", "val"),
        ({"val_dataset": "SCENES"}, "train", "val"),
        ({"val_dataset": "SCENES", "val_split": "test"}, "train", "test"),
    ],
)
def test_validation_takes_another_split(plugins, scenes, flags, train, val):
    flags = {key: str(scenes) if value == "SCENES" else value for key, value in flags.items()}
    run = ready(plugins, scenes, run_id="a", **flags).run
    assert run.dataset.split == train
    assert (run.validation and run.validation.split) == val


def test_only_the_first_training_images_are_taken(plugins, scenes):
    run = ready(plugins, scenes, run_id="a", max_images="3").run
    assert (len(run.dataset), len(run.validation)) == (3, 2)


def test_it_is_said_when_nothing_is_validated(plugins, scenes):
    said: list[str] = []
    flags = {"adapter": "recorder", "dataset": str(scenes), "split": "val", "run_id": "a"}
    prepare(flags, plugins=plugins, say=said.append)
    assert said[0] == "run runs/a"
    assert said[1].endswith("2 images, split val (of test, train, val)")
    assert said[2].startswith("validation: none")


def test_a_run_without_a_name_gets_one(plugins, scenes):
    ready_run = ready(plugins, scenes)
    assert ready_run.run.paths.root.name.startswith("recorder-2")
    assert ready_run.run.origins["run_id"] == MADE
    assert not ready_run.resolved.strict
    assert ready(plugins, scenes, run_contract=True).resolved.strict


def test_a_run_folder_has_the_seeds_plain_names(plugins, scenes):
    start(plugins, scenes, run_dir="here", metrics_jsonl="elsewhere/m.jsonl", checkpoint_out="w.pt")
    assert sorted(path.name for path in Path("here").iterdir()) == [
        "best.pt",
        "config_resolved.yaml",
        "run_meta.json",
    ]
    assert Path("elsewhere/m.jsonl").is_file()
    assert Path("w.pt").is_file()


@pytest.mark.parametrize("place", [{"run_id": "a"}, {"run_dir": "here"}])
def test_a_run_is_never_written_over(plugins, scenes, place):
    start(plugins, scenes, **place)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(OptionError, match="there is a run already") as caught:
        start(plugins, scenes, **place)
    assert "--resume" in caught.value.fix
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_run_goes_on_without_saying_anything_again(plugins, scenes):
    start(plugins, scenes, run_id="a", width=16, epochs=3)
    launch(prepare({"run_id": "a", "resume": True, "epochs": 9}, plugins=plugins), command=("again",))
    first, second = (run for _, run in Recorder.runs)
    assert (second.settings.epochs, second.settings.resume, second.options) == (9, True, first.options)
    meta = json.loads(Path("runs/a/reports/run_meta.json").read_text("utf-8"))
    assert meta["command"] == "anydet train"
    assert [again["command"] for again in meta["resumed"]] == ["again"]
    with pytest.raises(OptionError, match="width 16, not 4"):
        start(plugins, scenes, run_id="a", resume=True, width=4)
    with pytest.raises(OptionError, match="the run is one of adapter 'recorder', not 'idle'"):
        start(plugins, scenes, run_id="a", resume=True, adapter="idle")


def test_what_is_not_there_cannot_go_on(plugins, scenes):
    with pytest.raises(OptionError, match="no run to resume") as caught:
        start(plugins, scenes, run_id="a", resume=True)
    assert "leave out --resume" in caught.value.fix
    with pytest.raises(OptionError, match="no run to resume given"):
        start(plugins, scenes, resume="true")
    start(plugins, scenes, run_id="a")
    Path("runs/a/checkpoints/last.pt").unlink()
    with pytest.raises(OptionError, match="no checkpoint to resume from"):
        start(plugins, scenes, run_id="a", resume=True)


def test_a_run_does_not_go_on_with_other_data(plugins, scenes, tmp_path):
    start(plugins, scenes, run_id="a")
    moved = tmp_path / "moved"
    moved.symlink_to(scenes)
    start(plugins, moved, run_id="a", resume=True)
    write_yolo(SyntheticDataset(4, 77, (64, 64), "train"), tmp_path / "other", "train")
    with pytest.raises(OptionError, match="the train data has changed since"):
        start(plugins, tmp_path / "other", run_id="a", resume=True)
    write_yolo(SyntheticDataset(2, 77, (64, 64), "val"), tmp_path / "unseen", "val")
    with pytest.raises(OptionError, match="the val data has changed since"):
        start(plugins, scenes, run_id="a", resume=True, val_dataset=tmp_path / "unseen")


def test_what_cannot_be_trained_is_refused_before_anything_is_written(plugins, scenes, tmp_path):
    with pytest.raises(UnsupportedError, match="adapters that have it: recorder"):
        start(plugins, scenes, adapter="idle")
    with pytest.raises(PluginError, match="no adapter called 'recorde'"):
        start(plugins, scenes, adapter="recorde")
    with pytest.raises(OptionError, match="no adapter given"):
        start(plugins, scenes, adapter=None)
    with pytest.raises(OptionError, match="no data set is named"):
        start(plugins, None, dataset=None)
    with pytest.raises(DatasetError, match="no split 'night'"):
        start(plugins, scenes, split="night")
    with pytest.raises(OptionError, match="recorder has no option 'sise'"):
        start(plugins, scenes, adapter_options={"sise": 1})
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="not a folder"):
        start(plugins, scenes, run_dir="file/under")
    assert not Path("runs").exists()


def test_only_the_first_of_several_processes_writes(plugins, scenes, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="several processes need one name"):
        ready(plugins, scenes)
    monkeypatch.setenv("RANK", "1")
    start(plugins, scenes, run_id="a")
    assert not Path("runs/a/reports/config_resolved.yaml").exists()
    start(plugins, scenes, run_id="a")  # what rank 0 writes meanwhile is no earlier run


def test_the_next_command_predicts_with_the_run(plugins, scenes):
    prepared = ready(plugins, scenes, run_id="a")
    result = launch(prepared)
    words = next_command(prepared.run, result).split()
    assert words[:6] == ["anydet", "export-predictions", "--adapter", "recorder", "--checkpoint", "runs/a"]
    assert words[words.index("--split") + 1] == "val"


def test_the_python_way_takes_paths_and_open_data_sets(plugins, scenes):
    anydet.train("recorder", scenes, run_dir="p", plugins=plugins, width=2, epochs=1)
    opened = SyntheticDataset(6, 0, (64, 64), "train")
    anydet.train("recorder", opened, validation=scenes, run_id="q", plugins=plugins, max_images=5)
    (_, first), (_, second) = Recorder.runs
    assert (first.options["width"], first.settings.epochs, first.validation.split) == (2, 1, "val")
    assert (len(second.dataset), second.dataset.dataset, second.validation.split) == (5, opened, "val")
    anydet.train("recorder", opened, run_id="r", plugins=plugins)
    assert Recorder.runs[-1][1].validation is None


def run_command(plugins, *words):
    return CliRunner().invoke(main, ["train", *map(str, words)], obj=plugins)


def test_the_command_takes_any_key_of_the_adapter(plugins, scenes):
    line = ["--adapter", "recorder", "--width", "16", "--no-norm", f"--dataset={scenes}", "--lr", "1e-3"]
    done = run_command(plugins, *line, "--run-id", "a", "--grad-accum=2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "checkpoint": "runs/a/checkpoints/best.pt",
        "metrics": {"AP": 0.5, "APl": None},
    }
    assert "AP 0.5\nnext:\n  anydet export-predictions --adapter recorder" in done.stderr
    run = Recorder.runs[0][1]
    assert run.options == {"width": 16, "norm": False}
    assert (run.settings.lr, run.settings.gradient_accumulation_steps) == (1e-3, 2)
    assert run.origins["gradient_accumulation_steps"] == "flag"


@pytest.mark.parametrize("said", [["c.json"], ["--config", "c.json"], ["--config=c.json"]])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_config_may_stand_anywhere_among_the_flags(plugins, scenes, tmp_path, position, said):
    (tmp_path / "c.json").write_text(json.dumps({"adapter": "recorder", "dataset": str(scenes), "seed": 5}))
    words = ["--width", "16", "--run-id", "a"]
    done = run_command(plugins, *words[:position], *said, *words[position:])
    assert done.exit_code == 0, done.output
    run = Recorder.runs[0][1]
    assert (run.settings.seed, run.options["width"]) == (5, 16)


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        ((), 2, "no CONFIG and no adapter given"),
        (("--nonsense",), 2, "no CONFIG and no adapter given"),
        (("--adapter", "recorder", "--dataset", "d", "--widht", "3"), 2, "did you mean 'width'?"),
        (("--adapter", "recorder", "--epochs", "many"), 2, "is not a valid integer"),
        (("--adapter", "recorder", "--width", "many"), 1, "--width: 'many' is not of type 'integer'"),
        (("--adapter", "recorder", "a.yaml", "b.yaml"), 2, "unexpected argument 'b.yaml'"),
        (("--adapter", "recorder", "--config", "a.yaml", "b.yaml"), 2, "unexpected argument 'b.yaml'"),
        (("--adapter", "recorder", "b.yaml", "--config", "b.yaml"), 2, "unexpected argument 'b.yaml'"),
        (("--adapter", "recorder", "--config", "nowhere.yaml"), 1, "no such config file"),
        (("--adapter", "recorder", "-x"), 2, "unexpected argument '-x'"),
        (("--adapter", "recorder", "nowhere.yaml"), 1, "no such config file"),
        (("--resume",), 1, "no run to resume given"),
    ],
)
def test_wrong_words_are_told_from_wrong_values(plugins, words, exit_code, message):
    done = run_command(plugins, *words)
    assert done.exit_code == exit_code, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_diagnose_takes_one_config_as_train_does(plugins):
    done = CliRunner().invoke(main, ["diagnose", "--config", "a.yaml", "b.yaml"], obj=plugins)
    assert done.exit_code == 2, done.output
    assert "unexpected argument 'b.yaml'" in done.output


def test_the_command_module_is_light():
    code = (
        "import sys, anydet.commands.train\n"
        "print(sorted({'numpy', 'torch', 'rich', 'jsonschema', 'yaml'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_training_keys_are_shown_with_the_adapter(plugins):
    shown = CliRunner().invoke(main, ["adapters", "show", "recorder"], obj=plugins).stdout
    assert "training key  takes    default" in shown
    assert "lr            number   0.5      Base learning rate." in shown
    as_json = CliRunner().invoke(main, ["adapters", "show", "recorder", "--json"], obj=plugins).stdout
    assert [row["name"] for row in json.loads(as_json)["training"]] == ["lr", "width", "norm"]


def test_git_is_noted_where_there_is_one(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, env={**os.environ, "HOME": str(tmp_path)})
    state = git_state(tmp_path)
    assert state is not None
    assert (len(state["commit"]), state["dirty"]) == (40, False)
    (tmp_path / "new").touch()
    assert git_state(tmp_path) == {**state, "dirty": True}


def test_a_run_meta_is_plain_json(plugins, scenes):
    meta = run_meta(ready(plugins, scenes).run, command=["anydet", "train", "a b"])
    assert json.loads(json.dumps(meta)) == meta
    assert meta["command"] == "anydet train 'a b'"
    assert meta["processes"] == 1
