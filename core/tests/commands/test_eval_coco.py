from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.commands import eval_coco
from anydet.errors import AnydetWarning
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.evaluation.reading import read_inputs
from anydet.evaluation.run import evaluate_coco
from anydet.geometry.boxes import BOX_FORMATS
from anydet.plugins.manager import Plugins

AP = {"bbox": 0.504581, "segm": 0.319545, "keypoints": 0.504884}


@pytest.fixture
def run():
    """``anydet eval-coco`` with core's own plugins; a traceback fails the test."""
    plugins = Plugins(())

    def invoke(*arguments):
        result = CliRunner().invoke(main, ["eval-coco", *map(str, arguments)], obj=plugins)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return invoke


@pytest.fixture
def scene(tmp_path):
    """A COCO file of three images with a cat each, and predictions that find two of them."""
    truth = {
        "images": [{"id": 30 - i, "file_name": f"{i}.jpg", "width": 100, "height": 50} for i in range(3)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {
                "id": i,
                "image_id": 30 - i,
                "category_id": 7,
                "bbox": [40, 15, 20, 20],
                "area": 400,
                "iscrowd": 0,
            }
            for i in range(3)
        ],
    }
    detection = {"class_id": 0, "score": 0.5, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.4}}
    dataset, predictions = tmp_path / "instances_val2017.json", tmp_path / "predictions.json"
    dataset.write_text(json.dumps(truth))

    def write(*, images=("0.jpg", "1.jpg"), classes=None, **changes):
        entries = [{"image": image, "detections": [{**detection, **changes}]} for image in images]
        meta = {} if classes is None else {"classes": classes}
        predictions.write_text(json.dumps({"predictions": entries, "meta": meta}))
        return "--dataset", dataset, "--predictions", predictions

    return write


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
def test_coco_result_files_give_the_bits_of_pycocotools(iou_type, run, read_problem, reference, tmp_path):
    problem, truth, results = read_problem(iou_type)
    out = tmp_path / "out.json"
    done = run("--dataset", truth, "--predictions", results, "--iou-type", iou_type, "--json", out)
    assert done.exit_code == 0, done.output
    metrics = json.loads(out.read_text())["metrics"]
    assert [-1 if v is None else v for v in metrics.values()] == reference(problem, iou_type).stats.tolist()
    assert metrics["AP"] == pytest.approx(AP[iou_type], abs=1e-6)
    assert f"AP      {metrics['AP']:.4f}\n" in done.stdout


def test_the_table_says_na_where_coco_says_minus_one_and_json_null(run, scene):
    done = run(*scene(), "--per-class")
    assert "APl        n/a\n" in done.stdout
    assert re.search(r"│ dog   │ +n/a │", done.stdout)
    done = run(*scene(), "--json", "-")
    written = json.loads(done.stdout)
    assert written["metrics"]["APl"] is None
    assert written["per_class"][1]["name"] == "dog"
    assert written["per_class"][1]["AP"] is None
    assert written["metrics"]["AR100"] == pytest.approx(2 / 3)


def test_the_split_and_missing_images_are_on_stderr_and_in_the_protocol(run, scene):
    done = run(*scene(), "--json", "-")
    assert "3 images, split val2017" in done.stderr
    assert "does not mention 1 of the images (2.jpg)" in done.stderr
    protocol = json.loads(done.stdout)["protocol"]
    assert protocol["images_without_predictions"] == 1
    assert (protocol["split"], protocol["max_images"], protocol["images"]) == ("val2017", None, 3)
    assert protocol["ground_truth"] == "instances_val2017.json"


@pytest.mark.parametrize(
    ("lacking", "said"), [(0, ""), (1, ", areas of 1 annotations that state none are"), (3, ", areas are")]
)
def test_areas_that_are_those_of_boxes_are_said_in_one_note(run, scene, lacking, said):
    arguments = scene()
    truth = json.loads(arguments[1].read_text())
    for annotation in truth["annotations"][:lacking]:
        del annotation["area"]
    arguments[1].write_text(json.dumps(truth))
    done = run(*arguments)
    note = f"{said} width x height of boxes\n" if said else "\n"
    assert done.stdout.endswith(f"boxes read as cxcywh_norm{note}")
    protocol = json.loads(run(*arguments, "--json", "-").stdout)["protocol"]
    assert protocol["annotations_without_area"] == lacking


def test_a_limit_restricts_both_sides(run, scene):
    done = run(*scene(), "--max-images", 1, "--json", "-")
    written = json.loads(done.stdout)
    assert written["metrics"]["AR100"] == 1.0
    assert (written["protocol"]["images"], written["protocol"]["annotations"]) == (1, 1)
    assert (written["protocol"]["detections"], written["protocol"]["predicted_images_left_out"]) == (1, 1)
    assert written["protocol"]["max_images"] == 1


