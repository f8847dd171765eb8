"""Numbers have the bits of Python's ``float``."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.scanner import Stop
from anydet_fasteval.scanner import CompiledScanner

any_bits = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
finite = any_bits.filter(math.isfinite)
digits = st.integers(1, 10**25)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A JSON number, as people and programs write them."""
    how = draw(st.integers(0, 5))
    value = draw(finite)
    if how == 0:
        return repr(value)
    if how == 1:
        return f"{value:.{draw(st.integers(0, 20))}e}"
    if how == 2:
        return f"{draw(st.floats(-1000, 1000)):.{draw(st.integers(0, 25))}f}"
    if how == 3:
        return f"{draw(digits)}e{draw(st.integers(-320, 280))}"
    if how == 4:  # in the middle between two neighbors, or beside it
        near = draw(st.floats(1e-20, 1e6))
        middle = (Decimal(near) + Decimal(math.nextafter(near, math.inf))) / 2
        return f"{middle:.{draw(st.integers(15, 40))}f}"
    text = str(draw(digits))
    at = draw(st.integers(1, len(text)))
    return f"{text[:at]}.{text[at:] or 0}"


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(written(), min_size=1, max_size=40))
def test_numbers_have_the_bits_of_float(
    texts: list[str], scanners: tuple[CompiledScanner, ...], tmp_path: Path
) -> None:
    texts = [text for text in texts if math.isfinite(float(text))]
    path = tmp_path / "results.json"
    rows = (f'{{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":{text}}}' for text in texts)
    path.write_text("[" + ",".join(rows) + "]")
    wanted = np.array([float(text) if text != "-0" else 0.0 for text in texts])
    for scanner in scanners:
        found = scanner.coco_results(path)
        assert not isinstance(found, Stop)
        assert found.scores.tobytes() == wanted.tobytes()


BORDERS = (
    "1.7976931348623157e308",  # the largest double
    "2.2250738585072014e-308",  # the smallest normal one
    "2.2250738585072011e-308",  # famous for endless loops
    "4.9406564584124654e-324",  # the smallest one
    "2.4703282292062327e-324",  # just below its half: 0
    "2.4703282292062328e-324",  # just above its half
    "-1e-400",
    "1e-99999999999999999999",
    "0e99999999999999999999",
    "9007199254740993",  # between two neighbors, ties to even
    "9007199254740992.99999999999999999999999",
    "9007199254740993." + "0" * 900 + "1",
    "0." + "0" * 500 + "1e500",
    "1" + "0" * 400 + "e-400",
    "123456789012345678e-18",
    "18446744073709551615",
    "18446744073709551616e-5",
    *("-0.0", "0.00000", "1234567", "12345678", "1.23456", "1.234567", "12345.6", "123456.7", "1234567.8"),
    *("1e5", "1.5E3", "123.4e1", "-7", "-1.5", "9.9"),
)


@pytest.mark.parametrize("text", BORDERS)
def test_numbers_at_the_borders_have_the_bits_of_float(
    text: str, tmp_path: Path, scanners: tuple[CompiledScanner, ...]
) -> None:
    path = tmp_path / "results.json"
    path.write_text(f'[{{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":{text}}}]')
    for scanner in scanners:
        found = scanner.coco_results(path)
        assert not isinstance(found, Stop)
        assert found.scores.tobytes() == np.array([float(text)]).tobytes()


@pytest.mark.parametrize(
    "text", ["1e309", "-1.7976931348623159e308", "1e99999999999999999999", "1" + "0" * 400]
)
def test_what_no_double_holds_is_left_to_the_slow_path(
    text: str, tmp_path: Path, scanner: CompiledScanner
) -> None:
    path = tmp_path / "results.json"
    path.write_text(f'[{{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":{text}}}]')
    found = scanner.coco_results(path)
    assert isinstance(found, Stop)
    assert found.reason == "a number that no double can hold"


def test_what_json_does_not_call_a_number_is_refused(tmp_path: Path, scanner: CompiledScanner) -> None:
    path = tmp_path / "results.json"
    for text in ("01", "+1", ".5", "1.", "1e", "1e+", "-", "NaN", "Infinity", "-Infinity", "0x1", "1_0", ""):
        path.write_text(f'[{{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":{text}}}]')
        assert isinstance(scanner.coco_results(path), Stop), text


def test_ids_are_whole_numbers_of_64_bits_or_left_alone(tmp_path: Path, scanner: CompiledScanner) -> None:
    path = tmp_path / "results.json"
    for image_id in (0, -1, 581929, 2**31, 10**18 - 1, -(10**18) + 1):
        row = {"image_id": image_id, "category_id": 0, "bbox": [0, 0, 1, 1], "score": 1}
        path.write_text(json.dumps([row]))
        found = scanner.coco_results(path)
        assert not isinstance(found, Stop)
        assert found.image_ids.tolist() == [image_id]
    for text in ("1.0", "1e3", "10000000000000000000", '"7"', "true"):
        path.write_text(f'[{{"image_id":{text},"category_id":1,"bbox":[0,0,1,1],"score":1}}]')
        assert isinstance(scanner.coco_results(path), Stop)
