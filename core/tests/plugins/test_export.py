from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from anydet.plugins.export import KEY, NEEDED, SHAPES, ModelDescription, ModelOutput
from anydet.plugins.preprocess import Preprocess

DESCRIPTION = ModelDescription(
    layout="queries",
    outputs=(
        ModelOutput("pred_boxes", "boxes_cxcywh"),
        ModelOutput("pred_logits", "class_logits"),
        ModelOutput("points", "keypoints"),
    ),
    preprocess=Preprocess("letterbox-center", (640, 480), divisor=255.0),
    classes=("cat", "dögs"),
    keypoint_names=("nose",),
    min_area_px=3,
)


def test_it_comes_back_from_metadata_and_from_a_pickle():
    metadata = DESCRIPTION.as_metadata()
    assert all(isinstance(text, str) for text in metadata.values())
    assert ModelDescription.from_metadata({"other": "entries", **metadata}) == DESCRIPTION
    assert pickle.loads(pickle.dumps(DESCRIPTION)) == DESCRIPTION


def test_files_of_others_have_none():
    assert ModelDescription.from_metadata({"task": "detect", "names": "{0: 'cat'}"}) is None


def test_the_preprocessing_in_it_has_the_form_of_meta():
    plain = json.loads(DESCRIPTION.as_metadata()[KEY])
    assert plain["preprocess"] == DESCRIPTION.preprocess.as_dict()


def test_layouts_name_meanings():
    assert {meaning for meanings in NEEDED.values() for meaning in meanings} <= set(SHAPES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "rows"}, "rows"),
        ({"outputs": [{"name": "a", "meaning": "boxes"}]}, "boxes"),
        ({"outputs": [{"name": "a", "meaning": "class_logits"}]}, "needs an output 'boxes_cxcywh'"),
        ({"preprocess": {"resize": "stretch"}}, "size_wh"),
        ({"classes": None}, "classes"),
    ],
)
def test_a_description_that_says_too_little_is_refused(change, message):
    plain = json.loads(DESCRIPTION.as_metadata()[KEY])
    with pytest.raises(ValueError, match=message):
        ModelDescription.from_metadata({KEY: json.dumps({**plain, **change})})


@pytest.mark.parametrize(("text", "message"), [("", "truncated"), ("{", "truncated"), ("[]", "object")])
def test_text_that_is_no_description_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        ModelDescription.from_metadata({KEY: text})


def test_two_outputs_of_one_meaning_are_refused():
    twice = replace(DESCRIPTION, outputs=(*DESCRIPTION.outputs, ModelOutput("more", "keypoints")))
    with pytest.raises(ValueError, match="same meaning"):
        twice.checked()


def test_preprocessing_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        replace(DESCRIPTION, preprocess=Preprocess("stretch", (0, 4))).checked()
