"""The scanner and the slow path give one verdict on a predictions file, and the same bits."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.contract.checking.validate import validate
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.load import load, scan_predictions
from anydet.contract.reading.opening import open_source
from anydet.errors import ContractError
from anydet.scanner import COCO_RESULTS, Stop
from anydet_fasteval.scanner import CompiledScanner

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "schemas" / "examples"
VALID = sorted((EXAMPLES / "valid").iterdir())
INVALID = sorted((EXAMPLES / "invalid").iterdir())
UNUSUAL = {"integral-floats.json"}
"""Valid, and left to the slow path."""

_VERDICTS = ROOT / "core/tests/contract/checking/test_validate_mutations.py"
_spec = importlib.util.spec_from_file_location(
    "verdict", ROOT / "core/tests/contract/checking/test_validate_mutations.py"
)
assert _spec is not None
assert _spec.loader is not None
verdict = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(verdict)

many = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
Same = Callable[[Any, Any], bool]
Scanners = tuple[CompiledScanner, ...]


def name(path: Path) -> str:
    return path.name


def slowly(path: Path) -> RawPredictions | None:
    try:
        return load(path)
    except ContractError:
        return None


def agree(path: Path, scanners: Scanners, same: Same) -> RawPredictions | Stop:
    """What the first scanner says, after all of them and the slow path were found to say the same."""
    wanted = slowly(path)
    found = [scan_predictions(path, scanner) for scanner in scanners]
    for one in found:
        if isinstance(one, Stop):
            assert one.unusual or wanted is None
            assert one == found[0]
        else:
            assert same(one, wanted)
            assert same(one, found[0])
    return found[0]


@pytest.mark.parametrize("path", VALID, ids=name)
def test_valid_examples_are_read_with_the_same_bits(path: Path, scanners: Scanners, same: Same) -> None:
    found = agree(path, scanners, same)
    assert isinstance(found, Stop) == (path.name in UNUSUAL)


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_invalid_examples_are_stopped_at(path: Path, scanners: Scanners, same: Same) -> None:
    assert isinstance(agree(path, scanners, same), Stop)


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_validation_explains_with_a_scanner_what_it_explains_without(
    path: Path, scanner: CompiledScanner
) -> None:
    without, report = validate(path), validate(path, scanner=scanner)
    lines = [re.sub(r" \(byte \d+\)$|, byte \d+(?=\)$)", "", line) for line in report.errors]
    assert lines == [re.sub(r" \(byte \d+\)$", "", line) for line in without.errors]


def test_the_byte_is_added_to_the_message_of_the_slow_path(tmp_path: Path, scanner: CompiledScanner) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(
        '[{"image": "a.jpg", "detections": [{"class_id": 1, "score": 1.5, "bbox": [0, 0, 1, 1]}]}]'
    )
    line = f"{path}: [0].detections[0].score: 1.5 is above the maximum 1 (image a.jpg, byte 61)"
    assert validate(path, scanner=scanner).errors == (line,)
    with pytest.raises(ContractError, match=r"\(image a\.jpg, byte 61\)"):
        load(path, scanner)


@pytest.mark.slow
@many
@given(document=verdict.documents)
def test_what_is_valid_and_plain_never_takes_the_slow_path(
    document: Any, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    found = agree(path, scanners, same)
    assert isinstance(found, RawPredictions) or set(document) & {"predictions", "meta", "schema_version"}


@pytest.mark.slow
@many
@given(document=verdict.mutated(), indent=st.sampled_from([None, 0, 3]), escape=st.booleans())
def test_mutated_documents_get_one_verdict(
    document: Any, indent: int | None, escape: bool, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.json"
    text = json.dumps(document, indent=indent, ensure_ascii=escape)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    agree(path, scanners, same)


@pytest.mark.slow
@many
@given(documents=st.lists(verdict.mutated(), max_size=4), end=st.sampled_from(["\n", "\r\n", "\n\n \n", ""]))
def test_mutated_lines_get_one_verdict(
    documents: Any, end: str, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    entries = [e for d in documents for e in (d if isinstance(d, list) else [d])]
    path = tmp_path / "predictions.jsonl"
    path.write_text((end or "\n").join(map(json.dumps, entries)) + end)
    agree(path, scanners, same)


@pytest.mark.slow
@many
@given(data=st.data())
def test_torn_and_garbled_files_get_one_verdict(
    data: st.DataObject, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    text = bytearray(json.dumps(data.draw(verdict.documents)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(text) - 1, 0)))
        text[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=3))
    for suffix in (".json", ".jsonl"):
        path = tmp_path / f"predictions{suffix}"
        path.write_bytes(bytes(text))
        agree(path, scanners, same)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_any_number_of_threads_gives_the_bits_of_one(
    suffix: str, threads: int, same: Same, tmp_path: Path
) -> None:
    (full,) = json.loads((EXAMPLES / "valid" / "all-fields.json").read_text("utf-8"))
    plain = {"image": "", "detections": [{"class_id": 1, "score": 0.1, "bbox": [0.1, 0.2, 0.3, 0.4]}] * 3}
    inside = {**plain, "extra": {"text": ', {"image": "', "list": [{"image": 1}, {"image": 2}]}}
    entries = [{**(full, plain, inside)[i % 3], "image": f"{i}.jpg"} for i in range(90)]
    path = tmp_path / f"predictions{suffix}"
    path.write_text("\n".join(map(json.dumps, entries)) if suffix == ".jsonl" else json.dumps(entries))
    found = scan_predictions(path, CompiledScanner(threads, smallest_share=1))
    assert isinstance(found, RawPredictions)
    assert same(found, load(path))


def test_a_stop_names_byte_image_and_field(tmp_path: Path, scanner: CompiledScanner) -> None:
    text = '[{"image": "ä.jpg", "detections": [{"class_id": 1, "score": 1.5, "bbox": [0, 0, 1, 1]}]}]'
    path = tmp_path / "predictions.json"
    path.write_text(text, "utf-8")
    offset = text.encode().index(b"1.5")
    assert scanner.predictions(path) == Stop(offset, "not between 0 and 1", "ä.jpg", "score", unusual=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"image": "a", "image": "b", "detections": []}]', "a key that is there twice"),
        ('[{"image": "a", "detections": [], "extra": {"x": ' + "[" * 300 + "]" * 300 + "}}]", "nested"),
        ('[{"image": "a", "detections": [], "extra": {"x": 00}}]', "leading zero"),
    ],
)
def test_rare_constructs_are_left_to_the_slow_path(
    text: str, reason: str, tmp_path: Path, scanners: Scanners, same: Same
) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(text)
    found = agree(path, scanners, same)
    assert isinstance(found, Stop)
    assert reason in found.reason


def test_coco_results_are_distinguished_from_predictions(tmp_path: Path, scanner: CompiledScanner) -> None:
    path = tmp_path / "results.json"
    path.write_text('[{"image_id": 1, "category_id": 2, "score": 1, "bbox": [1, 2, 3, 4]}]')
    stop = scan_predictions(path, scanner)
    assert isinstance(stop, Stop)
    assert stop.reason == COCO_RESULTS
    assert open_source(path).shape == "coco"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_opened(tmp_path: Path, scanner: CompiledScanner) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    found = scanner.predictions(tmp_path / "pipe.json")  # opening it would wait for a writer
    assert isinstance(found, Stop)
    assert found.unusual


def test_a_file_that_is_not_there_or_no_file_is_left_to_the_slow_path(
    tmp_path: Path, scanner: CompiledScanner
) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        found = scanner.predictions(path)
        assert isinstance(found, Stop)
        assert found.unusual
        with pytest.raises(ContractError):
            load(path, scanner)
