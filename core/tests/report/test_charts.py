from __future__ import annotations

import json
import sys

import pytest
from matplotlib.figure import Figure
from PIL import Image

from anydet.errors import AnydetError
from anydet.evaluation.reading import read_inputs
from anydet.evaluation.run import AnalysisSettings, run_evaluators
from anydet.evaluation.tables import Table
from anydet.plugins.manager import Plugins
from anydet.report.charts import draw_calibration, draw_charts, draw_confusions, draw_costs

CHARTS = {
    "coco-precision-recall.png",
    "coco-intervals.png",
    "tide-errors.png",
    "confusion-matrix.png",
    "calibration-reliability.png",
}


@pytest.fixture
def files(tmp_path):
    """Six cats; five are found, once with a box too many."""
    boxes = [{"image_id": i, "category_id": 7, "bbox": [40, 15, 20, 20]} for i in range(1, 7)]
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 50} for i in range(1, 7)],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{**box, "id": i, "area": 400, "iscrowd": 0} for i, box in enumerate(boxes, start=1)],
    }
    results = [{**box, "score": 1 - i / 10} for i, box in enumerate(boxes[:5])]
    results.append({**boxes[0], "bbox": [0, 0, 9, 9], "score": 0.4})
    paths = tmp_path / "instances_val2017.json", tmp_path / "results.json"
    for path, value in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def axes():
    return Figure().subplots()


def test_every_result_gets_its_chart(files, tmp_path):
    analysis = AnalysisSettings(resamples=5)
    run = run_evaluators([read_inputs(*files)], plugins=Plugins(()), analysis=analysis)
    drawn = draw_charts(run, tmp_path / "charts")
    assert {path.name for path in drawn} == CHARTS
    for path in drawn:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert len(set(picture.convert("L").tobytes())) > 10


def test_bars_are_as_long_as_the_costs():
    area = axes()
    draw_costs(
        area, Table("what errors cost", ("error", "dAP", "count"), (("Cls", 0.25, 3), ("FP", 0.5, None)))
    )
    assert [bar.get_width() for bar in area.patches] == [0.25, 0.5]


def test_cells_are_fractions_of_the_true_class():
    area = axes()
    rows = (("cat", 3, 1), ("background", 0, 0))
    draw_confusions(area, Table("confusion matrix", ("true", "cat", "background"), rows))
    assert area.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 0.0]]


def test_empty_bins_are_not_drawn():
    area = axes()
    rows = (("0.0-0.5", 0, None, None, None), ("0.5-1.0", 4, 0.75, 0.5, 0.25))
    draw_calibration(
        area, Table("calibration", ("score", "detections", "mean score", "precision", "gap"), rows)
    )
    assert area.collections[0].get_offsets().tolist() == [[0.75, 0.5]]


def test_without_matplotlib_the_fix_is_named(files, tmp_path, monkeypatch):
    run = run_evaluators([read_inputs(*files)], ["tide"], plugins=Plugins(()))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AnydetError, match=r"need the package matplotlib.*\n.*pip install 'anydet\[plot\]'"):
        draw_charts(run, tmp_path)
