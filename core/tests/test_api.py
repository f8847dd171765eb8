from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import anydet
from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.errors import AnydetWarning, ContractError, OptionError
from anydet.evaluation.protocol import CocoSettings
from anydet.prediction.choices import TTA, TTT, Choice
from anydet.prediction.hooks import TTTSettings
from anydet.prediction.pipeline import Limits

pytest.importorskip("anydet_toy", reason="the functions are shown with the toy adapter")


@pytest.fixture
def scenes(tmp_path):
    write_coco(SyntheticDataset(6), tmp_path / "scenes", "val")
    return tmp_path / "scenes"


@pytest.mark.slow
def test_the_functions_do_what_the_commands_do(scenes, tmp_path):
    dataset = anydet.open_dataset(scenes)
    with anydet.load_adapter("toy") as adapter:
        summary = anydet.export_predictions(adapter, dataset, tmp_path / "ours.json")
    command = ["export-predictions", "--adapter", "toy", "--dataset", str(scenes)]
    main([*command, "--output", str(tmp_path / "theirs.json")], standalone_mode=False)
    assert (tmp_path / "ours.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()
    assert anydet.validate(summary.output, dataset).ok
    assert len(anydet.read_predictions(summary.output)) == summary.detections
    evaluate = ["eval-coco", "--dataset", str(scenes), "--predictions", str(tmp_path / "theirs.json")]
    main([*evaluate, "--json", str(tmp_path / "result.json")], standalone_mode=False)
    written = json.loads((tmp_path / "result.json").read_text("utf-8"))["metrics"]
    assert anydet.evaluate(dataset, tmp_path / "ours.json").metrics == written
    assert anydet.evaluate(scenes, tmp_path / "ours.json", engine="pycocotools").metrics == written


@pytest.fixture
def piped(tmp_path):
    """Makes a FIFO through which a file comes once."""
    threads = []

    def make(path):
        fifo = tmp_path / f"pipe-{len(threads)}{path.suffix}"
        os.mkfifo(fifo)
        threads.append(threading.Thread(target=lambda: fifo.write_bytes(path.read_bytes())))
        threads[-1].start()
        return fifo

    yield make
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_every_file_that_is_read_may_be_a_pipe(scenes, tmp_path, piped):
    file = tmp_path / "p.json"
    anydet.export_predictions("toy", scenes, file)
    metrics = anydet.evaluate(scenes, file).metrics
    truth = scenes / "annotations/instances_val.json"
    assert anydet.evaluate(scenes, piped(file)).metrics == metrics
    assert anydet.evaluate(piped(truth), [piped(file)]).metrics == metrics
    assert anydet.validate(piped(file), scenes).ok
    assert len(anydet.read_predictions(piped(file))) == len(anydet.read_predictions(file))
    served = {"predictions": str(piped(file))}
    with anydet.load_adapter("precomputed", options=served) as adapter:
        dataset = anydet.open_dataset(piped(truth), images=scenes / "images/val")
        anydet.export_predictions(adapter, dataset, tmp_path / "again.json")
    assert anydet.evaluate(scenes, tmp_path / "again.json").metrics == metrics
    (tmp_path / "wrong.json").write_text('{"image": 3}')
    fifo = piped(tmp_path / "wrong.json")
    assert anydet.validate(fifo).path == str(fifo)
    weights = piped(tmp_path / "wrong.json")
    settings = anydet.make_recipe("toy", checkpoint=weights).settings
    assert Path(settings.checkpoint).read_text() == '{"image": 3}'


@pytest.mark.slow
def test_options_and_limits_are_plain_values(scenes, tmp_path):
    with anydet.load_adapter("toy", options={"masks": False}) as adapter:
        anydet.export_predictions(
            adapter,
            anydet.open_dataset(scenes),
            tmp_path / "p.json",
            limits=Limits(max_detections=1),
            max_images=3,
        )
    entries = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert len(entries) == 3
    assert all(len(e["detections"]) <= 1 for e in entries)
    assert not any("mask" in d for e in entries for d in e["detections"])
    with pytest.raises(OptionError, match="did you mean 'masks'"):
        anydet.load_adapter("toy", options={"mask": False})


@pytest.mark.slow
def test_a_recipe_says_all_that_the_flags_say(scenes, tmp_path):
    recipe = anydet.make_recipe("toy", tta="original,hflip,scale:1.5", limits=Limits(0.01))
    anydet.export_predictions(recipe, anydet.open_dataset(scenes), tmp_path / "ours.json")
    command = [
        "export-predictions",
        "--adapter",
        "toy",
        "--dataset",
        str(scenes),
        "--score-threshold",
        "0.01",
    ]
    command += ["--tta-views", "original,hflip,scale:1.5", "--output", str(tmp_path / "theirs.json")]
    main(command, standalone_mode=False)
    assert (tmp_path / "ours.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()


def test_a_class_map_says_how_category_ids_count_in_files_and_in_memory(tmp_path):
    truth = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 80, "height": 60}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "cow"))],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 7,
                "category_id": i,
                "bbox": [20 * i, 5, 15, 30],
                "area": 450,
                "iscrowd": 0,
            }
            for i in range(2)
        ],
    }
    results = [
        {"image_id": 7, "category_id": i + 1, "bbox": [20 * i, 5, 15, 30], "score": 0.9} for i in range(2)
    ]
    for name, value in (("truth", truth), ("results", results), ("map", {"1": "cat", "2": "dog"})):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    for predictions in (tmp_path / "results.json", [tmp_path / "results.json"], results):
        # 1 and 2 are ids of the data set, too: of dog and cow.
        assert anydet.evaluate(tmp_path / "truth.json", predictions).metrics["AP"] == 0
        for class_map in ("one-based", tmp_path / "map.json"):
            found = anydet.evaluate(tmp_path / "truth.json", predictions, class_map=class_map)
            assert found.metrics["AP"] == pytest.approx(1)
        with pytest.raises(OptionError, match="class map 'two-based': no such file; did you mean"):
            anydet.evaluate(tmp_path / "truth.json", predictions, class_map="two-based")


