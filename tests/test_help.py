"""Commands explain themselves: help ends with an example that runs, results come as JSON, errors have a fix.

Commands are found through click, so that a new one is held to this without a line here.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.onnx_models import described_model
from tests.panoptic import PANOPTIC, write_panoptic

from anydet.cli import main
from anydet.plugins.manager import Plugins
from anydet.report.server.server import BrowseServer

ROOT = Path(__file__).parents[1]
OURS = ",".join(path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))
WRITERS = {"demo", "synth", "export-predictions", "ttt-statistics", "fuse", "transformers save"}
"""Commands that print no result: what they make is a file."""
SLOW = {
    "continual",
    "demo",
    "adapters check",
    "diagnose",
    "doctor",
    "export-onnx",
    "quantize",
    "train",
    "transformers",
    "transformers save",
    "ttt-compare",
    "ttt-statistics",
    "adaptivestream",
    "adaptivestream quick-test",
}


LONG = {"continual", "train"}
"""Commands whose example takes long; it runs once, with ``--json``."""


def walk(command: click.Command, ctx: click.Context, name: str = ""):
    """(name as typed, command) of a command and of all below it."""
    yield name, command
    if isinstance(command, click.Group):
        for part in command.list_commands(ctx):
            below = command.get_command(ctx, part)
            assert below is not None
            yield from walk(below, click.Context(below, ctx, part), f"{name} {part}".strip())


def find_commands() -> dict[str, click.Command]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANYDET_PLUGINS", OURS)
        plugins = Plugins.from_env()
    return dict(walk(main, click.Context(main, info_name="anydet", obj=plugins)))


COMMANDS = find_commands()
SPECS = Plugins(only=OURS.split(",")).specs("commands")
LEAVES = [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)]


def named(names, *, slow=SLOW):
    return [
        pytest.param(name, id=name or "anydet", marks=pytest.mark.slow if name in slow else ())
        for name in names
    ]


def run(line: str):
    """What one line of an example does; ``VARIABLE=value`` may stand before ``anydet``."""
    words = shlex.split(line)
    at = words.index("anydet")
    variables = dict(word.split("=", 1) for word in words[:at])
    return CliRunner(env=variables).invoke(main, words[at + 1 :], prog_name="anydet")


def example(name: str) -> list[str]:
    """The lines of a command's example, those ended by a backslash joined."""
    shown = run(f"anydet {name} --help")
    assert shown.exit_code == 0, shown.output
    lines = [line.strip() for line in shown.stdout.rstrip().splitlines()]
    assert "Example:" in lines, f"'anydet {name} --help' shows no example"
    return "\n".join(lines[lines.index("Example:") + 1 :]).replace("\\\n", " ").splitlines()


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    """Files that commands are tried on; of these, an example takes a training run and a setting as given."""
    folder = tmp_path_factory.mktemp("given")
    scenes, predictions, broken = folder / "data/scenes", folder / "predictions.json", folder / "broken.json"
    for line in (
        f"anydet synth --out {scenes} --images 3",
        f"anydet export-predictions --adapter toy --dataset {scenes} --output {predictions} --wrap",
    ):
        assert run(line).exit_code == 0, line
    detection = {"class_id": 0, "score": 2, "bbox": [0.5, 0.5, 0.1, 0.1]}
    broken.write_text(json.dumps([{"image": "a.png", "detections": [detection]}]))
    (folder / "runs/exp01/reports").mkdir(parents=True)
    metrics = [json.dumps({"step": i, "train_loss": 1 / i, "learning_rate": 1e-3}) for i in range(1, 6)]
    (folder / "runs/exp01/reports/train_metrics.jsonl").write_text("\n".join(metrics))
    (folder / "setting.yaml").write_text(
        "{adapter: adaptivestream, dataset: data/shapes, methods: {norm: }, corruptions: [fog]}"
    )
    (folder / "protocol.yaml").write_text("score_threshold: 0.001")
    described_model(folder / "model.onnx")
    write_panoptic(folder)
    return folder


