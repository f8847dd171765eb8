"""``anydet check-dataset``: what it prints and how it exits."""

from __future__ import annotations

import json
import re

import numpy as np
from click.testing import CliRunner

from anydet.cli import main
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
        r"\nannotations without image: annotation 1\b.*\n  fix: remove them, or add the image", broken.stdout
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
