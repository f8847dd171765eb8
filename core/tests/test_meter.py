"""``anydet.Meter``: the numbers of pycocotools from batches, whatever form they have."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import anydet
from anydet.errors import EvaluationError, OptionError
from anydet.evaluation.protocol import CocoSettings
from anydet.geometry import masks
from anydet.types import ImagePredictions, Labels

SIDE, CLASSES = 120, 3
NAMES = [f"class{c}" for c in range(CLASSES)]
SIGMAS = (0.1, 0.05, 0.2)


@pytest.fixture(scope="module")
def problem():
    """A COCO document of nine images, with crowds and an image without anything, and results."""
    rng = np.random.default_rng(5)
    truth, found = [], []
    for image in range(1, 9):
        for _ in range(int(rng.integers(1, 6))):
            x, y, w, h = (int(v) for v in rng.integers(4, 60, 4))
            label = int(rng.integers(0, CLASSES))
            base = {"image_id": image, "category_id": label}
            points = [v for k in range(3) for v in (x + k, y + 2 * k, int(rng.integers(0, 3)))]
            seen = sum(v > 0 for v in points[2::3])
            crowd = int(rng.random() < 0.15)
            truth.append(
                {**base, "bbox": [x, y, w, h], "iscrowd": crowd, "keypoints": points, "num_keypoints": seen}
            )
            for _ in range(int(rng.integers(0, 4))):
                dx, dy = (int(v) for v in rng.integers(0, 4, 2))
                guess = label if rng.random() < 0.8 else int(rng.integers(0, CLASSES))
                moved = [float(v) for k in range(3) for v in (x + k + dx, y + 2 * k + dy, 1)]
                found.append(
                    {
                        "image_id": image,
                        "category_id": guess,
                        "bbox": [x + dx, y + dy, w, h],
                        "keypoints": moved,
                    }
                    | {"score": float(rng.choice([0.25, 0.5, 0.75]))}
                )
    for i, one in enumerate(truth, start=1):
        one.update(id=i, area=one["bbox"][2] * one["bbox"][3])
    for one in truth + found:
        x, y, w, h = one["bbox"]
        pixels = np.zeros((SIDE, SIDE), np.bool_)
        pixels[y : y + h, x : x + w] = True
        one["segmentation"] = masks.to_coco(masks.encode(pixels))
    images = [{"id": i, "file_name": f"{i}.jpg", "width": SIDE, "height": SIDE} for i in range(1, 10)]
    return {"images": images, "categories": [{"id": c, "name": NAMES[c]} for c in range(CLASSES)]} | {
        "annotations": truth
    }, found


def split(problem):
    """(image id, results, annotations) of each image."""
    truth, found = problem
    return [
        (i, [r for r in found if r["image_id"] == i], [a for a in truth["annotations"] if a["image_id"] == i])
        for i in (one["id"] for one in truth["images"])
    ]


def corners(rows):
    boxes = np.array([one["bbox"] for one in rows], np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def painted(rows):
    pixels = [masks.decode(masks.RLE((SIDE, SIDE), one["segmentation"]["counts"].decode())) for one in rows]
    return np.array(pixels, np.bool_).reshape(-1, SIDE, SIDE)


def values(rows, name, kind):
    return np.array([one[name] for one in rows], kind)


def dictionary(image, rows, wrap=np.asarray, *, truth):
    """As torchvision and torchmetrics have it."""
    one = {
        "boxes": wrap(corners(rows)),
        "labels": wrap(values(rows, "category_id", np.int64)),
        "masks": wrap(painted(rows)),
        "keypoints": wrap(values(rows, "keypoints", np.float64).reshape(-1, 3, 3)),
    }
    if not truth:
        return one | {"scores": wrap(values(rows, "score", np.float64))}
    known = {
        "area": wrap(values(rows, "area", np.float64)),
        "iscrowd": wrap(values(rows, "iscrowd", np.int64)),
    }
    return one | known | {"image_id": image}


def torchvision_form(problem, wrap=np.asarray):
    parts = split(problem)
    return (
        [dictionary(i, found, wrap, truth=False) for i, found, _ in parts],
        [dictionary(i, known, wrap, truth=True) for i, _, known in parts],
    )


def tensor_form(problem):
    import torch

    return torchvision_form(problem, torch.from_numpy)


def meta_of_torchvision(problem):
    """Masks of torchvision are probabilities with a channel; ids are tensors; predictions are by image."""
    import torch

    predictions, targets = tensor_form(problem)
    for one in predictions:
        one["masks"] = one["masks"][:, None].float() * 0.9
    for one in targets:
        one["image_id"] = torch.tensor([one["image_id"]])
    return {one["image_id"].item(): two for one, two in zip(targets, predictions, strict=True)}, targets


def transformers_form(problem):
    """Processed labels: normalized boxes with the size of the original image."""
    import torch

    predictions, targets = tensor_form(problem)
    labels = []
    for one in targets:
        x1, y1, x2, y2 = one["boxes"].T
        boxes = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=1) / SIDE
        rest = {name: one[name] for name in ("image_id", "area", "iscrowd", "masks", "keypoints")}
        labels.append(
            {"class_labels": one["labels"], "boxes": boxes, "orig_size": torch.tensor([SIDE, SIDE]), **rest}
        )
    return predictions, labels


def coco_form(problem):
    sizes = {"height": SIDE, "width": SIDE}
    return problem[1], [{"image_id": i, "annotations": known, **sizes} for i, _, known in split(problem)]


def supervision_form(problem):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    _, targets = torchvision_form(problem)
    predictions = [
        supervision.Detections(
            corners(found),
            mask=painted(found),
            confidence=values(found, "score", np.float64),
            class_id=values(found, "category_id", np.int64),
        )
        for _, found, _ in split(problem)
    ]
    return predictions, targets


def own_form(problem):
    def codes(rows):
        return tuple(masks.RLE((SIDE, SIDE), one["segmentation"]["counts"].decode()) for one in rows)

    predictions = [
        ImagePredictions(
            f"{i}.jpg",
            (SIDE, SIDE),
            corners(found),
            values(found, "score", np.float64),
            values(found, "category_id", np.int64),
            masks=codes(found),
            keypoints=values(found, "keypoints", np.float64).reshape(-1, 3, 3),
        )
        for i, found, _ in split(problem)
    ]
    targets = [
        Labels(
            values(known, "category_id", np.int64),
            values(known, "bbox", np.float64).reshape(-1, 4),
            values(known, "area", np.float64),
            values(known, "iscrowd", np.bool_),
            segmentations=codes(known),
            keypoints=values(known, "keypoints", np.float64).reshape(-1, 3, 3),
        )
        for _, _, known in split(problem)
    ]
    return predictions, targets


FORMS = {
    "arrays": torchvision_form,
    "tensors": tensor_form,
    "torchvision": meta_of_torchvision,
    "transformers": transformers_form,
    "coco": coco_form,
    "supervision": supervision_form,
    "own": own_form,
}
KEYPOINTS = CocoSettings("keypoints", keypoint_sigmas=SIGMAS)


def filled(predictions, targets, batch=2, **given):
    meter = anydet.Meter(NAMES, **given)
    if isinstance(predictions, dict) or len(predictions) != len(targets):
        meter.update(predictions, targets)
        return meter
    for i in range(0, len(targets), batch):
        meter.update(predictions[i : i + batch], targets[i : i + batch])
    return meter


def assert_equal(result, run):
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(result.arrays, name), run.eval[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", ["bbox", "segm", KEYPOINTS], ids=["bbox", "segm", "keypoints"])
def test_every_form_gives_the_bits_of_pycocotools(form, task, problem, reference):
    name = task if isinstance(task, str) else "keypoints"
    if form == "supervision" and name == "keypoints":
        return  # its detections have none
    truth, found = problem
    if name == "segm":  # with a box, loadRes takes that one's area for the mask's
        found = [{k: v for k, v in one.items() if k != "bbox"} for one in found]
    if name == "keypoints":
        found = [{k: v for k, v in one.items() if k not in {"bbox", "segmentation"}} for one in found]
    run = reference((truth, found), name, SIGMAS if name == "keypoints" else None)
    if name == "keypoints":
        # loadRes takes the box around the keypoints for the area of a result, a meter the box that is given.
        for one in run.cocoDt.anns.values():
            sides = problem[1][one["id"] - 1]["bbox"][2:]
            one["area"] = float(sides[0] * sides[1])
        run.evaluate()
        run.accumulate()
    meter = filled(*FORMS[form](problem), tasks=task)
    assert_equal(meter.compute(), run)
    assert 0 < meter.compute().metrics["AP"] < 1


def test_the_result_is_that_of_evaluate_on_a_file(problem, tmp_path):
    import json

    truth, found = problem
    plain = {**truth, "annotations": [{**one, "segmentation": []} for one in truth["annotations"]]}
    (tmp_path / "truth.json").write_text(json.dumps(plain))
    boxes = [{k: v for k, v in one.items() if k not in {"segmentation", "keypoints"}} for one in found]
    expected = anydet.evaluate(tmp_path / "truth.json", boxes)
    result = filled(*torchvision_form(problem)).compute()
    assert result.metrics == expected.metrics
    assert [dict(row) for row in result.per_class] == [dict(row) for row in expected.per_class]


def test_several_tasks_share_their_batches(problem):
    meter = filled(*torchvision_form(problem), tasks=["bbox", "segm", KEYPOINTS])
    for task in ("bbox", "segm", KEYPOINTS):
        alone = filled(*torchvision_form(problem), tasks=task).compute()
        name = task if isinstance(task, str) else "keypoints"
        assert meter.compute(name).metrics == alone.metrics
    assert meter.compute() is meter.compute("bbox")
    with pytest.raises(OptionError, match="task"):
        meter.compute("boundary")


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_the_size_of_batches_and_their_order_change_nothing(batch, problem):
    expected = filled(*torchvision_form(problem)).compute()
    predictions, targets = torchvision_form(problem)
    reverse = filled(predictions[::-1], targets[::-1], batch=batch).compute()
    assert reverse.metrics == expected.metrics


def test_merged_meters_count_what_both_have_seen(problem):
    predictions, targets = torchvision_form(problem)
    expected = filled(predictions, targets)
    left, right = filled(predictions[5:], targets[5:]), filled(predictions[:5], targets[:5])
    left.merge(pickle.loads(pickle.dumps(right)))
    assert left.compute().metrics == expected.compute().metrics
    assert len(left) == len(expected) == 9
    with pytest.raises(EvaluationError, match="different classes or tasks"):
        left.merge(anydet.Meter(NAMES, "segm"))


def test_a_meter_goes_on_after_its_result_and_forgets_when_reset(problem):
    predictions, targets = torchvision_form(problem)
    meter = filled(predictions[:3], targets[:3])
    first = meter.compute()
    meter.update(predictions[3:], targets[3:])
    assert meter.compute().metrics == filled(predictions, targets).compute().metrics
    meter.reset()
    assert len(meter) == 0
    with pytest.raises(EvaluationError, match="no image was added"):
        meter.compute()
    meter.update(predictions[:3], targets[:3])
    assert meter.compute().metrics == first.metrics


def test_images_without_ids_are_in_the_order_in_which_they_come(problem):
    predictions, targets = torchvision_form(problem)
    unnamed = [{k: v for k, v in one.items() if k != "image_id"} for one in targets]
    assert filled(predictions, unnamed).compute().metrics == filled(predictions, targets).compute().metrics


def test_labels_of_other_numbers_have_a_map(problem):
    predictions, targets = torchvision_form(problem)
    expected = filled(predictions, targets).compute()
    for one in predictions + targets:
        one["labels"] = np.array([7, 1, 90])[one["labels"]]
    meter = anydet.Meter({7: NAMES[0], 1: NAMES[1], 90: NAMES[2]})
    meter.update(predictions, targets)
    found = {row["name"]: row["AP"] for row in meter.compute().per_class}
    assert found == {row["name"]: row["AP"] for row in expected.per_class}
    with pytest.raises(EvaluationError, match=r"labels that no class has: 7, 90"):
        anydet.Meter(NAMES).update(predictions, targets)


@pytest.mark.parametrize("box_format", ["xywh_abs", "cxcywh_abs"])
def test_boxes_of_other_formats(box_format, problem):
    predictions, targets = torchvision_form(problem)
    expected = filled(predictions, targets).compute()
    for one in predictions + targets:
        corner, sides = one["boxes"][:, :2], one["boxes"][:, 2:] - one["boxes"][:, :2]
        start = corner if box_format == "xywh_abs" else corner + sides / 2
        one["boxes"] = np.concatenate([start, sides], axis=1)
    assert filled(predictions, targets, box_format=box_format).compute().metrics == expected.metrics


def test_what_is_not_stated_of_targets_is_taken_from_their_shapes(problem):
    predictions, targets = torchvision_form(problem)
    for one in targets:
        one["iscrowd"][:] = 0
    expected = filled(predictions, targets, tasks=["bbox", "segm"])
    bare = [{k: v for k, v in one.items() if k not in {"area", "iscrowd"}} for one in targets]
    found = filled(predictions, bare, tasks=["bbox", "segm"])
    for task in ("bbox", "segm"):
        assert found.compute(task).metrics == expected.compute(task).metrics


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_tensors_of_any_precision_are_read(kind):
    import torch

    box = torch.tensor([[8.0, 8.0, 40.0, 48.0]], dtype=getattr(torch, kind), requires_grad=True)
    meter = anydet.Meter(1)
    meter.update(
        [
            {
                "boxes": box,
                "scores": torch.tensor([0.5], dtype=getattr(torch, kind)),
                "labels": torch.tensor([0]),
            }
        ],
        [{"boxes": box, "labels": torch.tensor([0])}],
    )
    assert meter.compute().metrics["AP50"] == pytest.approx(1)


def test_arrays_of_other_libraries_come_through_dlpack():
    class Foreign:
        """Knows DLPack and nothing else."""

        def __init__(self, values):
            self.values = np.asarray(values)

        def __dlpack__(self, **given):
            return self.values.__dlpack__(**given)

        def __dlpack_device__(self):
            return self.values.__dlpack_device__()

    box, label = Foreign([[1.0, 2.0, 30.0, 40.0]]), Foreign([0])
    meter = anydet.Meter(1)
    meter.update(
        [{"boxes": box, "scores": Foreign([0.5]), "labels": label}], [{"boxes": box, "labels": label}]
    )
    assert meter.compute().metrics["AP50"] == pytest.approx(1)


@pytest.mark.slow
def test_tensors_of_the_cpu_are_read_where_they_lie():
    import torch

    from anydet.evaluation.batches import arrays

    tensor = torch.arange(6.0)
    assert np.shares_memory(arrays([tensor])[0], tensor.numpy())


@pytest.mark.gpu
def test_tensors_on_a_gpu_give_the_same(problem):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    predictions, targets = tensor_form(problem)
    moved = [
        [{k: v.cuda() if hasattr(v, "cuda") else v for k, v in one.items()} for one in ones]
        for ones in (predictions, targets)
    ]
    tasks = ["bbox", "segm", KEYPOINTS]
    expected, found = filled(predictions, targets, tasks=tasks), filled(*moved, tasks=tasks)
    for task in ("bbox", "segm", "keypoints"):
        assert found.compute(task).metrics == expected.compute(task).metrics


GOOD = {"boxes": [[1.0, 2.0, 3.0, 4.0]], "scores": [0.5], "labels": [0]}
TRUE = {"boxes": [[1.0, 2.0, 3.0, 4.0]], "labels": [0]}


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([GOOD], [], "1 predictions for 0 targets"),
        ([3], [TRUE], "a prediction is int 3"),
        ([{"boxes": [], "label": []}], [TRUE], "a dictionary of 'boxes', 'label'"),
        ([GOOD], ["x"], "a target is str"),
        ([{**GOOD, "labels": [0, 0]}], [TRUE], "1 boxes have 2 labels"),
        ([{**GOOD, "scores": [0.5, 0.5]}], [TRUE], "1 labels and 2 finite scores"),
        ([{**GOOD, "scores": [float("nan")]}], [TRUE], "0 finite scores"),
        (
            [{**GOOD, "boxes": [[1.0, 2.0, float("nan"), 4.0]]}],
            [{**TRUE, "image_id": 7}],
            "image 7: a box is not",
        ),
        ([GOOD], [{**TRUE, "labels": [5]}], "labels that no class has: 5"),
        ([GOOD], [{**TRUE, "image_id": 1.5}], "the image id"),
        ({9: GOOD}, [{**TRUE, "image_id": 1}], "images without a target: '9'"),
        ([GOOD, GOOD], [TRUE, {**TRUE, "image_id": 1}], "some images have an id and some have none"),
        (
            [GOOD],
            [{"class_labels": [0], "boxes": [[0.5] * 4]}],
            "normalized boxes are of images of unknown size",
        ),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_added(predictions, targets, message):
    meter = anydet.Meter(NAMES)
    with pytest.raises(EvaluationError, match=message):
        meter.update(predictions, targets)
    assert len(meter) == 0


@pytest.mark.parametrize(("task", "message"), [("segm", "have 0 masks"), (KEYPOINTS, "keypoints of shapes")])
def test_what_is_scored_must_be_there(task, message):
    with pytest.raises(EvaluationError, match=message):
        anydet.Meter(NAMES, task).update([GOOD], [TRUE])


def test_an_image_that_is_added_twice_is_named():
    meter = anydet.Meter(NAMES)
    for _ in range(2):
        meter.update([GOOD], [{**TRUE, "image_id": 3}])
    with pytest.raises(EvaluationError, match="added twice: 3"):
        meter.compute()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": "cat"}, "classes"),
        ({"classes": []}, "classes"),
        ({"classes": 0}, "classes"),
        ({"classes": {"cat": 1}}, "classes"),
        ({"classes": 2, "tasks": []}, "tasks"),
        ({"classes": 2, "tasks": "box"}, "iou_type"),
        ({"classes": 2, "tasks": ["bbox", "bbox"]}, "tasks"),
        ({"classes": 2, "box_format": "xyxy"}, "box_format"),
    ],
)
def test_wrong_arguments_are_named(given, message):
    with pytest.raises(OptionError, match=message):
        anydet.Meter(**given)


def one_of_two(rank, rendezvous, parts, named, out):
    """What a process of two does: its images, dealt as a sampler does, the first one repeated at the end."""
    import torch.distributed as processes

    processes.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    try:
        predictions, targets = parts
        mine = list(range(rank, len(targets), 2))
        if named:
            mine += [0] * (len(mine) < -(-len(targets) // 2))
        else:
            targets = [{k: v for k, v in one.items() if k != "image_id"} for one in targets]
        meter = anydet.Meter(NAMES, ["bbox", "segm"])
        for i in mine:
            meter.update([predictions[i]], [targets[i]])
        meter.all_gather()
        results = [meter.compute(task) for task in ("bbox", "segm")]
        out.put((rank, len(meter), [(dict(one.metrics), one.arrays.precision) for one in results]))
    finally:
        processes.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False], ids=["ids", "no ids"])
def test_two_processes_give_the_bits_of_one(named, problem, tmp_path):
    import multiprocessing

    expected = filled(*torchvision_form(problem), tasks=["bbox", "segm"])
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    given = (str(tmp_path / "store"), torchvision_form(problem), named, out)
    workers = [context.Process(target=one_of_two, args=(rank, *given)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    found = [out.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join()
    assert {rank for rank, *_ in found} == {0, 1}
    for _, count, results in found:
        assert count == 9
        for task, (metrics, precision) in zip(("bbox", "segm"), results, strict=True):
            assert metrics == expected.compute(task).metrics
            np.testing.assert_array_equal(precision, expected.compute(task).arrays.precision)


@pytest.mark.slow
def test_one_process_gathers_nothing(problem):
    meter = filled(*torchvision_form(problem))
    meter.all_gather()
    assert len(meter) == 9
