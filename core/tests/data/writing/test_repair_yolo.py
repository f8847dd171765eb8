"""What ``check-dataset --repair`` writes of YOLO labels: every line is one that is read without a word."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anydet.cli import main
from anydet.data.dataset.oddities import Found
from anydet.data.opening import open_dataset
from anydet.data.writing.repair import repair_dataset
from anydet.data.yolo.label_file import LabelGrammar, parse_labels
from anydet.data.yolo.mending import mend_labels
from anydet.errors import DatasetError, OptionError

GOOD = "0 0.5 0.5 0.2 0.2"
BOXES, POSES = LabelGrammar(2), LabelGrammar(2, (2, 3))
LINES = [
    (BOXES, "1 0.5 0.5 0.25 0.25", "1 0.5 0.5 0.25 0.25", None),
    (BOXES, "1 .50 5e-1 0.250 0.25", "1 .50 5e-1 0.250 0.25", None),
    (BOXES, "1.0 0.1 0.1 0.4 0.1 0.4 0.4", "1.0 0.1 0.1 0.4 0.1 0.4 0.4", None),
    (BOXES, "1 0.5 0.5 0.25", None, "left out where that is no label either"),
    (BOXES, "1", None, "left out where that is no label either"),
    (BOXES, "1 0.5 0.5 0.25 0.25 0.9", "1 0.5 0.5 0.25 0.25", "as confidences are written"),
    (BOXES, "1 0.1 0.1 0.4 0.1 0.4 0.4 0.9", "1 0.1 0.1 0.4 0.1 0.4 0.4", "as confidences are written"),
    (BOXES, "cat 0.5 0.5 0.25 0.25", None, "not numbers: 1"),
    (BOXES, "1 0.5 nan 0.25 0.25", None, "not numbers: 1"),
    (BOXES, "1 0.5 0.5 1_0 0.25", None, "not numbers: 1"),
    (BOXES, "2 0.5 0.5 0.25 0.25", None, "class the data set does not have: 1"),
    (BOXES, "-1 0.5 0.5 0.25 0.25", None, "class the data set does not have: 1"),
    (BOXES, "0.5 0.5 0.5 0.25 0.25", None, "class the data set does not have: 1"),
    (BOXES, "1 0 0.5 0.5 0.25", "1 0.125 0.5 0.25 0.25", "clipped to the image"),
    (BOXES, "1 0.5 0.5 4 0.25", "1 0.5 0.5 1 0.25", "clipped to the image"),
    (BOXES, "1 0.5 1.5 0.25 0.25", None, "wholly outside of the image: 1"),
    (BOXES, "1 0.5 0.5 0.25 0", None, "has no area: 1"),
    (BOXES, "1 0.5 0.5 -0.25 0.2", None, "has no area: 1"),
    (BOXES, "1 -0.1 0.1 0.4 0.1 0.4 0.4", "1 0 0.1 0.4 0.1 0.4 0.4", "clipped to the image"),
    (BOXES, "1 1.1 0.1 1.4 0.1 1.4 0.4", None, "wholly outside of the image: 1"),
    (BOXES, "1 0.1 0.1 0.4 0.1 0.3 0.1", None, "has no area: 1"),
    (POSES, "1 0.5 0.5 0.2 0.2 0.5 0.5 2 0 0 0", "1 0.5 0.5 0.2 0.2 0.5 0.5 2 0 0 0", None),
    (POSES, "1 0.5 0.5 0.2 0.2 0.5 0.5 2 1.5 0 1", "1 0.5 0.5 0.2 0.2 0.5 0.5 2 0 0 0", "not labeled"),
    (POSES, "1 0.5 0.5 0.2 0.2 0.5 0.5 7 0 0 -1", "1 0.5 0.5 0.2 0.2 0.5 0.5 2 0 0 0", "0 or 2"),
    (POSES, "1 0.5 0.5 0.2 0.2 0.5 0.5", None, "left out where that is no label either"),
    (LabelGrammar(2, (1, 2)), "1 0.5 0.5 0.2 0.2 1.5 0.5", "1 0.5 0.5 0.2 0.2 -1 -1", "not labeled"),
]


@pytest.mark.parametrize(("grammar", "line", "wanted", "said"), LINES)
def test_each_kind_of_line_is_kept_mended_or_left_out_and_listed(grammar, line, wanted, said):
    found = Found()
    lines, kept = mend_labels(f"{line}\n\n", "a.txt", grammar, found)
    assert lines == ([] if wanted is None else [wanted])
    assert kept == list(range(len(lines)))
    listed = [f"{one.what}: {one.count}; {one.repair}" for one in found.listed()]
    assert (listed == []) if said is None else (said in listed[0])
    assert all(one.examples[0].startswith("a.txt:1: ") for one in found.listed())


def test_lines_that_stand_twice_are_kept_once():
    found = Found()
    text = f"{GOOD}\n1 0.5 0.5 0.2 0.2\n0 0.50 0.5 0.2 .2\n{GOOD}\n"
    assert mend_labels(text, "a.txt", BOXES, found) == ([GOOD, "1 0.5 0.5 0.2 0.2"], [0, 1])
    assert [(one.check, one.count) for one in found.listed()] == [("duplicate labels", 2)]


WORDS = st.one_of(
    st.floats(-2, 3).map(str),
    st.integers(-2, 4).map(str),
    st.sampled_from(["nan", "x", "1e400", "1_0", "2", "0"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=4),
    st.sampled_from([BOXES, POSES, LabelGrammar(), LabelGrammar(3, (2, 2))]),
)
@pytest.mark.slow
def test_whatever_stands_in_a_file_what_is_written_is_read(lines, grammar):
    found = Found()
    text = "\n".join(lines)
    mended, kept = mend_labels(text, "a.txt", grammar, found)
    parse_labels("\n".join(mended), Path("a.txt"), grammar)  # without Found, the first odd line is refused
    given_lines = [line for line in text.splitlines() if line.strip()]
    assert len(kept) == len(mended)
    assert all(0 <= at < len(given_lines) for at in kept)
    again = Found()
    assert mend_labels("\n".join(mended), "a.txt", grammar, again)[0] == mended
    assert again.listed() == ()
    assert bool(found.listed()) == ([" ".join(line.split()) for line in given_lines] != mended)


@pytest.fixture
def broken(tmp_path):
    """Three images, of which one has no file in the end, with labels that have faults."""
    root = tmp_path / "data"
    for name in ("a.png", "sub/b.png"):
        path = root / "images" / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 40, 3), len(name), np.uint8)).save(path)
        label = root / "labels" / "val" / Path(name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{GOOD}\n{GOOD}\n5 0.5 0.5 0.1 0.1\n0 0 0 2 2\n")
    (root / "labels" / "val" / "lost.txt").write_text(GOOD)
    (root / "data.yaml").write_text("val: images/val\nnames: [cat, dog]\n")
    return root


def test_the_copy_of_a_data_set_is_whole_and_clean(broken, tmp_path):
    done = CliRunner().invoke(main, ["check-dataset", str(broken), "--repair", str(tmp_path / "out")])
    assert done.exit_code == 0
    *lines, last = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "label files whose image is not in the split",
        "label lines that stand twice for an image",
        "label lines whose class the data set does not have",
        "label lines that leave the image",
    ]
    assert last.endswith("4 of 8 annotations; 4 kinds of repairs")
    out = tmp_path / "out"
    assert (out / "images/val/sub/b.png").read_bytes() == (broken / "images/val/sub/b.png").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = open_dataset(out)
        assert (opened.keys, opened.classes.names, len(opened.ground_truth())) == (
            ("a.png", "sub/b.png"), ("cat", "dog"), 4,
        )  # fmt: skip
    checked = CliRunner().invoke(main, ["check-dataset", str(out)])
    assert checked.exit_code == 0
    assert "broken" not in checked.stdout
    again = CliRunner().invoke(main, ["check-dataset", str(out), "--repair", str(tmp_path / "b"), "--json"])
    assert json.loads(again.stdout)["repairs"] == []


def test_the_named_file_of_a_list_of_images_is_repaired_too(broken, tmp_path):
    (broken / "val.txt").write_text("images/val/sub/b.png\n")
    (broken / "list.yaml").write_text("val: val.txt\nnames: [cat, dog]\n")
    done = repair_dataset(broken / "list.yaml", None, tmp_path / "out")
    assert (done.annotations, done.before) == (2, 4)
    assert len(open_dataset(tmp_path / "out")) == 1


def test_a_sidecar_keeps_its_lines_or_the_copy_is_refused(broken, tmp_path):
    label = broken / "labels" / "val" / "a.txt"
    label.with_suffix(".json").write_text(json.dumps({"t_gt": [[0, 0, 1]] * 4}))
    with pytest.raises(DatasetError, match=r"a.json: says more of 4 label lines, of which 2 cannot be kept"):
        repair_dataset(broken, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    label.write_text("0 0 0 2 2\n")
    label.with_suffix(".json").write_text(json.dumps({"t_gt": [[0, 0, 1]]}))
    repair_dataset(broken, None, tmp_path / "out")
    assert open_dataset(tmp_path / "out")[0].labels.poses.translations_m.tolist() == [[0, 0, 1]]


def test_what_is_neither_coco_nor_yolo_is_not_repaired(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(OptionError, match="mends COCO annotations and YOLO labels"):
        repair_dataset(tmp_path, None, tmp_path / "out")
