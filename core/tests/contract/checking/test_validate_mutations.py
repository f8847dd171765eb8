"""The fast path and plain jsonschema give one verdict, on valid documents and on mutations of them."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.contract.checking.validate import validate
from anydet.contract.documents import Entry
from anydet.contract.reading.entries import scan
from anydet.contract.reading.opening import open_source
from anydet.contract.schema import validator
from anydet.errors import ContractError

finite = st.floats(allow_nan=False, allow_infinity=False)
unit = st.floats(0, 1)
size = st.floats(0, 2)
index = st.integers(0, 99)
free = st.dictionaries(
    st.text(max_size=3), st.one_of(st.none(), finite, st.booleans(), st.text(max_size=3)), max_size=2
)


def vector(n: int, item: Any = finite) -> Any:
    return st.lists(item, min_size=n, max_size=n)


masks = st.just({"size": [2, 3], "counts": "6"})
boxes = st.one_of(
    st.fixed_dictionaries({"cx": finite, "cy": finite, "w": size, "h": size}),
    st.tuples(finite, finite, size, size).map(list),
)
keypoints = st.lists(
    st.fixed_dictionaries({"x": finite, "y": finite}, optional={"score": unit, "v": st.integers(0, 2)}),
    max_size=2,
)
detections = st.fixed_dictionaries(
    {"class_id": index, "score": unit, "bbox": boxes},
    optional={
        "state": index,
        "state_scores": st.lists(unit, max_size=3),
        "mask": masks,
        "keypoints": keypoints,
        "log_z": finite,
        "rot6d": vector(6),
        "R": vector(3, vector(3)),
        "t": vector(3),
        "offsets": vector(2),
        "k_delta": vector(4),
        "log_sigma_z": finite,
        "extra": free,
    },
)
entries = st.fixed_dictionaries(
    {
        "image": st.text(st.characters(codec="utf-8"), min_size=1, max_size=4),
        "detections": st.lists(detections, max_size=2),
    },
    optional={
        "image_size": st.just({"width": 3, "height": 2}),
        "classification": st.fixed_dictionaries(
            {"class_id": index, "score": unit}, optional={"scores": st.lists(unit)}
        ),
        "semantic_mask": st.dictionaries(index.map(str), masks, max_size=2),
        "intrinsics": st.just({"fx": 1.0, "fy": 1, "cx": 0, "cy": 0}),
        "preprocess": free,
        "extra": free,
    },
)
metas = st.fixed_dictionaries(
    {},
    optional={
        "adapter": st.text(max_size=3),
        "images": index,
        "classes": st.lists(st.text(max_size=2), max_size=2),
        "extra": free,
    },
)
lists = st.lists(
    entries, max_size=3, unique_by=lambda entry: entry["image"].replace("\\", "/").removeprefix("./")
)
documents = st.one_of(
    lists,
    st.fixed_dictionaries({"predictions": lists}, optional={"schema_version": st.just(1), "meta": metas}),
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\\./"), min_size=1, max_size=4),
        st.lists(detections, max_size=2),
        max_size=2,
    ),
)
numbers = [0, 1, -1, 2, 1.0, 3.0, 0.5, 1.5, -0.5, 2**31, 2**31 - 1, 10**30, 1e308]
not_json = [math.nan, math.inf, -math.inf, "\ud800"]
others = [None, True, False, "", "x", "0.5", "6", [], [0.5], {}, {"x": 1}, [1, 2, 3, 4]]
intruders = st.one_of(st.sampled_from([*numbers, *not_json, *others]), finite, free).map(deepcopy)
keys = st.sampled_from(
    [*Entry.__struct_fields__, "score", "scroe", "bbox", "cx", "meta", "schema_version", "v", "7", "07"]
)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all containers in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if isinstance(value, dict | list) else []
    return found + [p for key, item in inside for p in nodes(item, (*path, key))]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid document with up to three things put in, taken out or replaced."""
    document = json.loads(json.dumps(draw(documents)))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(nodes(document)))
        owner = document
        for key in path:
            owner = owner[key]
        old = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        key = draw(st.sampled_from(old)) if old and draw(st.booleans()) else None
        if key is not None and draw(st.booleans()):
            del owner[key]
        elif key is not None:
            owner[key] = draw(intruders)
        elif isinstance(owner, dict):
            owner[draw(keys)] = draw(intruders)
        else:
            owner.insert(draw(st.integers(0, len(owner))), draw(intruders))
    return document


def can_be_json(value: Any) -> bool:
    """Whether all numbers are finite (as float64) and all texts Unicode."""
    if isinstance(value, int | float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, dict):
        return all(map(can_be_json, value)) and all(map(can_be_json, value.values()))
    return all(map(can_be_json, value)) if isinstance(value, list) else True


def keeps_rules_beyond_the_schema(document: Any) -> bool:
    """Images stand once, and masks (all 2 x 3 with counts of 6) have their image's size."""
    parts = document.get("predictions", []) if isinstance(document, dict) else document
    images = [
        e["image"].replace("\\", "/").removeprefix("./")
        for e in parts
        if isinstance(e, dict) and "image" in e
    ]
    return len(set(images)) == len(images)


MASK_RULES = ("counts decode to", "counts cannot be decoded", "where the image's height and width")


def accepted(path: Path) -> bool:
    try:
        with open_source(path) as source:
            if source.shape == "coco":
                return False
            return not [e for e in scan(source).errors if not any(text in e for text in MASK_RULES)]
    except ContractError:
        return False


@pytest.mark.slow
@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(document=mutated())
def test_the_verdict_is_that_of_plain_jsonschema(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(document))
    expected = can_be_json(document) and validator().is_valid(document)
    if expected and not keeps_rules_beyond_the_schema(document):
        expected = False
    assert accepted(path) == expected


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(document=documents)
def test_valid_documents_take_the_fast_path(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anydet.contract.reading.entries.judge", None)
        with open_source(path) as source:
            assert scan(source).errors == ()


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_torn_and_garbled_files_are_refused_or_read_and_never_crash(
    data: st.DataObject, tmp_path: Path
) -> None:
    text = bytearray(json.dumps(data.draw(documents)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        if text:
            at = data.draw(st.integers(0, len(text) - 1))
            text[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=3))
    for name in ("predictions.json", "predictions.jsonl"):
        path = tmp_path / name
        path.write_bytes(bytes(text))
        assert all(line.startswith(str(path)) for line in validate(path).errors)


@pytest.mark.parametrize("digits", [400, 5000])
def test_integers_that_no_float_can_hold_are_refused_where_numbers_belong(
    digits: int, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.json"
    text = '[{"image": "a", "detections": [{"class_id": 0, "score": 1, "bbox": [%s, 0, 1, 1]}]}]'
    path.write_text(text % ("1" * digits))
    with open_source(path) as source:
        (error,) = scan(source).errors
    assert error.startswith(f"{path}: [0]")
    assert "(image a)" in error
