"""``anydet train``: flags of core and of the adapter, and a CONFIG among them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from anydet.cli import main

pytestmark = pytest.mark.slow


def run_command(plugins, *words):
    return CliRunner().invoke(main, ["train", *map(str, words)], obj=plugins)


def test_the_command_takes_any_key_of_the_adapter(recorder_plugins, split_scenes, recorder):
    line = [
        "--adapter",
        "recorder",
        "--width",
        "16",
        "--no-norm",
        f"--dataset={split_scenes}",
        "--lr",
        "1e-3",
    ]
    done = run_command(recorder_plugins, *line, "--run-id", "a", "--grad-accum=2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "checkpoint": "runs/a/checkpoints/best.pt",
        "metrics": {"AP": 0.5, "APl": None},
    }
    assert "AP 0.5\nnext:\n  anydet export-predictions --adapter recorder" in done.stderr
    run = recorder.runs[0][1]
    assert run.options == {"width": 16, "norm": False}
    assert (run.settings.lr, run.settings.gradient_accumulation_steps) == (1e-3, 2)
    assert run.origins["gradient_accumulation_steps"] == "flag"


@pytest.mark.parametrize("said", [["c.json"], ["--config", "c.json"], ["--config=c.json"]])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_config_may_stand_anywhere_among_the_flags(
    recorder_plugins, split_scenes, tmp_path, position, said, recorder
):
    (tmp_path / "c.json").write_text(
        json.dumps({"adapter": "recorder", "dataset": str(split_scenes), "seed": 5})
    )
    words = ["--width", "16", "--run-id", "a"]
    done = run_command(recorder_plugins, *words[:position], *said, *words[position:])
    assert done.exit_code == 0, done.output
    run = recorder.runs[0][1]
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
def test_wrong_words_are_distinguished_from_wrong_values(recorder_plugins, words, exit_code, message):
    done = run_command(recorder_plugins, *words)
    assert done.exit_code == exit_code, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_the_command_module_is_light():
    code = (
        "import sys, anydet.commands.train\n"
        "print(sorted({'numpy', 'torch', 'rich', 'jsonschema', 'yaml'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