def test_errors_name_arguments_and_no_options(scenes):
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
    with pytest.raises(ContractError, match=r"data set of the predictions: the argument dataset$"):
        anydet.to_columns(results)
    report = anydet.validate(results)
    assert report.fix.endswith("the argument dataset")
    with pytest.raises(ContractError) as caught:
        anydet.evaluate(scenes, [{**results[0], "category_id": 99}])
    assert "--" not in str(caught.value)
    assert "the argument class_map" in caught.value.fix


def test_what_is_assumed_of_predictions_in_memory_is_a_warning(scenes):
    class Detections:  # of supervision, with the attributes that are read
        def __init__(self):
            self.xyxy, self.class_id, self.confidence, self.mask = [[1, 2, 3, 4]], [0], None, None

    key = anydet.open_dataset(scenes).keys[0]
    with pytest.warns(AnydetWarning, match="without confidence count with score 1"):
        assert anydet.to_columns({key: Detections()}, scenes).scores.tolist() == [1]


def right_arguments(scenes, tmp_path):
    """Function -> arguments that it takes."""
    predictions = tmp_path / "p.json"
    anydet.export_predictions("toy", scenes, predictions)
    return {
        "evaluate": {"dataset": scenes, "predictions": predictions},
        "export_predictions": {"adapter": "toy", "dataset": scenes, "output": tmp_path / "q.json"},
        "fuse": {"files": [predictions, predictions], "output": tmp_path / "q.json"},
        "load_adapter": {"name": "toy"},
        "make_recipe": {"adapter": "toy"},
        "open_dataset": {"path": scenes},
        "parity": {"a": predictions, "b": predictions},
        "read_predictions": {"path": predictions},
        "export_onnx": {"adapter": "toy", "output": tmp_path / "q.onnx"},
        "to_columns": {"predictions": json.loads(predictions.read_text("utf-8")), "dataset": scenes},
        "select": {"predictions": predictions, "dataset": scenes},
        "show": {"dataset": scenes, "predictions": predictions},
        "to_pandas": {"predictions": predictions, "dataset": scenes},
        "to_supervision": {"predictions": predictions, "dataset": scenes},
        "train": {"adapter": "toy", "dataset": scenes},
        "validate": {"path": predictions},
    }


IN_MEMORY = {
    (name, "predictions")
    for name in ("evaluate", "select", "show", "to_columns", "to_pandas", "to_supervision")
}
"""Arguments of many types: what is none of them breaks the contract."""


@pytest.mark.slow
def test_an_argument_of_a_wrong_type_is_an_error_that_names_it_in_every_function(scenes, tmp_path):
    arguments = right_arguments(scenes, tmp_path)
    assert set(arguments) == set(anydet.__all__) - {"Meter", "patch_pycocotools"}  # with tests of their own
    for name, right in arguments.items():
        function = getattr(anydet, name)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            for wrong in (object(), 1.5j, [object()], {object()}):
                if (name, parameter.name) in IN_MEMORY:
                    with pytest.raises(ContractError, match=r"^predictions in memory: "):
                        function(**{**right, parameter.name: wrong})
                    continue
                if (name, parameter.name) == ("validate", "path"):
                    assert not anydet.validate(wrong).ok
                    continue
                with pytest.raises(OptionError, match=rf"^{parameter.name}\b.*: .* is not ") as caught:
                    function(**{**right, parameter.name: wrong})
                assert caught.value.fix == f"correct {parameter.name}"
    assert not (tmp_path / "q.json").exists()


