"""The tables of presets, in the README and in the how-to, say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anydet.runtime.layouts import LAYOUTS
from anydet.runtime.layouts.forms import FORMS
from anydet.runtime.metadata import named_presets, stated_presets
from anydet.runtime.presets import PRESETS

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "plugins" / "onnxruntime" / "README.md",
    ROOT / "docs" / "how-to" / "which-preset-for-my-model.md",
]


def rows(page):
    cells = [line.strip("|").split("|") for line in page.read_text("utf-8").splitlines() if line[:3] == "| `"]
    return {name.strip(" `"): [cell.strip() for cell in rest] for name, *rest in cells}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_table_of_presets_is_what_the_code_does(page):
    table = rows(page)
    assert list(table) == list(PRESETS)
    for name, preset in PRESETS.items():
        _family, _recognized, outputs, images, nms = table[name]
        width, height = preset.preprocess.size_wh
        assert outputs == LAYOUTS[preset.layout].expects
        assert images == f"{preset.images}, {width}x{height}"
        assert nms == ("none" if preset.nms_iou is None else f"{preset.nms_iou:g}")


TASKS = ("detect", "segment", "pose", "obb", "classify")
NAMES = (
    {"dets": False, "labels": True},
    {"dets": False, "labels": False},
    dict.fromkeys(("num_dets", "det_boxes", "det_scores", "det_classes"), False),
    {f"{what}_{stride}": False for what in ("score", "bbox") for stride in (8, 16, 32)},
    {f"{what}_{stride}": False for what in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)},
)


def test_the_table_of_outcomes_is_what_the_code_does():
    """Each family has one: by shapes, by names or metadata, or an error that names it."""
    text = PAGES[1].read_text("utf-8").split("| outcome | families |")[1].split("\n\n")[0]
    table = {
        line.split("|")[1].strip(): re.findall("`([^`]+)`", line.split("|")[2])
        for line in text.splitlines()[2:]
    }
    by_shapes, by_names, named, _ = table.values()
    assert by_shapes == [name for name, preset in PRESETS.items() if preset.certain]
    metadata = [{"stride": "32", "names": "{}"}, *({"stride": "32", "names": "{}", "task": t} for t in TASKS)]
    stated = {name for one in metadata for name in stated_presets(one)}
    stated |= {name for one in NAMES for name in named_presets(one.items(), wants_sizes=False)}
    stated |= set(named_presets((), wants_sizes=True))
    assert by_names == [name for name in PRESETS if name in stated]
    assert named == [name for name in PRESETS if name not in {*by_shapes, *by_names}]


def test_both_pages_have_the_same_table():
    assert rows(PAGES[0]) == rows(PAGES[1])


def test_the_page_of_layout_files_has_each_form_of_boxes_with_its_formula():
    page = (ROOT / "docs" / "how-to" / "declare-a-layout.md").read_text("utf-8")
    for name, form in FORMS.items():
        assert f"| `{name}` | {form.formula} |" in page
