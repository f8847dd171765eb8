from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from anydet import open_dataset
from anydet.cli import main
from anydet.data.dataset.part_states import PART_STATES
from anydet.errors import DatasetError, OptionError
from anydet_delftbikes.parts import PARTS, STATES
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_delftbikes.writing import write_delftbikes
from anydet_fasterrcnn_multitask.convert import convert_to_coco
from anydet_fasterrcnn_multitask.environment import VARIABLES, read_env, read_variables
from anydet_fasterrcnn_multitask.prepare import prepare

SIZE = (96, 72)


@pytest.fixture(scope="module")
def bikes(tmp_path_factory):
    root = tmp_path_factory.mktemp("bikes") / "data"
    for split, count, seed in (("train", 4, 1), ("val", 2, 2)):
        write_delftbikes(SyntheticBikes(count, seed, SIZE), root, split)
    return root


@pytest.fixture(scope="module")
def variables(bikes, tmp_path_factory):
    named = {f"{split.upper()}_JSON": bikes / f"{split}_annotations.json" for split in ("train", "val")}
    named |= {f"{split.upper()}_CLEANED": bikes / split for split in ("train", "val")}
    return {name: str(path) for name, path in named.items()} | {
        "OUTPUT_DIR": str(tmp_path_factory.mktemp("prepared") / "out")
    }


@pytest.fixture(scope="module")
def prepared(variables):
    done = prepare(variables)
    return done["train"].path.parent, done


@pytest.mark.slow
def test_boxes_classes_states_and_pixels_survive_to_coco(bikes, prepared):
    out, _ = prepared
    for split, count in (("train", 4), ("val", 2)):
        before, after = open_dataset(bikes, split), open_dataset(out / f"{split}_dataset.json")
        assert len(before) == len(after) == count
        assert after.classes == before.classes
        assert after.ground_truth().state_names == STATES
        states = [one.ground_truth().about.part_states for one in (before, after)]
        assert np.array_equal(*states)
        for one, other in zip(before, after, strict=True):
            assert one.key == other.key
            assert np.array_equal(one.labels.boxes_xywh_px, other.labels.boxes_xywh_px)
            assert np.array_equal(one.labels.class_ids, other.labels.class_ids)
            assert np.array_equal(one.labels.states, other.labels.states)
            assert np.array_equal(one.image(), other.image())


@pytest.mark.slow
def test_counts_are_those_of_the_file_and_presence_is_kept(bikes, prepared):
    out, done = prepared
    document = json.loads((out / "train_coco.json").read_text())
    conversion = done["train"]
    assert conversion.images == len(document["images"]) == 4
    assert conversion.annotations == len(document["annotations"]) == sum(conversion.states.values())
    assert conversion.annotations + conversion.without_box == 4 * len(PARTS)
    assert conversion.broken == ()
    records = open_dataset(bikes, "train")
    assert [image["part_states"] for image in document["images"]] == [r.extra[PART_STATES] for r in records]
    assert [category["name"] for category in document["categories"]] == list(PARTS)
    assert [category["id"] for category in document["categories"]] == list(range(1, 23))


def predictions_of(dataset):
    """Predictions of a detector that finds every part and its state."""
    entries = []
    for record in dataset:
        labels, scale = record.labels, np.tile(record.size_wh, 2)
        corner, size = labels.boxes_xywh_px[:, :2], labels.boxes_xywh_px[:, 2:]
        boxes = np.concatenate([corner + size / 2, size], axis=1) / scale
        rows = zip(labels.class_ids.tolist(), boxes.tolist(), labels.states.tolist(), strict=True)
        detections = [
            {
                "class_id": c,
                "score": 0.9,
                "state": s,
                "bbox": dict(zip(("cx", "cy", "w", "h"), box, strict=True)),
            }
            for c, box, s in rows
        ]
        entries.append({"image": record.key, "detections": detections})
    return entries


