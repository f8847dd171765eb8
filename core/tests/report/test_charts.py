from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from anydet.errors import AnydetError, OptionError
from anydet.evaluation.evaluator import AnalysisSettings
from anydet.evaluation.figures import Axis, Bar, Bars, Lines, Matrix, Series
from anydet.evaluation.reading import read_inputs
from anydet.evaluation.run import run_evaluators
from anydet.evaluation.tables import Table
from anydet.plugins.manager import Plugins
from anydet.report.charts import draw_bars, draw_charts, draw_figure, draw_lines, draw_matrix

AXIS = Axis("")
CHARTS = {
    "coco-precision-recall.png",
    "coco-intervals.png",
    "coco-slices.png",
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


@pytest.mark.slow
def test_every_result_gets_its_chart(files, tmp_path):
    analysis = AnalysisSettings(resamples=5, slices={"first": ["1.jpg", "2.jpg"]})
    run = run_evaluators([read_inputs(*files)], plugins=Plugins(()), analysis=analysis)
    drawn = draw_charts(run, tmp_path / "charts")
    assert {path.name for path in drawn} == CHARTS
    for path in drawn:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert len(set(picture.convert("L").tobytes())) > 10


def test_bars_are_as_long_as_their_numbers_and_stand_in_their_order():
    area = axes()
    draw_bars(
        area,
        Bars(
            "errors", "", AXIS, (Bar("Cls", 0.25, note="3"), Bar("Loc", None), Bar("FP", 0.5, secondary=True))
        ),
    )
    assert [bar.get_width() for bar in area.patches] == [0.5, 0.25]
    names = dict(zip(area.get_yticks(), [tick.get_text() for tick in area.get_yticklabels()], strict=True))
    assert [names[bar.get_y() + bar.get_height() / 2] for bar in area.patches] == ["FP", "Cls"]
    assert sorted(text.get_text() for text in area.texts) == ["0.2500   3", "0.5000", "n/a"]


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 2), (2, 0), (1, 1)])
def test_a_matrix_of_any_size_is_drawn_without_a_warning(rows, columns, by_row, tmp_path):
    names = [tuple(f"{i}" for i in range(number)) for number in (rows, columns)]
    values = tuple((0,) * columns for _ in range(rows))
    figure = Matrix("m", "", Axis("row"), Axis("column"), Axis("number"), *names, values, by_row=by_row)
    draw_figure(figure, tmp_path / "m.png")
    area = axes()
    draw_matrix(area, figure)
    assert (area.get_xlabel().split("\n")[0], area.get_ylabel()) == ("column", "row")
    assert ("n/a" in [text.get_text() for text in area.texts]) == (not rows or not columns)


@pytest.mark.parametrize("values", [(0.25, None), (None, 0.25), (None, None)])
def test_a_bar_without_a_number_has_a_place_within_the_axes(values):
    area = axes()
    draw_bars(area, Bars("errors", "", AXIS, tuple(Bar(f"{i}", value) for i, value in enumerate(values))))
    low, high = area.get_ylim()
    assert low <= -0.5 < 1.5 <= high
    notes = [text.xy[1] for text in area.texts if text.get_text() == "n/a"]
    assert notes == [1 - i for i in (1, 0) if values[i] is None]


def test_numbers_with_intervals_are_dots_on_them():
    area = axes()
    draw_bars(area, Bars("intervals", "", Axis("", limits=(0.0, 1.0)), (Bar("AP", 0.5, 0.25, 0.75),)))
    assert not area.patches
    assert [list(line.get_xdata()) for line in area.lines] == [[0.5], [0.25, 0.75]]
    assert area.get_xlim() == (0.0, 1.0)


def test_dots_of_an_axis_without_limits_are_seen_from_zero():
    area = axes()
    draw_bars(area, Bars("lost", "", AXIS, (Bar("a", 0.5, 0.4, 0.6), Bar("b", 0.55, 0.5, 0.6))))
    low, high = area.get_xlim()
    assert low <= 0
    assert high >= 0.6


def test_an_interval_of_one_bar_among_others_is_a_line_on_it():
    area = axes()
    draw_bars(area, Bars("times", "", AXIS, (Bar("decode", 3.0, 2.0, 5.0), Bar("model", 9.0))))
    assert [bar.get_width() for bar in area.patches] == [9.0, 3.0]
    assert [list(line.get_xdata()) for line in area.lines] == [[2.0, 5.0]]


def test_counts_are_shaded_by_their_fraction_of_the_row():
    area = axes()
    table = Table("confusion", ("true", "cat", "background"), (("cat", 3, 1), ("background", 0, 0)))
    draw_matrix(area, Matrix.of_counts(table, "matrix", rows="true", columns="predicted", value="objects"))
    assert area.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert [text.get_text() for text in area.texts] == ["3", "1"]


def test_numbers_of_two_signs_are_shaded_around_zero():
    area = axes()
    numbers = (-1.0, 4.0, None, -0.0004)
    draw_matrix(area, Matrix("m", "", AXIS, AXIS, AXIS, ("a",), ("b", "c", "d", "e"), (numbers,)))
    assert area.images[0].get_clim() == (-4.0, 4.0)
    assert [text.get_text() for text in area.texts] == ["-1.000", "4.000", "n/a", "0.000"]


