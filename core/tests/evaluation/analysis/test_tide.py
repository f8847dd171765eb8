"""TIDE beside tidecv 1.0.1, whose numbers were taken once.

Recipe: write the two tables of ``make_crowd(images, seed)`` as JSON, then

    run = TIDE().evaluate(datasets.COCO(truth), datasets.COCOResult(results), mode=TIDE.BOX)
    run.ap, run.fix_main_errors(), run.fix_special_errors(), run.count_errors()

in an environment with tidecv, which needs opencv and seaborn and is left out of this one for their weight.
"""

from __future__ import annotations

import pytest

from anydet.evaluation.analysis.tide import ERRORS, TideEvaluator, tide_evaluator

TIDECV = {
    (8, 0): {
        "AP50": 18.80189186052125,
        "Cls": 1.185558726812836,
        "Loc": 19.120236648386527,
        "Both": 0,
        "Dupe": 0,
        "Bkg": 6.779837827207288,
        "Miss": 8.085491494791501,
        "FP": 21.132101538818684,
        "FN": 22.833362072049372,
        "counts": [11, 32, 12, 7, 41, 13],
    },
    (40, 1): {
        "AP50": 17.835267772117238,
        "Cls": 0,
        "Loc": 22.47774436296479,
        "Both": 0.12271796990152595,
        "Dupe": 1.0116890241049603,
        "Bkg": 0.9120417793734958,
        "Miss": 11.723895761545016,
        "FP": 19.78849460412039,
        "FN": 27.747828074190227,
        "counts": [28, 141, 57, 49, 153, 88],
    },
}


def tide_of(columns, problem, **options):
    detections, ground_truth = columns(problem)
    evaluator = TideEvaluator(ground_truth.classes, **options)
    evaluator.add(detections, ground_truth)
    return evaluator.result()


@pytest.mark.parametrize("problem", TIDECV)
def test_costs_and_counts_are_those_of_tidecv(columns, crowd, problem):
    result, expected = tide_of(columns, crowd(*problem)), TIDECV[problem]
    assert [row[2] for row in result.tables[0].rows[:6]] == expected["counts"]
    names = {name: name if name == "AP50" else f"dAP_{name}" for name in expected if name != "counts"}
    for name, key in names.items():
        assert 100 * result.metrics[key] == pytest.approx(expected[name], abs=1e-11), name


def test_real_coco_results_have_the_costs_of_tidecv(columns, read_problem):
    result = tide_of(columns, read_problem("bbox")[0])
    assert 100 * result.metrics["AP50"] == pytest.approx(64.20498881733425, abs=1e-11)
    costs = [100 * result.metrics[f"dAP_{kind}"] for kind in (*ERRORS, "FP", "FN")]
    expected = [22.2460397441685, 0.22789102370710168, 0, 0.018972971237033676, 0, 8.523573787723365]
    assert costs == pytest.approx([*expected, 6.821587524510463, 17.684978535217184], abs=1e-11)


def test_errors_of_classes_add_up_to_all_errors(columns, crowd):
    result = tide_of(columns, crowd())
    by_class = [sum(column) for column in zip(*(row[1:] for row in result.tables[1].rows), strict=True)]
    assert by_class == [row[2] for row in result.tables[0].rows[:6]]


def test_perfect_detections_have_no_errors(columns, crowd):
    truth, _ = crowd()
    rows = [row for row in truth["annotations"] if not row["iscrowd"]]
    perfect = [{k: row[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for row in rows]
    result = tide_of(columns, (truth, perfect))
    assert result.metrics["AP50"] == 1
    assert not any(row[2] for row in result.tables[0].rows)


def test_it_is_built_from_ground_truth_and_needs_annotations(columns, crowd):
    truth, results = crowd()
    detections, ground_truth = columns((truth, results))
    assert tide_evaluator(ground_truth).applies(detections, ground_truth) is None
    nothing = columns(({**truth, "annotations": []}, results))
    assert "no annotations" in tide_evaluator(ground_truth).applies(*nothing)
