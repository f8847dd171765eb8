from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from anydet.contract.run_lengths import rle_problem
from anydet.geometry.masks import encode, run_lengths
from anydet.types import RLE


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_runs_are_those_of_the_mask(mask: Any) -> None:
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(int), prepend=0))
    expected = np.diff(np.concatenate([[0], edges, [flat.size]]))
    rle = encode(mask)
    np.testing.assert_array_equal(run_lengths(rle), expected[: len(run_lengths(rle))])
    assert rle_problem(rle) == ""


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=12).map(lambda runs: [*runs, 1]),
)
def test_long_runs_decode_as_pycocotools_encodes_them(lengths: list[int]) -> None:
    total = sum(lengths)
    coded = coco_mask.frPyObjects({"size": [total, 1], "counts": lengths}, total, 1)
    rle = RLE((total, 1), coded["counts"].decode())
    np.testing.assert_array_equal(run_lengths(rle), lengths)
    assert rle_problem(rle) == ""


def test_codes_that_would_write_past_the_mask_are_refused() -> None:
    assert "decode to 7 pixels" in rle_problem(RLE((2, 3), "7"))
    assert "negative length" in rle_problem(RLE((1, 1), "N3"))
    assert "60 bits" in rle_problem(RLE((1, 1), "o" * 13 + "0"))
    assert "ends inside a number" in rle_problem(RLE((1, 1), "o"))
