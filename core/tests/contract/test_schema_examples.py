"""One file a rule: the valid ones pass, the invalid ones fail with the message of their rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from anydet.contract.checking.validate import validate
from anydet.contract.reading.load import load
from anydet.contract.schema import load_schema, validator
from anydet.errors import ContractError

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
EXPECTED = json.loads((EXAMPLES / "expected.json").read_text("utf-8"))
VALID = sorted((EXAMPLES / "valid").iterdir())
INVALID = sorted((EXAMPLES / "invalid").iterdir())
BEYOND_THE_SCHEMA = {
    "bbox-infinite.json",
    "coco-results.json",
    "half-surrogate-pair.json",
    "image-twice.json",
    "log-z-overflow.json",
    "map-image-twice.json",
    "mask-counts-cut-off.json",
    "mask-counts-wrong-total.json",
    "mask-of-another-size.json",
    "score-nan.json",
}


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", VALID, ids=name)
def test_valid_examples_are_valid_and_load(path: Path) -> None:
    report = validate(path)
    assert (report.errors, report.warnings) == ((), ())
    assert len(load(path)) == report.detections


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_invalid_examples_are_refused_with_the_message_of_their_rule(path: Path) -> None:
    report = validate(path)
    assert report.errors[0] == f"{path}: {EXPECTED[path.name]}"
    with pytest.raises(ContractError):
        load(path)


def test_every_expected_message_has_its_file() -> None:
    assert set(EXPECTED) == {path.name for path in INVALID}


@pytest.mark.parametrize("path", [p for p in INVALID if p.suffix == ".json"], ids=name)
def test_the_schema_alone_refuses_what_it_can_express(path: Path) -> None:
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError:
        assert path.name.startswith("document-")
        return
    assert validator().is_valid(document) == (
        path.name in BEYOND_THE_SCHEMA - {"bbox-infinite.json", "coco-results.json"}
        or path.name == "bbox-infinite.json"
    )


@pytest.mark.parametrize("path", [p for p in VALID if p.suffix == ".json"], ids=name)
def test_the_schema_alone_accepts_valid_documents(path: Path) -> None:
    assert validator().is_valid(json.loads(path.read_text("utf-8")))


def test_the_schema_is_a_schema_and_closed_but_for_free_data() -> None:
    schema = load_schema()
    Draft202012Validator.check_schema(schema)
    open_objects = []

    def walk(node: object, path: str) -> None:
        if isinstance(node, dict):
            if "properties" in node and node.get("additionalProperties") is not False:
                open_objects.append(path)
            for key, value in node.items():
                walk(value, f"{path}/{key}")

    walk(schema, "")
    assert open_objects == []
