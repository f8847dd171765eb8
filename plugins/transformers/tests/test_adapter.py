from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from click.testing import CliRunner

from anydet.cli import main
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import render_scene
from anydet.errors import DatasetError, OptionError, TrainingError
from anydet.testing.comparison import Tolerance, first_difference
from anydet.types import AdapterSettings
from anydet_transformers.about import About
from anydet_transformers.adapter import Transformers
from anydet_transformers.untrained import describe

FLOOR = 0.01


def predicted(checkpoint, **options):
    settings = AdapterSettings(
        checkpoint=None if checkpoint is None else str(checkpoint), score_floor=FLOOR, options=options
    )
    image = render_scene(3, 0, (96, 64)).image
    return list(Transformers(settings).predict([Record("a.png", ImageArray(image))]))


def test_without_a_model_the_adapter_says_how_to_give_one():
    with pytest.raises(OptionError, match="no model is given") as refused:
        Transformers(AdapterSettings()).get_model()
    assert "--option model=rt_detr" in refused.value.fix


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("rt_detr_v22", "did you mean 'rt_detr_v2'"),
        ("tiny:rt_detr_v22", "did you mean 'rt_detr_v2'"),
        ("resnet", "no type of detector"),
    ],
)
def test_a_type_that_is_no_detector_is_refused(model, problem):
    with pytest.raises(OptionError, match=problem):
        describe(model)


def test_models_that_read_texts_are_named_with_the_reason(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "pp_ocrv5_server_det"}))
    with pytest.raises(OptionError, match="no detector that this adapter runs"):
        describe(str(tmp_path))


def test_names_that_two_classes_have_are_numbered():
    values = {"config": {"id2label": {"0": "N/A", "1": "cat", "2": "N/A"}}, "processor": {}}
    assert About(**values).classes == ("N/A", "cat", "N/A 2")


def test_an_input_of_another_size_keeps_the_kind_of_the_models():
    assert describe("tiny:rt_detr").with_image_size((96, 64)).processor["size"] == {"height": 64, "width": 96}
    sides = describe("tiny:detr").with_image_size(48).processor["size"]
    assert sides == {"shortest_edge": 48, "longest_edge": 48}


@pytest.mark.slow
def test_a_folder_that_lacks_weights_of_its_model_is_refused(saved_folder, tmp_path):
    source = saved_folder("yolos")
    model = transformers.AutoModelForObjectDetection.from_pretrained(source)
    state = {name: tensor for name, tensor in model.state_dict().items() if "bbox_predictor" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    (tmp_path / "preprocessor_config.json").write_bytes((source / "preprocessor_config.json").read_bytes())
    with pytest.raises(TrainingError, match=r"lacks weights .* bbox_predictor"):
        predicted(tmp_path)


@pytest.mark.slow
def test_a_folder_of_another_kind_of_model_is_refused(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match="'resnet', which is no detector"):
        predicted(tmp_path)


@pytest.mark.slow
def test_the_best_checkpoint_predicts_and_becomes_a_folder_that_predicts_the_same(tiny_run, tmp_path):
    adapter = Transformers(AdapterSettings(score_floor=FLOOR))
    result = adapter.train(tiny_run(tmp_path / "run", "tiny:yolos"))
    expected = predicted(result.checkpoint)
    assert len(expected[0])
    saved = CliRunner().invoke(
        main, ["transformers", "save", str(tmp_path / "run"), "--out", str(tmp_path / "folder")]
    )
    assert saved.exit_code == 0, saved.output
    assert "YolosForObjectDetection" in saved.stderr
    assert not first_difference(expected, predicted(tmp_path / "folder"), Tolerance(), floor=FLOOR)
    model = transformers.AutoModelForObjectDetection.from_pretrained(tmp_path / "folder")
    assert tuple(model.config.id2label.values()) == adapter.classes.names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detr", "rt_detr_v2"])
def test_training_begins_with_the_rows_of_classes_by_name(name, saved_folder, tiny_run, tmp_path):
    adapter = Transformers(AdapterSettings(checkpoint=str(saved_folder(name))))
    run = tiny_run(tmp_path, None)
    task = adapter.training_task(run)
    theirs = ("circle", "square", "star")  # as saved_folder names them
    ours = run.classes.names
    assert task.first_weights.line.startswith("3 of 6 classes")
    state = task.model.state_dict()
    rows = {key: where for key, where in task.model.named_rows().items() if "denoising" not in key}
    assert rows
    for key, where in rows.items():
        before, after = adapter.saved.model[key], state[key]
        for name_ in theirs:
            assert torch.equal(before[theirs.index(name_)], after[ours.index(name_)]), key
        if where.after:
            assert torch.equal(before[-1], after[-1]), key


@pytest.mark.slow
def test_boxes_of_a_training_image_are_what_the_librarys_processor_makes_of_them(tiny_run, tmp_path):
    from anydet.training.batches.samples import sample_of

    run = tiny_run(tmp_path, "tiny:detr")
    task = Transformers(AdapterSettings()).training_task(run)
    sample = sample_of(run.dataset[0])
    corners = sample.boxes
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1).tolist()
    annotations = [
        {"bbox": box, "category_id": int(label), "area": 1.0, "iscrowd": 0, "id": 0}
        for box, label in zip(boxes, sample.class_ids, strict=True)
    ]
    said = task.predictor.processor(
        images=sample.image, annotations={"image_id": 0, "annotations": annotations}, return_tensors="pt"
    )
    item = task.item(sample)
    assert torch.equal(item.pixels, said["pixel_values"][0])
    assert torch.equal(item.class_ids, said["labels"][0]["class_labels"])
    assert torch.allclose(item.boxes, said["labels"][0]["boxes"], atol=1e-6)


@pytest.mark.slow
def test_padding_of_a_batch_moves_no_box_where_the_model_sees_the_padding(tiny_run, tmp_path):
    from anydet_transformers.inputs import Labeled

    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0]])
    items = [Labeled(torch.zeros(3, *size), size, torch.tensor([0]), boxes) for size in ((32, 64), (64, 32))]
    for name, expected in (("detr", boxes), ("yolos", torch.tensor([[0.5, 0.25, 1.0, 0.5]]))):
        task = Transformers(AdapterSettings()).training_task(tiny_run(tmp_path, f"tiny:{name}"))
        batch = task.collate(items)
        assert batch["pixel_mask"].sum(dim=(1, 2)).tolist() == [32 * 64, 64 * 32]
        assert torch.allclose(batch["labels"][0]["boxes"], expected)


@pytest.mark.slow
def test_data_without_masks_is_refused_for_a_segmentation_model(tiny_run, tmp_path, monkeypatch):
    run = tiny_run(tmp_path, "tiny:mask2former")
    truth = run.dataset.ground_truth()
    from dataclasses import replace

    monkeypatch.setattr(
        type(run.dataset),
        "ground_truth",
        lambda _self: replace(truth, labels=replace(truth.labels, segmentations=None)),
    )
    with pytest.raises(DatasetError, match="has no masks"):
        Transformers(AdapterSettings()).train(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maskformer", "eomt", "rf_detr_segmentation"])
def test_a_segmentation_model_is_trained_on_masks(name, tiny_run, tmp_path):
    adapter = Transformers(AdapterSettings(score_floor=FLOOR))
    result = adapter.train(tiny_run(tmp_path, f"tiny:{name}"))
    first = json.loads((tmp_path / "train_metrics.jsonl").read_text().splitlines()[0])
    assert first["train_loss"] > 0
    assert adapter.classes is not None
    assert predicted(result.checkpoint, segment_threshold=0.0)[0].masks is not None
