"""Results of which some are left out are scored as pycocotools scores them, or refused with ``--strict``."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import anydet
from anydet.cli import main
from anydet.errors import AnydetWarning

CATEGORIES = (1, 3, 7)
BROKEN_MASK = {"size": [80, 100], "counts": "~"}


def documents(folder: Path) -> tuple[Path, Path]:
    """Boxes in four images, and results near them, some of unknown categories."""
    draw = np.random.default_rng(3)
    truth: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 80} for i in range(4)],
        "categories": [{"id": i, "name": f"c{i}"} for i in CATEGORIES],
        "annotations": [],
    }
    results = []
    for n in range(24):
        box = [*draw.integers(0, 50, 2).tolist(), *draw.integers(10, 30, 2).tolist()]
        label = {"image_id": n % 4, "category_id": CATEGORIES[n % 3], "bbox": box}
        truth["annotations"].append({**label, "id": n + 1, "area": box[2] * box[3], "iscrowd": 0})
        moved = (np.array(box) + draw.integers(-2, 3, 4)).tolist()
        found = {**label, "bbox": moved, "score": float(draw.random())}
        results.append({**found, "category_id": 9} if n % 6 == 5 else found)
    results[0]["segmentation"] = BROKEN_MASK
    paths = folder / "truth.json", folder / "results.json"
    for path, value in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def test_results_of_unknown_categories_and_with_broken_masks_count_as_in_pycocotools(tmp_path: Path) -> None:
    truth, results = documents(tmp_path)
    with redirect_stdout(StringIO()):
        known = COCO(truth)
        # pycocotools takes the area of a broken mask from its box, too, and looks into no mask for boxes.
        reference = COCOeval(known, known.loadRes(str(results)), "bbox")
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    with pytest.warns(AnydetWarning) as warned:
        found = anydet.evaluate(truth, results).metrics
    assert [found[name] for name in ("AP", "AP50", "AP75")] == reference.stats[:3].tolist()
    assert [str(one.message).partition(": ")[2][:40] for one in warned] == [
        "segmentations that are no mask: 1 of 24 (the"[:40],
        "results of categories that the data set does not"[:40],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval-coco", "eval", "convert"])
def test_strict_refuses_what_is_left_out(command: str, tmp_path: Path) -> None:
    truth, results = documents(tmp_path)
    given = (
        [str(results), str(tmp_path / "o.json")] if command == "convert" else ["--predictions", str(results)]
    )
    done = CliRunner().invoke(main, [command, *given, "--dataset", str(truth), "--strict"])
    assert done.exit_code == 1
    assert "results of categories that the data set does not have (9): 4 of 24" in done.output
    assert not (tmp_path / "o.json").exists()