@pytest.mark.slow
def test_an_argument_that_a_function_does_not_have_is_an_error_that_names_both(scenes, tmp_path):
    for name, right in right_arguments(scenes, tmp_path).items():
        function = getattr(anydet, name)
        if name != "train":
            with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'wrong'"):
                function(**right, wrong=1)
    with pytest.raises(OptionError, match="its name here is 'epochs'"):
        anydet.train("rtdetr_pose", scenes, epoch=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        *(("make_recipe", "batch_size", v) for v in (0, -1, 1.0, True, "4")),
        *(("make_recipe", "workers", v) for v in (0, "a", None)),
        *(("make_recipe", "seed", v) for v in (-1, "a", 0.5)),
        ("make_recipe", "on_error", "ignore"),
        ("make_recipe", "tta", ["original"]),
        *(("load_adapter", "score_floor", v) for v in (float("nan"), float("inf"), -0.1, 1.1, "0.5")),
        ("load_adapter", "max_detections", 0),
        ("export_predictions", "max_images", 0),
        ("export_predictions", "wrap", "yes"),
        ("export_predictions", "on_error", "Skip"),
        ("evaluate", "iou_type", "box"),
        ("evaluate", "box_format", "xyxy"),
        ("evaluate", "threads", 0),
        ("evaluate", "max_images", -1),
        ("evaluate", "settings", "coco"),
        ("read_predictions", "box_format", "xyxy"),
        ("fuse", "files", ["p.json"]),
        ("fuse", "weights", (1, 0)),
        *(("fuse", "iou", v) for v in (-0.1, 1.1, "0.5")),
        ("fuse", "missing", "drop"),
        ("train", "resume", "yes"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_argument(scenes, tmp_path, name, argument, value):
    right = right_arguments(scenes, tmp_path)[name]
    with pytest.raises(OptionError, match=rf"^{argument}: .* is not "):
        getattr(anydet, name)(**{**right, argument: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda nan: Limits(score_threshold=nan),
        lambda nan: CocoSettings(dilation_ratio=nan),
        lambda nan: CocoSettings(iou_thresholds=(0.5, nan)),
        lambda nan: CocoSettings(area_ranges_px={"all": (0, nan)}),
        lambda nan: CocoSettings(max_detections=(1, nan)),
        lambda nan: CocoSettings("keypoints", keypoint_sigmas=((0.1, nan), (0.1, 0.1))),
        lambda nan: anydet.make_recipe("toy", options={"min_area_px": nan}),
        lambda nan: anydet.make_recipe("toy", tta=TTA((Choice("scale", {"factor": nan}),))),
        lambda nan: anydet.make_recipe("toy", tta=TTA((Choice("original"),), weights=(nan,))),
        lambda nan: anydet.make_recipe("toy", ttt=TTT("tent", TTTSettings(lr=nan))),
        lambda nan: anydet.train("rtdetr_pose", "nowhere", lr=nan),
    ],
)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_no_number_may_be_nan_or_infinite(make, number):
    with pytest.raises(OptionError, match=r"finite|integer"):
        make(number)


@pytest.mark.slow
def test_an_adapter_by_name_and_paths_as_text_are_enough(scenes, tmp_path):
    summary = anydet.export_predictions("toy", str(scenes), str(tmp_path / "p.jsonl"))
    assert anydet.validate(str(summary.output), str(scenes)).ok
    assert anydet.evaluate(str(scenes), [str(summary.output)]).metrics["AP"] > 0.1
    assert len(anydet.read_predictions(str(summary.output))) == summary.detections


def test_importing_anydet_is_cheap():
    code = "import sys, anydet; print(sorted({'numpy', 'pluggy', 'PIL'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_every_promised_name_is_there():
    assert all(callable(getattr(anydet, name)) for name in anydet.__all__)
    assert set(anydet.__all__) <= set(dir(anydet))
    with pytest.raises(AttributeError, match="train_everything"):
        _ = anydet.train_everything


def test_each_call_says_again_what_it_found(tmp_path):
    """Python's own memory of warnings would keep quiet from the second epoch of a training loop on."""
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "one"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 5, 20, 10], "area": 200, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": None, "area": 200, "iscrowd": 0},
        ],
    }
    dataset, predictions = tmp_path / "instances_val.json", tmp_path / "results.json"
    dataset.write_text(json.dumps(truth))
    row = {"image_id": 1, "category_id": 1, "bbox": [4, 5, 20, 10], "score": 0.5}
    predictions.write_text(json.dumps([row]))
    heard = []
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.showwarning = lambda message, *_, **__: heard.append(str(message))
        for _ in range(2):
            anydet.evaluate(dataset, predictions)
            anydet.open_dataset(dataset)
        assert len([one for one in heard if "without a box" in one]) == 4
        warnings.simplefilter("ignore")
        anydet.open_dataset(dataset)
    assert len(heard) == 4
