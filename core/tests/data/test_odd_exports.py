"""Exports with one value broken: they are read without it, or refused with its place; never a traceback."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from core.tests.data.test_formats_page import WRITERS

from anydet.data.opening import open_dataset
from anydet.errors import AnydetError

NAMES = (
    "Pascal VOC", "Darknet", "CVAT for images", "CVAT for video", "Label Studio", "Label Studio JSON-MIN",
    "Supervisely", "FiftyOne", "FiftyOne image detections", "Hugging Face ImageFolder",
    "LabelMe", "DOTA", "Open Images",
)  # fmt: skip
JUNK = (
    None,
    -1,
    1e308,
    float("nan"),
    "",
    "x",
    [],
    {},
    [[]],
    True,
    2**70,
    "../../x",
    "\0",
    [None, None],
    [[1, 2]],
)
PIECES = ("", "<", "&", '"', "-", "nan", "9" * 20, "é", "\0", "/", "<a>", ",")


def broken(value: Any, chance: random.Random) -> Any:
    """The value with something in it replaced or gone."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: broken(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], broken(value[place], chance), *value[place + 1 :]]
    return chance.choice(JUNK)


@pytest.mark.parametrize("name", NAMES)
def test_one_broken_value_is_left_out_or_refused(name: str, tmp_path: Path) -> None:
    chance = random.Random(name)
    write, paths = WRITERS[name]
    for number in range(12):
        root = tmp_path / str(number)
        write(root)
        files = sorted(
            p
            for p in root.rglob("*")
            if p.suffix in {".json", ".jsonl", ".xml", ".txt", ".data", ".names", ".csv"}
        )
        file = chance.choice(files)
        text = file.read_text("utf-8")
        if file.suffix in {".json", ".jsonl"}:
            text = json.dumps(broken(json.loads(text), chance))
        else:
            place = chance.randrange(len(text))
            text = text[:place] + chance.choice(PIECES) + text[place + chance.randrange(4) :]
        file.write_text(text, "utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = open_dataset(root / paths[-1])
                if dataset.source != "none":
                    dataset.ground_truth()
                list(dataset)
            except AnydetError as error:
                refused = error
            else:
                continue
        assert refused.fix, refused
