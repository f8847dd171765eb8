"""The pages of docs/tutorial and docs/how-to do what they say: their blocks run in order in an empty folder.

- A block with ``title=PATH`` behind its language is written to that file.
- A ``bash`` block runs and must exit with 0, or with what ``exit=1`` behind its language says.
- A ``text`` block after a ``bash`` block is all that its commands print, stdout and stderr. Spaces do not
  count, ``...`` stands for any text within a line, a line of ``...`` for any lines.
- Everything else is for the reader's eyes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/tutorial/*.md"), *ROOT.glob("docs/how-to/*.md")])
SLOW = {
    "an-adapter-that-trains",
    "adapt-at-test-time",
    "benchmark",
    "check-a-plugin",
    "ttt_protocol",
    "write-fusions-methods-and-evaluators",
    "combine-models",
    "compare-pytorch-with-onnx",
    "compare-runtimes-parity",
    "compare-two-models",
    "compare-many-models",
    "change-the-backbone",
    "choose-optimizer-and-schedule",
    "train-in-five-sizes",
    "diagnose",
    "evaluate-somebody-elses-predictions",
    "evaluate-states-poses-and-masks",
    "export-onnx",
    "find-what-a-model-gets-wrong",
    "first-numbers",
    "make-a-report",
    "test-scenarios",
    "fine-tune",
    "keep-what-was-learned",
    "learn-continually",
    "measure-robustness",
    "predict-with-several-views",
    "run-on-another-runtime",
    "prepare-a-data-set",
    "prepare-bike-parts",
    "prepare-poses",
    "train-a-model",
    "train-a-model-of-your-own",
    "run-a-zoo-model",
    "train-class-masks",
    "understand-low-ap",
    "which-preset-for-my-model",
    "write-an-adapter",
}


@dataclass(frozen=True)
class Block:
    language: str
    attributes: dict[str, str]
    text: str
    expected: str | None = None
    """What the page shows as the output of a bash block."""


def read_blocks(page: str) -> list[Block]:
    found: list[Block] = []
    for language, info, text in re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if language == "text" and found and found[-1].language == "bash" and found[-1].expected is None:
            found[-1] = Block("bash", found[-1].attributes, found[-1].text, text)
        else:
            found.append(Block(language, dict(re.findall(r"(\w+)=(\S+)", info)), text))
    return found


def tidy(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip()) + "\n"


def shows(expected: str, output: str) -> bool:
    """Whether an output is what a page shows of it."""
    lines = []
    for line in tidy(expected).splitlines():
        words = re.escape(line).replace(r"\.\.\.", r"[^\n]*")
        lines.append(r"(?:[^\n]*\n)*" if line == "..." else f"{words}\n")
    return re.fullmatch("".join(lines), tidy(output)) is not None


@pytest.fixture
def environment(tmp_path):
    """Variables of an environment that sees this one's packages; what a page installs lands in it alone."""
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    commands = Path(sysconfig.get_path("scripts", vars={"base": str(folder)}))
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (site / "parent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    script = commands / "anydet"
    script.write_text(f"#!{commands / 'python'}\nfrom anydet.cli import main\nmain(prog_name='anydet')\n")
    script.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANYDET_")},
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "COLUMNS": "200",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",  # everything is there already
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads its negated flags so: 0 is "no isolation"
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(block: Block, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.stem, marks=pytest.mark.slow if p.stem in SLOW else ()) for p in PAGES]
)
def test_a_page_does_what_it_says(page, tmp_path, environment):
    folder = tmp_path / "work"
    folder.mkdir()
    for block in read_blocks(page.read_text("utf-8")):
        if title := block.attributes.get("title"):
            path = folder / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
        elif block.language == "bash":
            done = run(block, folder, environment)
            said = f"$ {block.text}{done.stdout}"
            assert done.returncode == int(block.attributes.get("exit", 0)), said
            if block.expected is not None:
                assert shows(block.expected, done.stdout), f"{said}\n--- the page shows\n{block.expected}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_block_of_a_page_is_run_written_or_compared(page):
    """A block that a test skips is one that can rot: Python without a title, text without a command."""
    for block in read_blocks(page.read_text("utf-8")):
        assert "title" in block.attributes or block.language == "bash", block.text


def test_an_output_must_be_what_the_page_shows():
    printed = "AP   0.1234\nfive  images, 0.1 s\nlast\n"
    assert shows("AP 0.1234\nfive images, ... s\nlast", printed)
    assert shows("...\nlast", printed)
    assert not shows("AP 0.1235\nfive images, ... s\nlast", printed)
    assert not shows("AP 0.1234\nlast", printed)
    assert not shows("AP 0.1234\nfive images, ... s", printed)


def test_blocks_are_read_with_their_attributes_and_outputs():
    blocks = read_blocks(
        "# t\n```python title=a/b.py\nx = 1\n```\n```bash exit=1\nfalse\n```\n\n```text\nno\n```\n"
    )
    assert [(b.language, b.attributes, b.text, b.expected) for b in blocks] == [
        ("python", {"title": "a/b.py"}, "x = 1\n", None),
        ("bash", {"exit": "1"}, "false\n", "no\n"),
    ]


def test_the_pages_run_with_this_python(environment, tmp_path):
    block = Block("bash", {}, "python -c 'import sys, anydet; print(sys.version_info[:2])'")
    assert run(block, tmp_path, environment).stdout.strip() == str(sys.version_info[:2])


PRIVATE = re.compile(
    r"(?<!-)\b(told|whom|shares?|asked|who is|who are|lies|who|by heart|what is said of)\b", re.IGNORECASE
)
"""Words that stand for a term of the field, such as a fraction or a normalized coordinate."""
USER_PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def prose(page: Path) -> list[str]:
    """Lines of a page without code blocks, but with what ``--help`` prints."""
    lines, code = [], False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            code = not code
        elif not code or page.parent.name == "reference":
            lines.append(line)
    return lines


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_and_help_use_terms_of_the_field(page):
    found = [line for line in prose(page) if PRIVATE.search(line)]
    assert not found, found


def test_the_page_of_performance_names_every_benchmark():
    """Each is a command whose numbers are on that page, or behind one of its links."""
    page = (ROOT / "docs/explanation/performance.md").read_text("utf-8")
    parts = {"contestants.py", "differences.py"}  # what eval_coco.py runs
    named = set(re.findall(r"benchmarks/(\w+\.py)", page))
    assert named == {path.name for path in ROOT.glob("benchmarks/*.py")} - parts
