"""``anydet eval-suite``: files under one protocol, ranked with intervals and paired differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.plugins.manager import Plugins


@pytest.fixture
def folder(tmp_path, crowd):
    """Truth, a protocol, and a folder of three models: all detections, every second, every fourth."""
    truth, results = crowd(12, 1)
    (tmp_path / "instances_val2017.json").write_text(json.dumps(truth))
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    classes = {category["id"]: i for i, category in enumerate(truth["categories"])}
    models = tmp_path / "models"
    models.mkdir()
    for name, step in (("weak", 4), ("strong", 1), ("middle", 2)):
        entries = {key: {"image": key, "detections": []} for key in names.values()}
        for row in results[::step]:
            (x, y, w, h), (width, height) = row["bbox"], sizes[row["image_id"]]
            box = {"cx": (x + w / 2) / width, "cy": (y + h / 2) / height, "w": w / width, "h": h / height}
            found = {"class_id": classes[row["category_id"]], "score": row["score"], "bbox": box}
            entries[names[row["image_id"]]]["detections"].append(found)
        settings = {"score_threshold": 0.001, "max_detections": 100, "nms_iou": 0.7}
        value = {"predictions": [*entries.values()], "meta": {"export_settings": settings}}
        (models / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "protocol.yaml").write_text("{score_threshold: 0.001, max_detections: 100, resamples: 60}")
    return tmp_path


def run(folder: Path, *words: str, protocol: str = "protocol.yaml"):
    data = str(folder / "instances_val2017.json")
    line = ["eval-suite", str(folder / "models"), "--protocol", str(folder / protocol), "--dataset", data]
    return CliRunner().invoke(main, [*line, *words], obj=Plugins(()))


def restate(folder: Path, name: str, **settings):
    path = folder / "models" / f"{name}.json"
    value = json.loads(path.read_text())
    value["meta"]["export_settings"].update(settings)
    path.write_text(json.dumps(value))


def test_files_are_ranked_and_numbers_are_those_of_eval_coco_and_compare(folder):
    done = run(folder, "--json", "-")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    files = [Path(row["file"]).stem for row in value["ranking"]]
    assert files == ["strong", "middle", "weak"]
    data, models = str(folder / "instances_val2017.json"), folder / "models"
    for row in value["ranking"]:
        line = ["eval-coco", "--dataset", data, "--predictions", row["file"], "--json", "-"]
        alone = json.loads(CliRunner().invoke(main, line, obj=Plugins(())).stdout)
        assert row["metrics"] == alone["metrics"]
        line = ["eval", *line[1:5], "--metrics", "coco", "--intervals", "60", "--json", "-"]
        alone = json.loads(CliRunner().invoke(main, line, obj=Plugins(())).stdout)
        assert row["intervals"]["overall"] == alone["results"]["coco"]["intervals"]["overall"]
    pair = [str(models / "weak.json"), str(models / "strong.json")]
    line = ["compare", *pair, "--dataset", data, "--resamples", "60", "--json", "-"]
    alone = json.loads(CliRunner().invoke(main, line, obj=Plugins(())).stdout)
    (found,) = [one for one in value["differences"] if [one["a"], one["b"]] == pair]
    assert found["overall"] == alone["overall"]
    assert len(value["differences"]) == 3


def test_conditions_are_held_before_anything_is_read(folder):
    restate(folder, "weak", score_threshold=0.05)
    restate(folder, "middle", max_detections=10)
    (folder / "models" / "strong.json").write_text('{"predictions": [{"image": 1}], "meta": {}}')
    done = run(folder)
    assert done.exit_code == 1
    assert "3 files of 3 under other conditions than protocol 'protocol'" in done.stderr
    for said in (
        "weak.json: score_threshold is 0.05, the protocol's is 0.001",
        "middle.json: max_detections is 10, the protocol's is 100",
        "strong.json: score_threshold is not stated",
    ):
        assert said in done.stderr
    assert "Traceback" not in done.output


def test_what_is_let_pass_is_in_the_report(folder):
    restate(folder, "weak", score_threshold=0.05)
    assert run(folder).exit_code == 1
    assert run(folder, "--allow", "strong.json:score_threshold").exit_code == 1
    done = run(folder, "--allow", "weak.json:score_threshold", "--json", "-")
    assert done.exit_code == 0
    assert "weak.json: score_threshold is 0.05, the protocol's is 0.001; let pass" in done.stderr
    rows = {Path(row["file"]).stem: row for row in json.loads(done.stdout)["ranking"]}
    assert [miss["condition"] for miss in rows["weak"]["mismatches"]] == ["score_threshold"]
    assert rows["strong"]["mismatches"] == []


def test_the_order_is_by_the_metric_that_the_protocol_names(folder):
    (folder / "ar.yaml").write_text("{max_detections: 100, rank_by: AR1, resamples: 5}")
    done = run(folder, "--json", "-", protocol="ar.yaml")
    value = json.loads(done.stdout)
    numbers = [row["metrics"]["AR1"] for row in value["ranking"]]
    assert numbers == sorted(numbers, reverse=True)
    assert value["rank_by"] == "AR1"
    (folder / "wrong.yaml").write_text("{max_detections: 100, rank_by: AR2}")
    done = run(folder, protocol="wrong.yaml")
    assert done.exit_code == 1
    assert "there are AP, " in done.stderr
    assert "did you mean" in done.stderr


def test_a_dry_run_checks_the_chain_and_evaluates_nothing(folder):
    done = run(folder, "--dry-run", "--json", "-")
    assert done.exit_code == 0
    value = json.loads(done.stdout)
    assert "ranking" not in value
    assert len(value["files"]) == 3
    assert "dry run: 3 files under protocol protocol, sha256:" in done.stderr
    (folder / "models" / "odd.json").write_text(
        '{"predictions": [{"image": "nowhere.jpg", "detections": []}], "meta": {"export_settings": '
        '{"score_threshold": 0.001, "max_detections": 100}}}'
    )
    done = run(folder, "--dry-run")
    assert done.exit_code == 1
    assert "nowhere.jpg" in done.stderr


def test_a_folder_of_results_is_written(folder):
    pytest.importorskip("matplotlib")
    out = folder / "out"
    done = run(folder, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} >= {
        *("results.json", "tables.md", "ranking.png", "differences.png"),
    }
    value = json.loads((out / "results.json").read_text())
    assert value["protocol"]["digest"] in done.stdout
    assert "strong.json" in (out / "tables.md").read_text()


def test_the_page_has_all_tables_and_charts_and_shows_names_as_text(folder):
    pytest.importorskip("matplotlib")
    models = folder / "models"
    (models / "weak.json").rename(models / "<script>alert(1)<&script>.json")
    restate(folder, "middle", score_threshold=0.05)
    done = run(folder, "--out", str(folder / "out"), "--allow", "score_threshold")
    assert done.exit_code == 0, done.output
    page = (folder / "out/report.html").read_text()
    value = json.loads((folder / "out/results.json").read_text())
    assert value["protocol"]["digest"] in page
    assert page.count("<table>") == 4  # the ranking, steps, all numbers, and what was let pass
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;&amp;script&gt;.json" in page
    for name in ("strong", "middle"):
        assert f'<th scope="row">{name}.json</th>' in page
    assert f"wrote {folder / 'out/report.html'}" in done.stderr


def test_one_file_is_a_ranking_of_one(folder):
    for name in ("weak", "middle"):
        (folder / "models" / f"{name}.json").unlink()
    done = run(folder)
    assert done.exit_code == 0, done.output
    assert "minus" not in done.stdout


def test_a_folder_without_predictions_is_an_error(folder):
    for path in (folder / "models").iterdir():
        path.unlink()
    done = run(folder)
    assert done.exit_code == 1
    assert "no predictions there" in done.stderr
