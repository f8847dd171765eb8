"""A plugin can be wrong in any way, and only it falls: broken packages x commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.slow

REGISTERS = """
import sys, os
from pathlib import Path
from anydet.plugins import *
PLUGIN_API = 2
"""

FORMAT = """
@hookimpl
def register_datasets(register):
    register(DatasetSpec("broken", "broken:FORMAT"))

class Format:
    name = "broken"
    def matches(self, path):
        {matches}
    def open(self, path, split, images):
        {open}

FORMAT = {factory}
"""


def data_format(matches="return False", open_="raise RuntimeError('broken open')", factory="Format()"):
    return FORMAT.format(matches=matches, open=open_, factory=factory)


def registered(hook, spec, more=""):
    return f"@hookimpl\ndef register_{hook}(register):\n    register({spec})\n{more}"


ENGINE = 'EngineSpec("broken", "broken:Engine", priority=99)'

# What is in the package -> the text of its module.
HARMLESS_TO_OTHERS = {
    "syntax": "def (",
    "import raises": "raise RuntimeError('broken import')",
    "import exits": "import sys; sys.exit(0)",
    "import recurses": "def f(): f()\nf()",
    "import prints": "print('noise'); import os; os.write(1, b'noise')" + REGISTERS,
    "import closes stdout": "import sys; sys.stdout.close()" + REGISTERS,
    "import closes both streams": "import sys; sys.stdout.close(); sys.stderr.close()" + REGISTERS,
    "hook is a generator": REGISTERS
    + "@hookimpl\ndef register_adapters(register):\n    register(AdapterSpec('x', 'a:b'))\n    yield",
    "import speaks in colors": "raise RuntimeError('\\x1b[31mred\\x1b[0m \\x07')",
    "error without text": "class E(Exception):\n    def __str__(self): raise ValueError\nraise E()",
    "hook raises": REGISTERS + "@hookimpl\ndef register_adapters(register):\n    raise KeyError('broken')",
    "hook exits": REGISTERS + "@hookimpl\ndef register_adapters(register):\n    sys.exit(0)",
    "hook is misspelt": REGISTERS + "@hookimpl\ndef register_adaptor(register):\n    pass",
    "spec of no type": REGISTERS + registered("adapters", "'toy'"),
    "tasks are a number": REGISTERS + registered("adapters", "AdapterSpec('broken', 'a:b', tasks=5)"),
    "name of core": REGISTERS + registered("commands", "CommandSpec('eval', 'broken:x')"),
    "api of tomorrow": "PLUGIN_API = 99\nfrom anydet.plugins import hookimpl\n"
    + registered("adapters", "AdapterSpec('x', 'a:b')"),
    "format is a class": REGISTERS + data_format(factory="Format"),
    "format is nothing": REGISTERS + data_format(factory="None"),
    "format is missing": REGISTERS + registered("datasets", "DatasetSpec('broken', 'broken:MISSING')"),
    "matches raises": REGISTERS + data_format("raise RuntimeError('broken matches')"),
    "matches exits": REGISTERS + data_format("sys.exit(0)"),
    "matches gives text": REGISTERS + data_format("return 'yes'"),
    "matches prints": REGISTERS + data_format("print('noise'); os.write(1, b'noise'); return False"),
    "engine raises": REGISTERS
    + registered("engines", ENGINE, "class Engine:\n    def __init__(self): raise OSError('broken')"),
    "engine exits": REGISTERS
    + registered("engines", ENGINE, "class Engine:\n    def __init__(self): sys.exit(0)"),
    "evaluator raises": REGISTERS
    + registered(
        "evaluators",
        "EvaluatorSpec('broken', 'broken:Evaluator', default=False)",
        "class Evaluator:\n    def __init__(self, gt): raise RuntimeError('broken evaluator')",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("work")
    for line in (
        "synth --out scenes --images 2 --size 96x72",
        "export-predictions --adapter toy --dataset scenes --output predictions.json",
    ):
        assert anydet(line, here).returncode == 0
    return here


def anydet(line, cwd, site=None):
    paths = [str(site)] * (site is not None) + [os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "anydet.cli", *line.split()],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "ANYDET_CACHE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def install(site, text, name="broken", point="broken = broken"):
    (site / f"{name}.py").write_text(dedent(text))
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    content = f"[anydet]\n{point}\n"
    (info / "entry_points.txt").write_bytes(
        content if isinstance(content, bytes) else content.encode("latin-1")
    )
    return site


COMMANDS = (
    "--version",
    "--help",
    "adapters list",
    "adapters list --json",
    "validate-predictions predictions.json --dataset scenes --json",
    "eval-coco --dataset scenes --predictions predictions.json --json -",
    "eval --dataset scenes --predictions predictions.json --json -",
    "export-predictions --adapter toy --dataset scenes --output again.json",
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """All packages that are broken, installed beside each other; name of the package -> what is wrong."""
    site, wrong = tmp_path_factory.mktemp("site"), {}
    for number, (how, text) in enumerate(HARMLESS_TO_OTHERS.items()):
        name = f"broken{number}"
        install(site, text.replace("broken:", f"{name}:"), name, f"{name} = {name}")
        wrong[name] = how
    install(site, "", "latin", "br\xf6ken = br\xf6ken")
    return site, {**wrong, "latin": "names that are not UTF-8"}


@pytest.mark.parametrize("line", COMMANDS)
def test_broken_packages_leave_a_command_as_it_is(line, folder, broken):
    plain, done = anydet(line, folder), anydet(line, folder, broken[0])
    assert done.returncode == plain.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    if "--json" in line and "adapters" not in line:
        assert json.loads(done.stdout).get("metrics") == json.loads(plain.stdout).get("metrics")
    if line == "adapters list --json":
        listed = json.dumps(json.loads(done.stdout))
        missing = {how for name, how in broken[1].items() if name not in listed}
        # These load well, and are broken in what no list shows.
        assert missing <= {
            how for how in broken[1].values() if how.startswith(("evaluator", "import prints"))
        }


FAILING = {
    "open raises": (data_format("return True"), "eval-coco --dataset scenes --predictions predictions.json"),
    "open exits": (data_format("return True", "sys.exit(0)"), "check-dataset scenes"),
    "data set of nothing": (
        data_format("return True", "return 5"),
        "export-predictions --adapter toy --dataset scenes --output x.json",
    ),
    "scenes raise": (
        registered(
            "scenes",
            "SceneSpec('broken', 'broken:make', writers={'coco': 'broken:write'})",
            "def make(*_, **__): raise RuntimeError('broken scenes')",
        ),
        "synth --scene broken --out new --images 2",
    ),
    "scenes exit": (
        registered(
            "scenes",
            "SceneSpec('broken', 'broken:make', writers={'coco': 'broken:write'})",
            "def make(*_, **__): sys.exit(0)",
        ),
        "synth --scene broken --out new --images 2",
    ),
    "adapter exits": (
        registered("adapters", "AdapterSpec('broken', 'broken:make')", "def make(_): sys.exit(0)"),
        "export-predictions --adapter broken --dataset scenes --output x.json",
    ),
    "command raises": (
        registered(
            "commands",
            "CommandSpec('broken', 'broken:main')",
            "import click\n@click.command()\ndef main(): raise RuntimeError('broken command')",
        ),
        "broken",
    ),
    "engine asked for": (
        registered("engines", ENGINE, "class Engine:\n    def __init__(self): raise RuntimeError('broken')"),
        "eval-coco --dataset scenes --predictions predictions.json --engine broken",
    ),
}


@pytest.mark.parametrize("how", FAILING)
def test_what_needs_a_broken_plugin_fails_by_its_name(how, folder, tmp_path):
    text, line = FAILING[how]
    done = anydet(line, folder, install(tmp_path, REGISTERS + text))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "broken" in done.stderr
    assert "  fix: " in done.stderr
    assert not (folder / "new").exists()
    assert not list(folder.glob("x.json*"))


def test_of_two_packages_with_one_adapter_the_package_is_named(folder, tmp_path):
    for name in ("first", "second"):
        text = registered("adapters", "AdapterSpec('same', 'anydet_toy.adapter:ToyAdapter')")
        install(tmp_path, REGISTERS + text, name, f"{name} = {name}")
    done = anydet("export-predictions --adapter same --dataset scenes --output y.json", folder, tmp_path)
    assert done.returncode == 1
    assert "several packages register the adapter 'same': first, second" in done.stderr
    assert "choose one: first:same or second:same" in done.stderr
    for name in ("first", "second"):
        line = f"export-predictions --adapter {name}:same --dataset scenes --output {name}.json --wrap"
        assert anydet(line, folder, tmp_path).returncode == 0
        assert json.loads((folder / f"{name}.json").read_text())["meta"]["adapter"] == f"{name}:same"


def test_of_two_packages_with_one_view_the_package_is_named(folder, tmp_path):
    for name, factory in (("first", "Mirrored"), ("second", "Missing")):
        text = registered("views", f"ViewSpec('same', 'anydet.adaptation.tta.views:{factory}')")
        install(tmp_path, REGISTERS + text, name, f"{name} = {name}")
    export = "export-predictions --adapter toy --dataset scenes --output v.json --wrap --tta-views original,"
    for line in (export + "same", "plugins check same"):
        refused = anydet(line, folder, tmp_path)
        assert refused.returncode == 1
        assert "choose one: first:same or second:same" in refused.stderr
    assert anydet(export + "first:same", folder, tmp_path).returncode == 0
    assert "first:same" in json.dumps(json.loads((folder / "v.json").read_text())["meta"])
    for name, code in (("first", 0), ("second", 1)):
        done = anydet(f"plugins check {name}:same --json", folder, tmp_path)
        assert done.returncode == code, done.stderr
        rows = json.loads(done.stdout)
        assert {(row["kind"], row["name"]) for row in rows} == {("views", f"{name}:same")}
