"""The fuzzer of ``fuzz/``, built with sanitizers; it tries so many inputs, however long they take."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
RUNS = 300_000
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed"),
    pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler"),
]


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that the fuzzer tried, named by its verdict; without a finding of any sanitizer."""
    build, dump = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("dump")
    for command in (["cmake", "-S", FUZZ, "-B", build], ["cmake", "--build", build, "-j", "2"]):
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    run = [str(build / "scan_fuzz"), str(RUNS), "1", str(FUZZ / "corpus"), str(dump)]
    done = subprocess.run(run, check=False, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, f"{done.stderr[-5000:]}\nthe input is {dump / 'last'}"
    return dump


def test_the_fuzzer_finds_nothing_and_tries_much(dump: Path) -> None:
    verdicts = [path.name.split("-")[0] for path in dump.glob("*-*")]
    assert verdicts.count("accepted") > 20
    assert verdicts.count("refused") > 20


def test_whatever_was_accepted_is_json_to_python(dump: Path) -> None:
    for path in dump.glob("accepted-*"):
        text = path.read_bytes()
        for part in text.split(b"\n") if "-lines-" in path.name else [text]:
            if part.strip() or "-lines-" not in path.name:
                json.loads(part.decode("utf-8"), parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def test_whatever_is_json_and_was_refused_was_refused_for_what_it_holds(dump: Path) -> None:
    known = {"image_id", "category_id", "score"}
    for path in dump.glob("refused-results-*"):
        try:
            value: Any = json.loads(path.read_bytes(), parse_constant=_no_number)
        except ValueError:
            continue
        rows = value if isinstance(value, list) else [value]
        assert not rows or not all(_is_plain(row, known) for row in rows), path


def _is_plain(row: Any, known: set[str]) -> bool:
    """A result of a box alone with the right types."""
    if not isinstance(row, dict) or row.keys() != known | {"bbox"} or not isinstance(row["bbox"], list):
        return False
    numbers = [row["score"], *row["bbox"]]
    ids = [row["image_id"], row["category_id"]]
    right = all(type(i) is int and abs(i) < 10**18 for i in ids)
    return right and len(numbers) == 5 and all(type(n) in {int, float} and abs(n) < 1e300 for n in numbers)
