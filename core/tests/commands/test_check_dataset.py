"""``anydet check-dataset``: what it prints and how it exits."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
from click.testing import CliRunner

from anydet.cli import main
from anydet.errors import AnydetWarning
from anydet.evaluation.dataset_check import check_dataset


def first(**changes):
    def edit(content):
        content["annotations"][0].update(changes)

    return edit


def run(*arguments):
    result = CliRunner().invoke(main, ["check-dataset", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def test_the_command_exits_with_1_where_something_is_broken(altered_coco, scene_folders):
    good, broken = run(scene_folders / "coco"), run(altered_coco(first(image_id=999)))
    assert (good.exit_code, broken.exit_code) == (0, 1)
    assert good.stdout.splitlines()[-1].endswith("nothing is broken")
    assert re.search(
        r"\nannotations without image: annotation 1 .*\n  fix: correct them; '--repair OUT'", broken.stdout
    )


def test_the_command_prints_the_check_as_json(altered_coco):
    root = altered_coco(first(bbox=[10, 10, 0, 5]))
    printed = json.loads(run(root, "--json").stdout)
    assert printed == json.loads(json.dumps(check_dataset(root).as_dict()))
    assert list(printed) == [
        "ok",
        "dataset",
        "split",
        "source",
        "images",
        "annotations",
        "classes",
        "findings",
    ]
    assert np.all([list(one) == list(printed["findings"][0]) for one in printed["findings"]])


def test_repair_writes_a_copy_in_which_nothing_is_broken_and_lists_every_repair(altered_coco, tmp_path):
    def edit(content):
        rows = content["annotations"]
        rows[0]["bbox"][2] = float("nan")
        rows[1]["bbox"][2] *= -1
        rows[2]["segmentation"] = [[1, 2]]
        rows[3]["category_id"] = 999
        rows[4]["iscrowd"] = "1"
        rows[5]["area"] = "large"
        content["info"] = {"note": float("inf")}

    root, out = altered_coco(edit), tmp_path / "mended.json"
    done = run(root, "--repair", out)
    assert done.exit_code == 0
    *lines, last = done.stdout.splitlines()
    assert [line.split("; ")[-1] for line in lines] == [
        "left out, or the area is width x height", "left out", "without a segmentation", "left out",
        "0 or 1 where that is what the text says, else 0", "width x height",
    ]  # fmt: skip
    before = json.loads(next((root / "annotations").iterdir()).read_text())
    after = json.loads(out.read_text())
    assert after["info"] == {"note": None}
    kept = before["annotations"][2:3] + before["annotations"][4:]
    assert [one["id"] for one in after["annotations"]] == [one["id"] for one in kept]
    assert last == f"{out}: {len(kept)} of {len(kept) + 3} annotations; 6 kinds of repairs"
    assert run(out, "--no-images").exit_code == 0
    assert json.loads(run(out, "--repair", tmp_path / "again.json", "--json").stdout)["repairs"] == []


def test_strict_refuses_odd_annotations_that_are_read_otherwise(altered_coco, tmp_path):
    root = altered_coco(first(bbox=[10, 10, -3, 5]))
    (tmp_path / "p.json").write_text("[]")
    for command in ("eval-coco", "eval"):
        arguments = [command, "--dataset", str(root), "--predictions", str(tmp_path / "p.json"), "--strict"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnydetWarning)
            done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert "negative width or height: 1 (the first: annotation 1" in done.stderr
        assert "leave out --strict" in done.stderr


def test_repair_refuses_what_it_cannot_write(altered_coco, scene_folders, tmp_path):
    root = altered_coco(first(image_id=999))
    assert "is a JSON file" in run(root, "--repair", tmp_path / "folder").output
    assert "has none" in run(scene_folders / "yolo", "--repair", tmp_path / "out.json").output
    (file,) = (root / "annotations").iterdir()
    before = file.read_bytes()
    assert run(root, "--repair", file).exit_code == 1
    assert file.read_bytes() == before
    file.write_text("[1")
    assert "not a COCO annotations file" in run(file, "--repair", tmp_path / "out.json").output
    assert not list(tmp_path.glob("*.json"))
