"""``anydet check-dataset``: what it prints and how it exits."""

from __future__ import annotations

import json
import os
import re
import warnings

import numpy as np
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.commands.paths import DATASET
from anydet.errors import AnydetWarning
from anydet.evaluation.dataset_check import check_dataset
from anydet.plugins.manager import Plugins


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
        "the box around the segmentation", "left out", "without a segmentation", "left out",
        "written as numbers", "width x height",
    ]  # fmt: skip
    before = json.loads(next((root / "annotations").iterdir()).read_text())
    after = json.loads(out.read_text())
    assert after["info"] == {"note": None}
    kept = before["annotations"][:1] + before["annotations"][2:3] + before["annotations"][4:]
    assert [one["id"] for one in after["annotations"]] == [one["id"] for one in kept]
    assert last == f"{out}: {len(kept)} of {len(kept) + 2} annotations; 6 kinds of repairs"
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


def test_strict_refuses_wherever_a_data_set_is_read(altered_coco, tmp_path):
    root = altered_coco(first(bbox=[10, 10, -3, 5]))
    (tmp_path / "p.json").write_text("[]")
    data, out = ["--dataset", str(root)], str(tmp_path / "out.json")
    for command in (
        ["convert", str(root), str(tmp_path / "out"), "--to", "yolo"],
        ["convert", str(tmp_path / "p.json"), out, *data],
        ["export-predictions", "--adapter", "toy", *data, "--output", out],
        ["train", "--adapter", "fasterrcnn_multitask", *data, "--run-dir", str(tmp_path / "run")],
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnydetWarning)
            done = CliRunner().invoke(main, [*command, "--strict"])
        assert done.exit_code == 1, done.output
        assert "negative width or height: 1 (the first: annotation 1" in done.stderr
        assert "leave out --strict" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco", "p.json"]


def test_images_too_finds_what_headers_and_ends_do_not_show(altered_coco):
    root = altered_coco(lambda content: None)
    image = next(path for path in root.rglob("*") if path.suffix in {".png", ".jpg"})
    whole = bytearray(image.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 20] = bytes(20)
    image.write_bytes(whole)
    assert run(root).exit_code == 0
    done = run(root, "--images-too")
    assert done.exit_code == 1
    assert "unreadable images" in done.stdout
    assert run(root, "--images-too", "--no-images").exit_code == 2


def test_every_command_that_opens_a_data_set_has_max_pixels():
    plugins = Plugins.from_env()
    lacking = [
        name
        for name in plugins.specs("commands")
        for path, one in commands_of(plugins.load("commands", name), name)
        if any(param.type is DATASET or param.name in {"dataset", "coco_root"} for param in one.params)
        and not any(param.name == "max_pixels" for param in one.params)
    ]
    assert lacking == []


def commands_of(command, name):
    yield name, command
    for inner, one in getattr(command, "commands", {}).items():
        yield from commands_of(one, f"{name} {inner}")


def test_max_pixels_opens_what_is_refused_without_and_the_error_names_it(
    scene_folders, tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    out = tmp_path / "out.json"
    export = ["export-predictions", "--adapter", "toy", "--dataset", str(scene_folders / "yolo"), "--output"]
    done = CliRunner().invoke(main, [*export, str(out)])
    assert done.exit_code == 1
    assert "19200 pixels, which exceeds limit 200" in done.stderr
    assert (
        "fix: open it with --max-pixels 19200, or allow them (environment ANYDET_MAX_PIXELS=" in done.stderr
    )
    assert "or use --on-error skip" in done.stderr
    assert CliRunner().invoke(main, [*export, str(out), "--max-pixels", "19200"]).exit_code == 0
    assert "ANYDET_MAX_PIXELS" not in os.environ


def test_repair_refuses_what_it_cannot_write(altered_coco, scene_folders, tmp_path):
    root = altered_coco(first(image_id=999))
    assert "is a JSON file" in run(root, "--repair", tmp_path / "folder").output
    assert "is a folder" in run(scene_folders / "yolo", "--repair", tmp_path / "out.json").output
    (file,) = (root / "annotations").iterdir()
    before = file.read_bytes()
    assert run(root, "--repair", file).exit_code == 1
    assert file.read_bytes() == before
    file.write_text("[1")
    assert "not a COCO annotations file" in run(file, "--repair", tmp_path / "out.json").output
    assert not list(tmp_path.glob("*.json"))
