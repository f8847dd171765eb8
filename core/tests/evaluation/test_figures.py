from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.evaluation.figures import Axis, Bar, Bars, Lines, Matrix, Series
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table

AXIS = Axis("depth", "m", (0.0, 2.0))
LINES = Lines("by-depth", "error by depth", AXIS, Axis("error"), (Series("a", (0, 1.5), (0.25, None)),))
BARS = Bars(
    "errors", "what errors cost", Axis("AP"), (Bar("Cls", 0.5, 0.25, 0.75, "3 times"), Bar("FP", None))
)
MATRIX = Matrix("pairs", "pairs", Axis("true"), Axis("found"), Axis("boxes"), ("a",), ("b", "c"), ((1, 0),))


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


def test_a_figure_is_written_with_its_kind_axes_and_numbers():
    depth = {"label": "depth", "unit": "m", "limits": [0.0, 2.0]}
    plain = {"unit": "", "limits": None}
    series = {"name": "a", "x": [0, 1.5], "y": [0.25, None], "low": None, "high": None, "weights": None}
    series["labels"] = None
    assert through_json(LINES.as_dict()) == {
        "kind": "lines",
        "name": "by-depth",
        "title": "error by depth",
        "x": depth,
        "y": {"label": "error", **plain},
        "series": [{**series, "reference": False}],
    }
    assert through_json(BARS.as_dict()) == {
        "kind": "bars",
        "name": "errors",
        "title": "what errors cost",
        "value": {"label": "AP", **plain},
        "bars": [
            {"name": "Cls", "value": 0.5, "low": 0.25, "high": 0.75, "note": "3 times", "secondary": False},
            {"name": "FP", "value": None, "low": None, "high": None, "note": "", "secondary": False},
        ],
    }
    assert through_json(MATRIX.as_dict()) == {
        "kind": "matrix",
        "name": "pairs",
        "title": "pairs",
        "rows": {"label": "true", **plain},
        "columns": {"label": "found", **plain},
        "value": {"label": "boxes", **plain},
        "row_names": ["a"],
        "column_names": ["b", "c"],
        "values": [[1, 0]],
        "by_row": False,
    }


def test_an_axis_reads_as_label_and_unit():
    assert (AXIS.text, Axis("recall").text) == ("depth (m)", "recall")


def test_a_table_of_counts_becomes_a_matrix():
    table = Table("confusion", ("true", "cat", "dog", "nothing"), (("cat", 3, 1, 0), ("dog", 0, 2, 5)))
    matrix = Matrix.of_counts(table, "confusion", rows="true", columns="predicted", value="images")
    assert (matrix.title, matrix.row_names, matrix.column_names) == (
        "confusion",
        ("cat", "dog"),
        ("cat", "dog", "nothing"),
    )
    assert matrix.values == ((3, 1, 0), (0, 2, 5))
    assert matrix.by_row


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Series("a", (0, 1), (0,)), "columns of other lengths than the 2 of x"),
        (lambda: Series("a", (0,), (0,), weights=(1, 2)), "columns of other lengths than the 1 of x"),
        (lambda: Series("a", (0,), (0,), low=(0,)), "a lower and an upper end"),
        (lambda: Series("a", (0,), (np.nan,)), "series 'a': nan is not finite"),
        (lambda: Bar("a", np.inf), "bar 'a': inf is not finite"),
        (lambda: Bar("a", 1.0, high=2.0), "a lower and an upper end"),
        (lambda: Axis("a", limits=(1, 1)), "axis 'a': limits"),
        (lambda: Axis("a", limits=(0, np.inf)), "axis 'a': inf is not finite"),
        (lambda: Bars("a b", "t", AXIS, ()), "figure name 'a b': use small letters"),
        (lambda: Lines("../a", "t", AXIS, AXIS, ()), "figure name '../a'"),
        (
            lambda: Matrix("m", "t", AXIS, AXIS, AXIS, ("a",), ("b",), ((1, 2),)),
            "do not fit 1 rows of 1 columns",
        ),
        (lambda: Matrix("m", "t", AXIS, AXIS, AXIS, ("a",), ("b",), ()), "do not fit 1 rows"),
        (lambda: Matrix("m", "t", AXIS, AXIS, AXIS, ("a",), ("b",), ((np.nan,),)), "t: row 'a': nan"),
        (lambda: Measured({}, (), {}, (LINES, LINES)), "names of their own, got by-depth, by-depth"),
    ],
)
def test_figures_that_could_not_be_drawn_or_written_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_result_writes_tables_and_figures():
    table = Table("classes", ("class", "AP"), (("cat", 0.5),))
    written = through_json(Measured({"AP": 0.5}, (table,), {"images": 3}, (LINES, BARS, MATRIX)).as_dict())
    assert [figure["kind"] for figure in written["figures"]] == ["lines", "bars", "matrix"]
    assert written["tables"] == [{"title": "classes", "header": ["class", "AP"], "rows": [["cat", 0.5]]}]
    assert (written["metrics"], written["protocol"]) == ({"AP": 0.5}, {"images": 3})
