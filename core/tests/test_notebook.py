"""Results, data sets and predictions are handy in scripts and notebooks."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import anydet
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.errors import AnydetError, OptionError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A data set of three images, and predictions: its labels, with lower and lower scores."""
    folder = tmp_path_factory.mktemp("scenes")
    write_coco(SyntheticDataset(3), folder / "scenes", "val")
    dataset = anydet.open_dataset(folder / "scenes")
    truth = dataset.ground_truth()
    results = [
        {
            "image_id": int(truth.image_ids[image]),
            "category_id": truth.classes.source_ids[label],
            "bbox": box,
            "score": 0.9 - i / 100,
        }
        for i, (image, label, box) in enumerate(
            zip(
                truth.image_index.tolist(),
                truth.labels.class_ids.tolist(),
                truth.labels.boxes_xywh_px.tolist(),
                strict=True,
            )
        )
        if image != 1
    ]
    path = folder / "results.json"
    path.write_text(json.dumps(results))
    return dataset, path


def test_a_result_is_a_dictionary_of_its_metrics_in_a_dozen_lines(scenes):
    result = anydet.evaluate(*scenes)
    assert result["AP"] == result.metrics["AP"]
    assert dict(result) == dict(result.metrics)
    assert "AP50" in result
    assert list(result) == list(result.metrics)
    with pytest.raises(KeyError, match="did you mean 'AP50'"):
        result["AP_50"]
    shown = repr(result)
    assert len(shown.splitlines()) <= 12
    assert f"AP50 {result['AP50']:.4f}" in shown
    html = result._repr_html_()
    assert html.count("<table>") == 2
    assert f"<td>AP</td><td>{result['AP']:.4f}</td>" in html


def test_what_is_large_is_shown_by_its_size(scenes):
    dataset, path = scenes
    columns = anydet.to_columns(json.loads(path.read_text()), dataset)
    large = replace(columns, scores=np.zeros(100_000), class_ids=np.zeros(100_000, np.int64))
    assert len(repr(large)) < 1500
    assert "scores=<float64 array (100000,)>" in repr(large)
    assert len(repr(dataset[0])) < 1500


def test_data_sets_are_cut_and_asked_by_key(scenes):
    dataset, _ = scenes
    first = dataset[0:2]
    assert first.keys == dataset.keys[:2]
    assert len(first) == len(first.ground_truth().images) == 2
    assert dataset[::-1].keys == dataset.keys[::-1]
    assert dataset[::-1].ground_truth().images == dataset.keys[::-1]
    key = dataset.keys[1]
    assert dataset[key].key == dataset[-2].key == first[key].key == key
    assert np.array_equal(dataset[key].image(), dataset[1].image())
    with pytest.raises(KeyError, match=f"did you mean '{key}'"):
        dataset[key[:-1]]


def test_detections_are_chosen_by_class_score_and_image(scenes):
    dataset, path = scenes
    every = anydet.select(path, dataset)
    name = dataset.classes.names[every.class_ids[0]]
    some = anydet.select(path, dataset, classes=name, min_score=0.85)
    expected = (every.class_ids == every.class_ids[0]) & (every.scores >= 0.85)
    assert some.scores.tolist() == every.scores[expected].tolist()
    assert some.images == every.images
    last = anydet.select(every, images=[dataset.keys[1], dataset.keys[0]])
    assert last.images == (dataset.keys[1], dataset.keys[0])
    assert set(last.image_index.tolist()) == {1}
    assert last.scores.tolist() == every.scores[every.image_index == 0].tolist()
    with pytest.raises(OptionError, match="no class called 'cat'"):
        anydet.select(path, dataset, classes="cat")
    with pytest.raises(OptionError, match=r"no image 'x\.png'"):
        anydet.select(path, dataset, images="x.png")
    with pytest.raises(OptionError, match="do not state names"):
        anydet.select(replace(every, classes=None), classes="cat")


def test_a_table_has_a_row_for_each_detection_or_image(scenes):
    pandas = pytest.importorskip("pandas")
    dataset, path = scenes
    table = anydet.to_pandas(path, dataset)
    every = anydet.select(path, dataset)
    assert isinstance(table, pandas.DataFrame)
    assert list(table) == ["image", "class_id", "class", "score", "x", "y", "width", "height"]
    assert table["image"].tolist() == [every.images[i] for i in every.image_index]
    assert table["class"].tolist() == [dataset.classes.names[i] for i in every.class_ids]
    assert np.array_equal(table[["x", "y", "width", "height"]].to_numpy(), every.boxes_xywh_px)
    images = anydet.to_pandas(path, dataset, of="images")
    assert images["image"].tolist() == list(dataset.keys)
    assert images["detections"].tolist()[1] == 0
    assert images["detections"].sum() == len(table)


def test_supervision_gets_each_image(scenes):
    pytest.importorskip("supervision")
    dataset, path = scenes
    found = anydet.to_supervision(path, dataset)
    assert list(found) == list(dataset.keys)
    first = found[dataset.keys[0]]
    every = anydet.select(path, dataset, images=dataset.keys[0])
    assert first.confidence.tolist() == every.scores.tolist()
    assert first.data["class_name"].tolist() == [dataset.classes.names[i] for i in every.class_ids]


@pytest.mark.parametrize(
    ("function", "package"), [("to_pandas", "pandas"), ("to_supervision", "supervision")]
)
def test_a_package_that_is_missing_is_named(function, package, scenes, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AnydetError, match=f"{function} needs the package {package}") as refused:
        getattr(anydet, function)(scenes[1], scenes[0])
    assert refused.value.fix == f"pip install {package}"


def test_an_image_is_shown_with_what_was_predicted(scenes):
    dataset, path = scenes
    plain, both = anydet.show(dataset, 0), anydet.show(dataset, dataset.keys[0], path)
    assert np.array_equal(np.asarray(plain), dataset[0].image())
    alone = anydet.show(dataset, 0, json.loads(path.read_text()))
    assert both.width > 1.9 * alone.width  # labels beside predictions
    assert both.convert("RGB").getcolors(1 << 20) is not None
    with pytest.raises(OptionError, match="no image 7"):
        anydet.show(dataset, 7)
