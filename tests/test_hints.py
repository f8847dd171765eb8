"""Fix lines are true: commands, options and packages that they name exist, and no name is what was typed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.hints import HOLE, OURS, ROOT, all_options, exists, packages, published, untrue, untrue_fixes

from anydet.cli import main
from anydet.plugins.manager import Plugins
from anydet.plugins.packages import _PACKAGES
from anydet.trackers import _KNOWN

SOURCES = sorted([*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
NO_HINTS = {
    ("scaffold.py", "no command anydet itself"),  # "the name is of anydet itself"
    ("train_options.py", "no --key"),  # a placeholder: "keys as --key value"
    ("commands.py", "no --no-such-option"),  # the conformance kit asks for one that does not exist
    ("survey.py", "no --query-gpu"),  # of nvidia-smi
    ("power.py", "no --query-gpu"),
    ("run_meta.py", "no --porcelain"),  # of git
    ("hub.py", "no --local-dir"),  # of hf
}
"""Words that look like our options in texts that are no hints."""


def texts(path: Path) -> Iterator[str]:
    """Texts of a module but its docstrings; what an f-string puts in is ``HOLE``."""
    tree = ast.parse(path.read_text("utf-8"))
    left_out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out |= {id(one) for one in ast.walk(node) if one is not node}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_texts_name_exists(path):
    found = {fault: text for text in texts(path) for fault in untrue(text)}
    assert not {one: text for one, text in found.items() if (path.name, one) not in NO_HINTS}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("use --max-detectoins", "no --max-detectoins"),
        (f"leave out --ttt-{HOLE}", None),
        (f"leave out --tttt-{HOLE}", f"no --tttt-{HOLE}"),
        ("run 'anydet export-predictions --repair'", "anydet export-predictions has no --repair"),
        ("run 'anydet validate-predictions FILE --repair OUT'", None),
        ("see 'anydet adaptors list'", "no command anydet adaptors"),
        ("see 'anydet adapters lists'", "no command anydet adapters lists"),
        (f"anydet adapters new my_{HOLE}", None),
        ("train with --enable-mim", None),
        ("train with --enable-mime", "no --enable-mime"),
        ("pip install anydet-dummy", "no package anydet-dummy"),
        ("pip install anydet-toy", None),
        ("pip install 'anydet[plots]'", "no package anydet[plots]"),
        ("pip install --upgrade anydet", None),
    ],
)
def test_a_hint_that_is_untrue_is_found(text, fault):
    assert list(untrue(text)) == ([] if fault is None else [fault])


def test_of_a_command_that_is_known_only_its_own_options_are_true():
    assert not list(untrue("give --dataset", "eval"))
    assert list(untrue("give --repair", "eval")) == ["no --repair"]
    assert exists("--repair", all_options())


def test_packages_in_tables_are_published():
    assert set(_PACKAGES.values()) <= published()
    assert {package for package, *_ in _KNOWN.values()} <= published()


def test_the_packages_of_this_repository_are_those_that_are_published():
    assert {f"anydet-{name.replace('_', '-')}" for name in OURS} | {"anydet"} == {
        name for name in published() if name.startswith("anydet") and "[" not in name
    }


TYPED = ("memo", "toi", "dummy", "toyy", "onnx", "../x", "TOY", "torch", "x; curl y | sh")
LINES = (
    "adapters show NAME",
    "adapters check NAME",
    "adaptation show NAME",
    "plugins check NAME",
    "export-predictions --adapter NAME --dataset scenes --output out.json",
    "export-predictions --adapter toy --dataset scenes --output out.json --tta-views NAME",
    "export-predictions --adapter toy --dataset scenes --output out.json --tta --tta-fusion NAME",
    "export-predictions --adapter toy --dataset scenes --output out.json --ttt-method NAME",
    "export-predictions --adapter toy --dataset NAME --output out.json",
    "predict picture.png --adapter NAME",
    "train --adapter NAME --dataset scenes --run-id new",
    "diagnose --adapter NAME --dataset scenes",
    "synth --scene NAME --out new",
    "eval --dataset scenes --predictions scenes/p.json --metrics NAME",
    "eval --dataset scenes --predictions scenes/p.json --engine NAME",
    "eval-coco --dataset scenes --predictions scenes/p.json --engine NAME",
    "check-dataset NAME",
    "validate-predictions NAME",
    "report NAME --dataset scenes",
    "browse NAME --dataset scenes --idle-minutes 0",
    "view NAME --dataset scenes",
)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a data set and an empty file of predictions."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert CliRunner().invoke(main, ["synth", "--images", "1", "--out", "scenes"]).exit_code == 0
    (folder / "scenes/p.json").write_text("[]")
    (folder / "picture.png").write_bytes(next(folder.glob("scenes/images/*/*.png")).read_bytes())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("installed", ["all", "none"])
@pytest.mark.parametrize("line", LINES)
def test_no_package_is_made_of_what_was_typed(line, installed, given, monkeypatch):
    monkeypatch.chdir(given)
    monkeypatch.setenv("ANYDET_PLUGINS", ",".join(OURS) if installed == "all" else "")
    for typed in TYPED:
        done = CliRunner().invoke(main, [typed if word == "NAME" else word for word in line.split()])
        assert isinstance(done.exception, SystemExit), done.output
        assert set(packages(done.output)) <= published(), done.output
        if not set(";|") & set(typed):
            assert not untrue_fixes(done.output, line), done.output


def test_what_is_published_is_named_where_it_is_not_installed(given, monkeypatch):
    monkeypatch.chdir(given)
    done = CliRunner().invoke(main, ["adapters", "show", "toy"], obj=Plugins([]))
    assert "\n  fix: pip install anydet-toy\n" in done.output
