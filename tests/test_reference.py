"""The generated reference is what ``make docs`` would write now, and shell completion answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs/reference"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """What the generator writes in a process of its own: click keeps help options that other tests made."""
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, ROOT / "docs/make_reference.py", folder], check=True)
    return {page.name: page.read_text("utf-8") for page in folder.iterdir()}


@pytest.mark.parametrize(
    "name",
    ["commands", "hooks", "predictions-schema", "adapters-options", "adaptation-options", "training-keys"],
)
def test_a_generated_page_is_fresh(pages, name):
    assert (REFERENCE / f"{name}.md").read_text("utf-8") == pages[f"{name}.md"], "run 'make docs' and commit"


def test_every_generated_page_is_held_to_its_source(pages):
    made = {p.name for p in REFERENCE.glob("*.md") if "Made by `make docs`" in p.read_text("utf-8")}
    assert made == set(pages)


def test_links_within_the_schemas_page_have_their_section(pages):
    import re

    page = pages["predictions-schema.md"]
    assert set(re.findall(r"\(#(\w+)\)", page)) <= set(re.findall(r"^## (\w+)$", page, re.MULTILINE))


def complete(*words: str, variables: dict[str, str] | None = None) -> list[str]:
    """What bash would offer for the last word."""
    done = subprocess.run(
        [sys.executable, "-c", "from anydet.cli import main; main(prog_name='anydet')"],
        env={
            **os.environ,
            "COMP_WORDS": " ".join(["anydet", *words]),
            "COMP_CWORD": str(len(words)),
            "_ANYDET_COMPLETE": "bash_complete",
            **(variables or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_complete():
    assert complete("exp") == ["export-predictions", "export-onnx"]


def test_options_complete():
    assert complete("eval-coco", "--pred") == ["--predictions"]


@pytest.mark.slow
def test_adapter_names_complete_behind_adapter():
    assert "toy" in complete("export-predictions", "--adapter", "to")
    assert complete("export-predictions", "--adapter", "nobody-has-this") == []
    assert complete("adapters", "check", "precomp") == ["precomputed"]


def test_what_adapters_can_do_completes():
    assert complete("adapters", "n") == ["new"]
    assert complete("adapters", "new", "my_detector", "--o") == ["--out"]


@pytest.mark.slow
def test_names_of_engines_and_views_complete():
    assert complete("eval-coco", "--engine", "pyc") == ["pycocotools"]
    assert complete("export-predictions", "--tta-views", "orig") == ["original"]
    assert complete("export-predictions", "--tta-views", "hflip,orig") == ["hflip,original"]
    assert complete("export-predictions", "--tta-fusion", "w") == ["wbf"]
    assert complete("adaptation", "show", "scal") == ["scale"]


def test_completion_is_quiet_where_a_plugin_is_missing():
    assert complete("export-p", variables={"ANYDET_PLUGINS": "toy,absent"}) == ["export-predictions"]