def test_a_dry_run_counts_and_evaluates_nothing(run, scene):
    done = run(*scene(), "--dry-run")
    assert done.exit_code == 0
    assert "3 images (1 without predictions), 3 annotations, 2 detections" in done.stdout
    assert "nothing was evaluated" in done.stderr
    assert "AP50" not in done.stdout


def test_a_dry_run_finds_what_does_not_fit(run, scene):
    assert run(*scene(class_id=5), "--dry-run").exit_code == 1
    assert run(*scene(), "--dry-run", "--iou-type", "segm").exit_code == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ("9.jpg",)}, "'9.jpg' is not in the data set"),
        ({"class_id": 5}, "class ids that the data set does not have: 5"),
        ({"classes": ["cat", "cow"]}, "predictions: cat, cow"),
        ({"score": 1.5}, "predictions[0].detections[0].score"),
    ],
)
def test_what_does_not_fit_is_named_without_traceback(changes, message, run, scene):
    done = run(*scene(**changes))
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--split", "test"), 1, "no split 'test'"),
        (("--engine", "fastest"), 1, "no engine called 'fastest' (known: pycocotools"),
        (("--iou-type", "boxes"), 2, "'boxes' is not one of"),
        (("--bbox-format", "xyxy"), 2, "'xyxy' is not one of"),
        (("--keypoint-sigmas", "a,b"), 2, "not a list of positive numbers"),
        (("--max-images", "0"), 2, "not in the range"),
        (("--workers", "100000000000"), 2, "'--workers': 100000000000 is not in the range 1<=x<=1024"),
        (("--max-dets", "7," * 398 + "9"), 2, "'--max-dets': 399 numbers, at most 254 are supported"),
        (("--max-dets", f"{10**30}"), 2, "not a list of numbers above 0 and up to 2147483647"),
        (("--iou-thresholds", "0.5," * 1000 + "1"), 2, "'--iou-thresholds': 1001 numbers, at most 1000"),
        (("--iou-thresholds", "50"), 2, "not a list of numbers above 0 and up to 1"),
        (("--area-ranges", ",".join(f"a{i}=0:9" for i in range(17))), 2, "17 area ranges, at most 16"),
    ],
)
def test_wrong_options_have_their_exit_codes(arguments, code, message, run, scene):
    done = run(*scene(), *arguments)
    assert done.exit_code == code
    assert message in done.stderr


def test_missing_files_are_named(run, scene, tmp_path):
    good = scene()
    done = run(*good[:2], "--predictions", tmp_path / "none.json")
    assert done.exit_code == 1
    assert "none.json: no such file" in done.stderr
    done = run("--dataset", tmp_path / "nowhere", *good[2:])
    assert done.exit_code == 1
    assert "nowhere: no such data set" in done.stderr