def test_names_are_left_out_where_there_is_no_room():
    area = axes()
    names = tuple(map(str, range(101)))
    draw_matrix(area, Matrix("m", "", AXIS, AXIS, AXIS, names, names, ((1,) * 101,) * 101))
    assert "100" not in [tick.get_text() for tick in area.get_xticklabels()]
    assert not area.texts


def test_lines_have_gaps_bands_and_a_legend():
    area = axes()
    band = Series("model", (0, 1, 2), (0.5, None, 0.75), low=(0.25, None, 0.5), high=(1.0, None, 1.0))
    chance = Series("chance", (0, 2), (0.5, 0.5), reference=True)
    draw_lines(area, Lines("l", "", Axis("depth", "m"), Axis("AP", limits=(0.0, 1.0)), (band, chance)))
    drawn = [line.get_ydata().tolist() for line in area.lines]
    assert drawn == [[0.5, pytest.approx(float("nan"), nan_ok=True), 0.75], [0.5, 0.5]]
    assert [line.get_linestyle() for line in area.lines] == ["-", "--"]
    assert [text.get_text() for text in area.texts] == ["model", "chance"]
    assert len(area.collections) == 1
    assert (area.get_xlabel(), area.get_ylabel()) == ("depth (m)", "AP")


def test_points_are_as_large_as_what_they_rest_on():
    area = axes()
    draw_lines(area, Lines("l", "", AXIS, AXIS, (Series("", (0.25, 0.75), (0.5, 0.5), weights=(1, 4)),)))
    assert area.collections[0].get_offsets().tolist() == [[0.25, 0.5], [0.75, 0.5]]
    small, large = area.collections[0].get_sizes()
    assert (small, large) == (60.0, 210.0)
    assert not area.texts


@pytest.mark.parametrize(("count", "shown", "last"), [(6, 6, "5"), (16, 16, "15"), (40, 16, "and 25 more")])
def test_many_lines_share_a_color_and_the_legend_ends_where_the_plot_does(count, shown, last):
    area = axes()
    series = tuple(Series(str(i), (0, 1), (i, i)) for i in range(count))
    draw_lines(area, Lines("l", "", AXIS, AXIS, series))
    assert len({line.get_color() for line in area.lines}) == (count if count <= 6 else 1)
    assert len(area.texts) == shown
    assert area.texts[-1].get_text() == last


def test_without_matplotlib_the_fix_is_named(files, tmp_path, monkeypatch):
    run = run_evaluators([read_inputs(*files)], ["tide"], plugins=Plugins(()))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AnydetError, match=r"need the package matplotlib.*\n.*pip install 'anydet\[plot\]'"):
        draw_charts(run, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["\x1b[2J\u202e", "a$b", r"$\frac{$", "two\nlines", "x" * 5_000_000])
def test_names_of_any_text_are_drawn(name, tmp_path):
    axis = Axis(name)
    figures = (
        Lines("lines", name, x=axis, y=axis, series=(Series(name, (0.0, 1.0), (0.0, 1.0)),)),
        Bars("bars", name, value=axis, bars=(Bar(name, 0.5, note=name),)),
        Matrix("matrix", name, axis, axis, axis, (name,), (name,), ((1.0,),), by_row=True),
    )
    for figure in figures:
        draw_figure(figure, tmp_path / "figure.png")


def test_words_beside_points_touch_neither_each_other_nor_points(tmp_path, monkeypatch):
    from anydet.report import charts

    kept = []
    draw = charts._write_labels
    monkeypatch.setattr(charts, "_write_labels", lambda axes, figure: (draw(axes, figure), kept.append(axes)))
    near = [((30, 60, 121), 0.26), ((31, 68, 128), 0.26), ((27, 53, 107), 0.249)]
    lines = tuple(Series(f"{y}", x, (y,) * 3, labels=("1", "2", "4")) for x, y in near)
    figure = Lines("sweep", "t", Axis("x", limits=(0.0, 147.0)), Axis("y", limits=(0.0, 0.3)), lines)
    draw_figure(figure, tmp_path / "a.png")
    (axes,) = kept
    words = [t for t in axes.texts if t.get_text() in {"1", "2", "4"}]
    assert len(words) == 9
    boxes = [word.get_window_extent() for word in words]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    points = np.concatenate([axes.transData.transform(line.get_xydata()) for line in axes.lines])
    assert not any(box.contains(*point) for box in boxes for point in points)


@pytest.mark.parametrize(("suffix", "starts"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), ("", b"\x89PNG")])
def test_a_chart_is_what_its_name_says(suffix, starts, tmp_path):
    figure = Lines("one", "t", Axis("x"), Axis("y"), (Series("", (0, 1), (0, 1)),))
    draw_figure(figure, tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes().startswith(starts)
    with pytest.raises(OptionError, match=r"a\.jpg: charts are drawn as \.png or \.svg"):
        draw_figure(figure, tmp_path / "a.jpg")
