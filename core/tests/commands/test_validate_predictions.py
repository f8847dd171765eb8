from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from anydet.cli import main

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
GOOD, BAD = EXAMPLES / "valid" / "wrapped.json", EXAMPLES / "invalid" / "score-above-one.json"


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["validate-predictions", *map(str, args)])


def test_a_valid_file_exits_0_with_its_counts() -> None:
    result = run(GOOD)
    assert (result.exit_code, result.stdout) == (0, f"{GOOD}: valid, 0 warnings; 1 image, 1 detection\n")


def test_an_invalid_file_exits_1_with_the_place() -> None:
    result = run(BAD)
    assert result.exit_code == 1
    line = f"{BAD}: [0].detections[0].score: 1.7 is above the maximum 1 (image 000000000139.jpg"
    assert line in result.stdout  # an engine with a scanner adds the byte


def test_findings_are_followed_by_what_to_type_next(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text('[{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1]}]')
    assert "\n  fix: give the data set of the predictions: --dataset\n" in run(results).stdout
    fix = f"write the file again, or repair it with 'anydet validate-predictions {BAD} --repair OUT'"
    assert f"\n  fix: {fix}\n" in run(BAD).stdout
    assert "\n  fix: give the path of a predictions file\n" in run(tmp_path / "none.json").stdout
    assert "fix:" not in run(GOOD).stdout


def test_the_report_comes_as_json() -> None:
    result = run(BAD, "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"], len(report["errors"]), report["repairs"]) == (1, False, 1, [])


def test_repair_writes_a_valid_file_and_says_how(tmp_path: Path) -> None:
    out = tmp_path / "repaired.json"
    result = run(BAD, "--repair", out)
    assert result.exit_code == 0
    assert "repaired: " in result.stdout
    assert "1.7 clamped to 1" in result.stdout
    assert run(out).exit_code == 0


def test_a_missing_file_is_a_message_and_not_a_traceback(tmp_path: Path) -> None:
    result = run(tmp_path / "none.json")
    assert result.exit_code == 1
    assert "no such file" in result.stdout
    repair = run(tmp_path / "none.json", "--repair", tmp_path / "out.json")
    assert repair.exit_code == 1
    assert "no such file" in repair.stderr


def test_a_data_set_names_what_does_not_fit(tmp_path: Path) -> None:
    images = [{"id": 139, "file_name": "000000000139.jpg", "width": 8, "height": 4}]
    data = {
        "images": images,
        "annotations": [],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "box"}],
    }
    annotations = tmp_path / "instances_val.json"
    annotations.write_text(json.dumps(data))
    assert run(GOOD, "--dataset", annotations).exit_code == 0
    other = tmp_path / "p.json"
    other.write_text('{"7.jpg": []}')
    result = run(other, "--dataset", annotations)
    assert result.exit_code == 1
    assert "image '7.jpg' is not in the data set" in result.stdout
    assert "no entry for 1 images of the data set" in result.stdout
    assert "\n  fix: give the data set and the split of the predictions\n" in result.stdout


@pytest.mark.slow
def test_the_old_script_name_does_the_same() -> None:
    script = Path(__file__).parents[3] / "tools" / "validate_predictions.py"
    done = subprocess.run([sys.executable, script, GOOD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{GOOD}: valid, 0 warnings; 1 image, 1 detection\n")