EXAMPLES_HAVE = ("runs/exp01", "setting.yaml", "protocol.yaml", "model.onnx", *PANOPTIC)
"""What examples take as given: a training, which is too long for one, files written by hand, and a model."""
GIVEN = ("data/scenes", "predictions.json", "broken.json", *EXAMPLES_HAVE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANYDET_PLUGINS", OURS)
    # Its example ends by Ctrl-C.
    monkeypatch.setattr(BrowseServer, "serve", lambda server, contents, idle_s: server.server_close())
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    return tmp_path


def provide(given: Path, folder: Path, *names: str) -> None:
    """Copy what is given to where a command looks for it."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (given / name).is_dir() else shutil.copy
        copy(given / name, folder / name)


def run_all(lines: list[str]) -> None:
    for line in lines:
        done = run(line)
        assert done.exit_code == 0, f"$ {line}\n{done.output}"


def prepare(name: str, lines: list[str]) -> None:
    """Run what an example does before it comes to the command itself."""
    run_all([line for line in lines[:-1] if f"anydet {name}" not in line])


@pytest.mark.parametrize("name", SPECS)
def test_a_command_is_listed_with_the_first_sentence_of_its_help(name):
    assert SPECS[name].summary == COMMANDS[name].get_short_help_str(limit=200)


def test_listing_commands_imports_none_of_them():
    code = (
        "import sys; from anydet.cli import main; main(['--help'], standalone_mode=False);"
        "print([name for name in sys.modules if name.startswith('anydet.commands.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("[]")


@pytest.mark.parametrize("name", named(COMMANDS, slow=()))
def test_help_ends_with_an_example_of_the_command_itself(name):
    lines = example(name)
    assert any(f"anydet {name}".strip() in line for line in lines)
    assert all("anydet " in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", named(sorted(set(COMMANDS) - LONG)))
def test_the_example_runs(name, given, folder):
    provide(given, folder, *EXAMPLES_HAVE)
    run_all(example(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", named(sorted(set(LEAVES) - WRITERS)))
def test_results_come_as_json(name, given, folder):
    lines = example(name)
    provide(given, folder, *EXAMPLES_HAVE)
    prepare(name, lines)
    option = next((o for o in COMMANDS[name].params if "--json" in o.opts), None)
    assert option is not None, f"'anydet {name}' has no --json"
    line = lines[-1].replace(" --json", "")
    json.loads(run(f"{line} --json").stdout)


@pytest.mark.parametrize("name", named(sorted(set(LEAVES) - WRITERS), slow=()))
def test_json_takes_a_path_in_every_command(name):
    (option,) = (o for o in COMMANDS[name].params if "--json" in o.opts)
    assert (option.is_flag, option.metavar, option.name) == (False, "[PATH]", "json_path")


@pytest.mark.slow
@pytest.mark.parametrize("name", named(LEAVES))
def test_a_missing_file_and_an_unknown_name_are_errors_that_say_what_to_do(name, given, folder):
    lines = example(name)
    provide(given, folder, *EXAMPLES_HAVE)
    prepare(name, lines)
    words = lines[-1].split()
    for i, word in enumerate(words):
        if (folder / word).exists() or word in {"toy", "onnxruntime"}:
            line = " ".join([*words[:i], "missing", *words[i + 1 :]])
            done = run(line)
            assert done.exit_code in {1, 2}, f"$ {line}\n{done.output}"
            assert isinstance(done.exception, SystemExit), f"$ {line}\n{done.exception!r}"
            assert done.exit_code == 2 or "\n  fix: " in done.output, f"$ {line}\n{done.output}"


@pytest.mark.parametrize("name", named(LEAVES, slow=()))
def test_an_unknown_option_is_wrong_usage(name):
    assert run(f"anydet {name} --no-such-option").exit_code == 2


@pytest.mark.parametrize(
    "line",
    [
        "anydet export-predictions --adapter toy --dataset data/scenes --output p.txt",
        "anydet export-predictions --adapter toy --option mask=1 --dataset data/scenes --output p.json",
        "anydet export-predictions --adapter toy --option masks=7 --dataset data/scenes --output p.json",
        "anydet export-predictions --adapter toy --option masks --dataset data/scenes --output p.json",
        "anydet export-predictions --adapter toy --dataset data/scenes --split none --output p.json",
        "anydet export-predictions --adapter toy --dataset broken.json --output p.json",
        "anydet export-predictions --adapter toy --dataset data/scenes --tta-views none --output p.json",
        "anydet export-predictions --adapter toy --dataset data/scenes --tta-views scale:x --output p.json",
        "anydet export-predictions --adapter toy --dataset data/scenes --tta-views hflip:1 --output p.json",
        "anydet export-predictions --adapter toy --dataset data/scenes --tta --tta-fusion no --output p.json",
        "anydet export-predictions --adapter toy --dataset data/scenes --ttt --output p.json",
        "anydet export-predictions --adapter onnxruntime --dataset data/scenes --output p.json",
        "anydet eval-coco --dataset data/scenes --predictions broken.json",
        "anydet eval-coco --dataset data/scenes --predictions predictions.json --engine none",
        "anydet eval-coco --dataset data/scenes --predictions predictions.json --iou-type keypoints",
        "anydet synth --out data/scenes",
        "anydet adapters show none",
        "anydet adapters check onnxruntime",
        "anydet adaptation show none",
    ],
)
def test_simple_wrong_uses_say_what_to_do(line, given, folder):
    provide(given, folder, *GIVEN)
    done = run(line)
    assert done.exit_code == 1, done.output
    assert "Error: " in done.output
    assert "\n  fix: " in done.output
