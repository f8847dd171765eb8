"""Stored images and answers: nothing is lost, labels follow names, the reservoir is fair, files are read."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy.optimize")

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, TrainingError
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import sample_of
from anydet.training.checkpoints.plain_data import require_plain
from anydet.training.continual.memory import Reservoir
from anydet.training.continual.replay import logit_loss
from anydet.training.continual.stored import Answer, Stored, batch_of, read_answer, write_answer
from anydet.training.first_weights import Names

NAMES = Names(("a", "b", "c"), ("new", "old"))


def answer(rows=4, *, classes=NAMES.classes, kind="regions", background=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    columns = len(classes) + (background is not None)
    corners = torch.rand(rows, 2, generator=generator) / 2
    boxes = None if kind == "places" else torch.cat([corners, corners + 0.3], 1)
    logits = torch.randn(rows, columns, generator=generator).half()
    activation = "softmax" if background is not None else "sigmoid"
    return Answer(logits, kind, activation, tuple(classes), background, boxes)


@pytest.fixture(scope="module")
def sample():
    """Three objects with states, and a class mask; one pixel and one state are not labeled."""
    made = sample_of(SyntheticDataset(1, 0, (16, 12), "train")[0])
    return replace(
        made,
        boxes=torch.rand(3, 4),
        class_ids=torch.tensor([2, 0, 1]),
        iscrowd=torch.zeros(3, dtype=torch.bool),
        **dict.fromkeys(("masks", "keypoints", "rotations", "translations_m", "intrinsics")),
        states=torch.tensor([0, 1, -1]),
        semantic=torch.tensor([[0, 1], [2, 255]]),
        label=1,
        extra={},
    )


def test_what_is_stored_comes_back_with_every_bit(sample):
    plain = Stored(sample, NAMES, answer()).plain()
    require_plain(plain, source="stored")
    again = Stored.from_plain(plain)
    for one in fields(Sample):
        before, after = getattr(sample, one.name), getattr(again.sample, one.name)
        same = torch.equal(before, after) if torch.is_tensor(before) else before == after
        assert same, one.name
    assert again.names == NAMES
    for one in fields(Answer):
        before, after = getattr(answer(), one.name), getattr(again.answer, one.name)
        assert torch.equal(before, after) if torch.is_tensor(before) else before == after


def test_labels_follow_the_names_of_the_next_task(sample):
    """Class b is gone, a stands elsewhere; so do states."""
    found = Stored(sample, NAMES, answer()).labeled_as(Names(("c", "x", "a"), ("old", "new")))
    assert found.class_ids.tolist() == [0, 2]
    assert torch.equal(found.boxes, sample.boxes[:2])
    assert found.states.tolist() == [1, 0]
    assert found.semantic.tolist() == [[2, 255], [0, 255]]
    assert found.label == -1
    assert Stored(sample, NAMES, answer()).labeled_as(NAMES) is sample


class Key:
    """Stands for what is stored of an image."""

    def __init__(self, key):
        self.key = key

    def plain(self):
        return self.key


def test_each_image_that_was_seen_is_kept_with_the_same_probability():
    """Vitter 1985: 3 of 12 in 200 reservoirs; each count is binomial, and 22 to 78 is 4.6 deviations."""
    counts = np.zeros(12, int)
    for seed in range(200):
        reservoir = Reservoir(3, seed)
        for start in range(0, 12, 4):  # in batches, as a run sees them
            reservoir.offer([str(i) for i in range(start, start + 4)], Key)
        counts[[int(key) for key in reservoir.state_dict()["kept"]]] += 1
    assert counts.sum() == 600
    assert counts.min() > 22
    assert counts.max() < 78


def test_a_reservoir_that_goes_on_chooses_as_one_that_never_ended(sample):
    def store(key):
        return Stored(replace(sample, key=key), NAMES, answer())

    whole, part, rest = (Reservoir(2, 7) for _ in range(3))
    keys = [str(i) for i in range(9)]
    whole.offer(keys, store)
    part.offer(keys[:4], store)
    rest.load_state_dict(part.state_dict())
    rest.offer(keys[4:], store)
    assert [rest[i].sample.key for i in range(2)] == [whole[i].sample.key for i in range(2)]
    assert rest.seen == 9
    assert whole.draw(2, seed=0, step=3, number=0) == rest.draw(2, seed=0, step=3, number=0)
    assert sorted(whole.draw(2, seed=0, step=5, number=0)) == [0, 1]
    assert len(whole.draw(5, seed=0, step=5, number=1)) == 5


@pytest.mark.parametrize("kind", ["regions", "queries", "places"])
def test_a_model_that_answers_as_it_did_has_no_loss_and_another_has_the_mean_square(kind):
    background = 0 if kind == "regions" else None
    answers = [answer(rows, kind=kind, background=background, seed=rows) for rows in (4, 4)]
    found = batch_of(answers, torch.device("cpu"))
    assert logit_loss(found, answers, NAMES.classes) == pytest.approx(0.0, abs=1e-9)
    if kind != "queries":
        moved = replace(found, logits=found.logits + 2.0)
        assert logit_loss(moved, answers, NAMES.classes) == pytest.approx(4.0)
    # Queries in another order are the same set.
    order = [2, 0, 3, 1]
    if kind == "queries":
        other = replace(found, logits=found.logits[:, order], boxes=found.boxes[:, order])
        assert logit_loss(other, answers, NAMES.classes) == pytest.approx(0.0, abs=1e-9)


def test_logits_of_images_with_other_numbers_of_regions_and_other_classes_are_compared():
    answers = [answer(5, seed=1), answer(2, classes=("c", "z"), seed=2)]
    found = batch_of(answers, torch.device("cpu"))
    assert found.valid.sum(1).tolist() == [5, 2]
    now = ClassLogits(
        torch.zeros(2, 5, 4), found.valid, "softmax", 0, boxes=found.boxes, sizes_wh=found.sizes_wh
    )
    first = answers[0].logits.float().square().mean()
    second = answers[1].logits[:, [0, 1]].float().square().mean()  # the background, and c
    assert float(logit_loss(now, answers, NAMES.classes)) == pytest.approx(float(first + second) / 2)
    assert logit_loss(now, answers, ("q", "r", "s")) >= 0  # the background is common


def test_fewer_rows_than_are_stored_are_an_error():
    stored = [answer(6, kind="places", background=None)]
    found = batch_of([answer(4, kind="places", background=None)], torch.device("cpu"))
    with pytest.raises(TrainingError, match="has 4 rows for an image, and 6 are stored"):
        logit_loss(found, stored, NAMES.classes)


@pytest.mark.parametrize("kind", ["regions", "queries", "places"])
def test_an_answer_goes_through_a_file(tmp_path, kind):
    path, first = tmp_path / "a.npz", answer(kind=kind, background=0 if kind == "regions" else None)
    write_answer(path, first)
    again = read_answer(path, "x.png")
    for one in fields(Answer):
        before, after = getattr(first, one.name), getattr(again, one.name)
        assert torch.equal(before, after) if torch.is_tensor(before) else before == after


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"logits": np.zeros((4, 9))}, "expected logits of 4 columns"),
        ({"logits": np.full((4, 4), np.nan)}, "expected finite logits"),
        ({"boxes": np.zeros((3, 4))}, "expected (N, 4) boxes"),
        ({"rows": np.array("rows")}, "expected rows queries, regions or places"),
        ({"activation": np.array("tanh")}, "expected activation sigmoid or softmax"),
        ({"background": np.array(7)}, "expected a background among the columns"),
        ({"classes": np.array(["a", None, "c"], object)}, "ValueError: Object arrays cannot be loaded"),
        ({"logits": None}, "KeyError"),
    ],
)
def test_a_file_that_is_something_else_is_an_error_that_names_the_image(tmp_path, change, problem):
    path = tmp_path / "a.npz"
    write_answer(path, answer())
    with np.load(path) as arrays:
        kept = {**{name: arrays[name] for name in arrays.files}, **change}
    np.savez(path, **{name: value for name, value in kept.items() if value is not None})
    with pytest.raises(DatasetError) as caught:
        read_answer(path, "x.png")
    assert caught.value.problem.startswith(f"image x.png: {path}: no stored outputs of DER++: {problem}")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"image x\.png"):
        read_answer(path, "x.png")
