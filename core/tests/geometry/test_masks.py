from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from anydet.errors import AnydetError
from anydet.geometry import masks
from anydet.types import RLE


@st.composite
def bitmaps(draw):
    height, width = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    density = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((height, width)) < density


def runs(mask):
    """Uncompressed counts from the definition: column by column, zeros first."""
    counts, value = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@given(bitmaps())
def test_decoding_undoes_encoding(mask):
    rle = masks.encode(mask)
    assert rle.size_hw == mask.shape
    assert np.array_equal(masks.decode(rle), mask)


@given(bitmaps())
def test_area_and_bounds_are_those_of_the_pixels(mask):
    rle = masks.encode(mask)
    assert masks.area(rle) == mask.sum()
    ys, xs = np.nonzero(mask)
    tight = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1] if len(xs) else [0, 0, 0, 0]
    assert masks.bounds_xywh(rle).tolist() == tight


@given(bitmaps())
def test_uncompressed_counts_give_the_same_code(mask):
    assert masks.from_uncompressed(runs(mask), mask.shape) == masks.encode(mask)


def test_polygons_are_rasterized_as_coco_does_and_united():
    left, right = (1.0, 1.0, 6.0, 1.0, 6.0, 5.0, 1.0, 5.0), (10.0, 2.0, 14.0, 2.0, 12.0, 8.0)
    both = masks.from_polygons((left, right), (20, 10))
    rings = coco_mask.frPyObjects([list(left), list(right)], 10, 20)
    assert np.array_equal(masks.decode(both), coco_mask.decode(rings).any(axis=2))
    assert masks.area(masks.from_polygons((left,), (20, 10))) == 20


def test_any_segmentation_becomes_one_code():
    rle = masks.encode(np.eye(5, dtype=np.bool_))
    square = ((0.0, 0.0, 5.0, 0.0, 5.0, 5.0, 0.0, 5.0),)
    assert masks.as_rle(None, (5, 5)) is None
    assert masks.as_rle(rle, (5, 5)) is rle
    assert masks.area(masks.as_rle(square, (5, 5))) == 25


@given(bitmaps())
def test_whole_codes_are_whole_and_of_one_size_only(mask):
    rle = masks.encode(mask)
    height, width = mask.shape
    assert masks.is_whole(rle)
    assert not masks.is_whole(RLE((height + 1, width), rle.counts))
    assert not masks.is_whole(RLE((height, width), rle.counts[:-1]))


def test_masks_of_photographs_are_whole():
    mask = np.random.default_rng(0).random((480, 640)) < 0.001
    mask[100:300, 50:600] = True
    assert masks.is_whole(masks.encode(mask))
    assert masks.is_whole(masks.encode(np.zeros((4000, 6000), np.bool_)))


@pytest.mark.parametrize("counts", ["", "a", "zzzz", "é", "PPPPPPPPPPPPPPPPPP1", "00", "/1", "0\x00"])
def test_broken_codes_are_not_whole(counts):
    assert not masks.is_whole(RLE((4, 5), counts))


@pytest.mark.slow
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 3)),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 8)), max_size=3),
)
def test_a_class_map_shows_the_highest_class_of_each_pixel(wanted, more):
    layers = {one: wanted == one for one in range(4) if (wanted == one).any()}
    for class_id, rows, columns in more:
        layer = layers.setdefault(class_id, np.zeros(wanted.shape, np.bool_))
        layer[rows:, columns:] = True
    expected = np.full(wanted.shape, -1)
    for class_id in sorted(layers):
        expected[layers[class_id]] = class_id
    coded = {class_id: masks.encode(layer) for class_id, layer in layers.items()}
    np.testing.assert_array_equal(masks.class_map(coded, wanted.shape), expected)


@given(bitmaps())
def test_run_lengths_are_those_of_the_definition(mask):
    assert masks.run_lengths(masks.encode(mask)).tolist() == runs(mask)


def test_what_is_no_code_has_no_run_lengths():
    with pytest.raises(ValueError, match="ends inside a number"):
        masks.run_lengths(RLE((2, 2), "o"))
    with pytest.raises(ValueError, match="more than 35 bits"):
        masks.run_lengths(RLE((2, 2), "oooooooo0"))


def test_a_mask_of_a_size_that_no_memory_holds_is_refused():
    bomb = RLE((2**31 - 1, 2**31 - 1), "0")
    for paint in (masks.decode, masks.boundary, lambda mask: masks.class_map({0: mask}, mask.size_hw)):
        with pytest.raises(AnydetError, match="2147483647 x 2147483647 pixels: at most 1073741824"):
            paint(bomb)