@pytest.mark.parametrize("which", ["delftbikes", "coco"])
def test_anydet_eval_measures_states_and_both_protocols(which, bikes, prepared, tmp_path):
    place = bikes if which == "delftbikes" else prepared[0] / "val_dataset.json"
    predictions = tmp_path / "predictions.json"
    predictions.write_text(json.dumps(predictions_of(open_dataset(place, "val"))))
    done = CliRunner().invoke(
        main,
        ["eval", "--dataset", str(place), "--split", "val", "--predictions", str(predictions), "--json", "-",
         "--metrics", "states,delftbikes,presence"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["metrics"]
    assert found["states/macro_f1"] == 1.0
    assert found["delftbikes/AP"] == pytest.approx(1.0)
    assert found["delftbikes/all_states_AP"] == pytest.approx(1.0)
    assert found["presence/presence_AP"] == 1.0


@pytest.fixture
def broken(bikes, tmp_path):
    """Four images of which only the last has nothing wrong."""
    document = json.loads((bikes / "train_annotations.json").read_text())
    first, second, third, last = document
    document["gone.png"] = document.pop(first)
    parts = document[second]["parts"]
    parts["bell"]["object_state"] = "borken"
    parts["saddle"]["absolute_bounding_box"] = {"left": 500, "top": 10, "width": 20, "height": 20}
    parts["chain"]["absolute_bounding_box"] = {"left": 80, "top": 10, "width": 40, "height": 20}
    parts["lock"] = {
        "object_state": "intact",
        "absolute_bounding_box": {"left": 1, "top": 1, "width": 0, "height": 9},
    }
    parts["sadle"] = {"object_state": "intact"}
    for part in ("bell", "steer"):
        parts[part]["absolute_bounding_box"] = {"left": 10, "top": 10, "width": 20, "height": 20}
    document[third]["image"] = {"width": 640, "height": 480}
    path = tmp_path / "train_annotations.json"
    path.write_text(json.dumps(document))
    return path, second, third, last


def test_broken_entries_are_reported_with_what_was_done(broken, bikes, tmp_path, capsys):
    path, second, third, last = broken
    done = convert_to_coco(path, bikes / "train", tmp_path / "coco.json")
    found = {(one.image, one.part): (one.kind, one.problem.partition(":")[0]) for one in done.broken}
    assert found == {
        ("gone.png", ""): ("missing image", "left out"),
        (second, "bell"): ("state", "kept without its state"),
        (second, "saddle"): ("box outside", "left out"),
        (second, "chain"): ("box outside", "clipped"),
        (second, "lock"): ("empty box", "left out"),
        (second, "sadle"): ("part", "left out"),
        (third, ""): ("image size", found[third, ""][1]),
    }
    assert "96 x 72" in found[third, ""][1]
    printed = capsys.readouterr().out
    assert "3 images" in printed
    assert f"broken: {second}: sadle: left out: no part is called that; did you mean 'saddle'?" in printed
    assert (
        "broken entries: 1 state, 2 box outside, 1 empty box, 1 part, 1 image size, 1 missing image"
        in printed
    )
    read = open_dataset(tmp_path / "coco.json", images=bikes / "train")
    assert read.keys == (second, third, last)
    by_part = dict(zip([PARTS[i] for i in read[0].labels.class_ids], range(99), strict=False))
    assert read[0].labels.states[by_part["bell"]] == -1
    assert read[0].labels.boxes_xywh_px[by_part["chain"]].tolist() == [80, 10, 16, 20]
    assert not {"saddle", "lock"} & set(by_part)
    assert read[1].size_wh == SIZE


def test_many_broken_entries_are_counted(bikes, tmp_path):
    document = json.loads((bikes / "val_annotations.json").read_text())
    for entry in document.values():
        for part in entry["parts"].values():
            part["object_state"] = "fine"
    path = tmp_path / "val_annotations.json"
    path.write_text(json.dumps(document))
    lines = list(convert_to_coco(path, bikes / "val", tmp_path / "coco.json", quiet=True).lines())
    assert sum(line.startswith("broken: ") for line in lines) == 20
    assert "... and 24 more" in lines
    assert lines[-1] == "broken entries: 44 state"


def test_a_folder_without_any_of_the_images_is_an_error_and_writes_nothing(bikes, tmp_path):
    with pytest.raises(DatasetError, match="none of the 4 images") as caught:
        convert_to_coco(bikes / "train_annotations.json", tmp_path, tmp_path / "coco.json")
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_the_same_input_gives_the_same_bytes(bikes, prepared, tmp_path):
    convert_to_coco(bikes / "train_annotations.json", bikes / "train", tmp_path / "coco.json", quiet=True)
    assert (tmp_path / "coco.json").read_bytes() == (prepared[0] / "train_coco.json").read_bytes()


def test_a_dotenv_file_is_read_as_shells_do(tmp_path):
    file = tmp_path / ".env"
    file.write_text(
        '# data\n\nTRAIN_JSON = data/train.json\nexport VAL_JSON="a b.json"  # quoted\n'
        "VAL_CLEANED='x#y'\nOUTPUT_DIR=out # results\n"
    )
    assert read_env(file) == {
        "TRAIN_JSON": "data/train.json",
        "VAL_JSON": "a b.json",
        "VAL_CLEANED": "x#y",
        "OUTPUT_DIR": "out",
    }


def test_the_environment_goes_before_the_file_and_flags_before_both(variables, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTPUT_DIR", "from-environment")
    for name in set(VARIABLES) - {"OUTPUT_DIR"}:
        monkeypatch.delenv(name, raising=False)
    assert read_variables() == variables | {"OUTPUT_DIR": "from-environment"}
    run = CliRunner().invoke(main, ["fasterrcnn-multitask", "prepare", "--output-dir", "from-flag", "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["val"]["images"] == 2
    assert (tmp_path / "from-flag" / "train_coco.json").is_file()
    assert not (tmp_path / "from-environment").exists()


@pytest.mark.parametrize("line", ["no equals sign", "9LIVES=cat", "=x"])
def test_a_malformed_line_is_an_error_that_names_it(line, tmp_path):
    (tmp_path / "wrong.env").write_text(f"TRAIN_JSON=x\n{line}\n")
    with pytest.raises(OptionError, match=r"wrong\.env:2") as caught:
        read_variables(tmp_path / "wrong.env")
    assert caught.value.fix


def test_missing_variables_are_all_named(variables):
    with pytest.raises(OptionError, match="not set: VAL_JSON, OUTPUT_DIR") as caught:
        prepare({name: value for name, value in variables.items() if name not in {"VAL_JSON", "OUTPUT_DIR"}})
    assert "--val-json" in caught.value.fix
