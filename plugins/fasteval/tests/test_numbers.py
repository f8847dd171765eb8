"""Numbers have the bits of Python's ``float``."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(written(), min_size=1, max_size=40))
def test_numbers_have_the_bits_of_float(
    texts: list[str], scanners: tuple[CompiledScanner, ...], tmp_path: Path
) -> None:
    texts = [text for text in texts if math.isfinite(float(text)) and (float(text) or "e" not in text)]
    path = tmp_path / "results.json"
    rows = (f'{{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":{text}}}' for text in texts)
    path.write_text("[" + ",".join(rows) + "]")
    wanted = np.array([float(text) if text != "-0" else 0.0 for text in texts])
    for scanner in scanners:
        found = scanner.coco_results(path)
        if isinstance(found, Stop):  # an exponent beyond all doubles, before its digits bring it back
            assert found.reason in {"a number that no double can hold", "a number of more than 400 decimals"}
        else:
            assert found.scores.tobytes() == wanted.tobytes()


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
