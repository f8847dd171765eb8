from __future__ import annotations

import json
import pickle
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.plugins.preprocess import Preprocess, Resize

triples = st.tuples(*[st.floats(0.01, 300)] * 3)
sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))
preprocesses = st.builds(
    Preprocess,
    resize=st.sampled_from(get_args(Resize)),
    size_wh=sizes,
    interpolation=st.sampled_from(["bilinear", "bilinear-antialias"]),
    rounded=st.booleans(),
    size_rounding=st.sampled_from(["nearest", "down"]),
    pad_value=triples,
    pad_to_multiple=st.integers(1, 64),
    channels=st.sampled_from(["rgb", "bgr"]),
    divisor=st.sampled_from([1.0, 255.0]),
    mean=triples,
    std=triples,
)
PLAIN = Preprocess("stretch", (64, 48)).as_dict()


@pytest.mark.slow
@given(preprocess=preprocesses)
def test_its_json_form_and_its_pickle_give_it_back(preprocess):
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.as_dict()))) == preprocess
    assert pickle.loads(pickle.dumps(preprocess)) == preprocess


@given(preprocess=preprocesses, image_wh=sizes)
def test_the_resized_image_fits_into_the_input(preprocess, image_wh):
    content, size = preprocess.content_wh(image_wh), preprocess.input_wh(image_wh)
    for inner, outer in zip(content, size, strict=True):
        assert 1 <= inner <= outer or preprocess.resize == "crop-center"
        assert outer % preprocess.pad_to_multiple == 0


@given(wanted=sizes, image_wh=sizes)
def test_what_is_cropped_covers_the_input_and_on_one_side_no_more(wanted, image_wh):
    content = Preprocess("crop-center", wanted).content_wh(image_wh)
    left = [inner - outer for inner, outer in zip(content, wanted, strict=True)]
    assert min(left) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": "squash"}, "squash"),
        ({"mean": [1, 2]}, "mean"),
        ({"size": [1, 2]}, "unknown key 'size'"),
        ({"size_wh": [0, 64]}, "must be positive"),
        ({"pad_to_multiple": 0}, "must be positive"),
        ({"std": [1, 0, 1]}, "must be positive"),
        ({"divisor": 0}, "must be positive"),
    ],
)
def test_what_describes_no_preprocessing_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Preprocess.from_dict({**PLAIN, **change})


def test_a_missing_size_is_refused():
    with pytest.raises(ValueError, match="size_wh"):
        Preprocess.from_dict({"resize": "stretch"})