def test_coco_results_of_a_data_set_without_ids_must_name_its_files(run, tmp_path):
    (tmp_path / "images" / "val").mkdir(parents=True)
    (tmp_path / "labels" / "val").mkdir(parents=True)
    (tmp_path / "images" / "val" / "1.jpg").write_bytes(_jpeg())
    (tmp_path / "labels" / "val" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    results = tmp_path / "results.json"
    results.write_text('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}]')
    with warnings.catch_warnings():
        warnings.simplefilter("always", AnydetWarning)
        done = run("--dataset", tmp_path, "--predictions", results)
    assert done.exit_code == 0
    assert "category ids are taken as one-based" in done.stderr
    results.write_text('[{"image_id": 2, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}]')
    done = run("--dataset", tmp_path, "--predictions", results)
    assert done.exit_code == 1
    assert "COCO results name images by id" in done.stderr


def _jpeg():
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_data_set_without_annotations_is_an_error(run, scene, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(_jpeg())
    done = run("--dataset", folder, *scene()[2:])
    assert done.exit_code == 1
    assert "no annotations to evaluate against" in done.stderr


def test_boxes_are_read_in_the_format_named(run, scene):
    arguments = scene(bbox=[40, 15, 60, 35])
    assert (
        json.loads(run(*arguments, "--bbox-format", "xyxy_abs", "--json", "-").stdout)["metrics"]["AP"] > 0.6
    )
    assert (
        json.loads(run(*arguments, "--bbox-format", "xywh_abs", "--json", "-").stdout)["metrics"]["AP"] == 0
    )


def test_pixels_that_are_read_as_fractions_get_a_warning(run, scene):
    result = run(*scene(bbox=[40, 15, 60, 35]))
    assert "look like pixels; pass --bbox-format" in result.stderr
    assert "look like pixels" not in run(*scene(bbox=[0.5, 0.5, 0.2, 0.4])).stderr


def test_the_formats_offered_are_those_that_can_be_read():
    assert eval_coco.BOX_FORMATS == BOX_FORMATS


def test_a_format_other_than_the_file_states_is_used_with_a_warning(run, scene):
    _, _, _, predictions = arguments = scene(bbox=[40, 15, 60, 35])
    document = json.loads(predictions.read_text())
    document["meta"]["conventions"] = {"bbox_format": "xyxy_abs"}
    predictions.write_text(json.dumps(document))
    result = run(*arguments, "--json", "-")
    assert json.loads(result.stdout)["protocol"]["box_format"] == "xyxy_abs"
    assert "warning: " + str(predictions) + " states" not in result.stderr
    overridden = run(*arguments, "--bbox-format", "xywh_abs", "--json", "-")
    assert json.loads(overridden.stdout)["protocol"]["box_format"] == "xywh_abs"
    assert "states xyxy_abs boxes; they are read as xywh_abs" in overridden.stderr


def test_the_help_shows_an_example_line_by_line(run):
    assert "\n    anydet eval-coco --dataset data/scenes --predictions predictions.json --per-class\n" in (
        run("--help").stdout
    )


def test_importing_the_command_imports_nothing_heavy():
    code = (
        "import sys, anydet.commands.eval_coco; print(*sorted({'numpy', 'rich', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_json_output_appears_whole_or_not_at_all(run, scene, tmp_path):
    out = tmp_path / "new" / "out.json"
    assert run(*scene(class_id=5), "--json", out).exit_code == 1
    assert not out.exists()
    assert run(*scene(), "--json", out).exit_code == 0
    assert [path.name for path in out.parent.iterdir()] == ["out.json"]


def test_the_library_gives_what_the_command_prints(run, scene):
    arguments = scene()
    printed = json.loads(run(*arguments, "--json", "-").stdout)
    assert evaluate_coco(arguments[1], arguments[3], engine=PycocotoolsEngine()).as_dict() == printed
    assert len(read_inputs(arguments[1], arguments[3]).detections) == 2


@pytest.mark.slow
def test_the_tool_that_existing_users_type_runs_the_same_command(scene):
    tool = Path(__file__).resolve().parents[3] / "tools" / "eval_coco.py"
    arguments = map(str, (*scene(), "--bbox-format", "cxcywh_norm", "--max-images", 2, "--dry-run"))
    done = subprocess.run([sys.executable, tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 images (0 without predictions)" in done.stdout


def test_a_file_of_lvis_is_scored_as_it_is_published_with_a_hint_at_its_protocol(run, tmp_path):
    image = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/1.jpg", "width": 100, "height": 50}
    box = {"image_id": 1, "category_id": 3, "bbox": [10, 10, 20, 20]}
    truth = {
        "images": [{**image, "neg_category_ids": [], "not_exhaustive_category_ids": []}],
        "annotations": [{"id": 1, **box, "area": 400, "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]}],
        "categories": [{"id": 3, "name": "aerosol_can", "frequency": "c"}],
    }
    dataset, results = tmp_path / "lvis_v1_val.json", tmp_path / "results.json"
    dataset.write_text(json.dumps(truth))
    results.write_text(json.dumps([{**box, "score": 0.5}]))
    plain = run("--dataset", dataset, "--predictions", results)
    assert "--protocol lvis computes the numbers of LVIS" in plain.stderr
    assert re.search(r"^AP +1\.0000", plain.stdout, re.MULTILINE)
    lvis = run("--dataset", dataset, "--predictions", results, "--protocol", "lvis")
    assert "--protocol" not in lvis.stderr
    assert re.search(r"^APc +1\.0000", lvis.stdout, re.MULTILINE)


@pytest.mark.parametrize("wrong", [False, True])
def test_oriented_boxes_are_explained_as_the_boxes_around_them(wrong, run, tmp_path):
    """The engine of oriented boxes knows no others."""
    corners = [[40 + 9 * i, 20, 60 + 9 * i, 30, 55 + 9 * i, 40, 35 + 9 * i, 30] for i in range(25)]
    shape = {"image_id": 1, "category_id": 1}
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 400, "height": 50}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [
            {
                "id": i,
                "bbox": [min(c[::2]), 20, 25, 20],
                "area": 250,
                "iscrowd": 0,
                "segmentation": [c],
                **shape,
            }
            for i, c in enumerate(corners, start=1)
        ],
    }
    found = [{**shape, "score": 0.5, "segmentation": [[v + 500 * wrong for v in c]]} for c in corners]
    dataset, predictions = tmp_path / "instances_val.json", tmp_path / "found.json"
    dataset.write_text(json.dumps(truth))
    predictions.write_text(json.dumps(found))
    sides = ("--dataset", dataset, "--predictions", predictions, "--iou-type", "obb")
    for more in ((), ("--explain",)):
        done = run(*sides, *more)
        assert done.exit_code == 0, done.output
        assert "obb, IoU 0.50:0.95" in done.stdout
        assert "engine oriented" in done.stdout
        assert done.stdout.startswith("AP      0.0000" if wrong else "AP      1.0000")
