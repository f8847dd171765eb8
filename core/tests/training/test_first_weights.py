"""Rows of classes and states go by name; everything else as it is, or there is an error."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet.errors import TrainingError
from anydet.training.first_weights import Names, start_from
from anydet.training.model import NamedRows, TorchModel


class Rows(TorchModel):
    """A backbone, and heads with background rows, rows of boxes, three anchors, an axis 1, a padding row."""

    def __init__(self, classes: int, states: int = 2, *, named: bool = True, extra: bool = False) -> None:
        super().__init__()
        self.named = named
        self.backbone = nn.Linear(3, 4)
        self.logits = nn.Linear(4, 1 + classes)
        self.boxes = nn.Linear(4, 2 * classes)
        self.anchors = nn.Linear(4, 3 * (1 + classes))
        self.pixels = nn.ConvTranspose2d(4, classes, 2)
        self.embedding = nn.Embedding(classes + 1, 4)
        self.states = nn.Linear(4, states)
        if extra:
            self.extra = nn.Linear(4, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_()

    def features(self, images):
        return {}

    def module_names(self):
        return {}

    def named_rows(self):
        if not self.named:
            return {}
        of_weight = {
            "logits": NamedRows(before=1),
            "boxes": NamedRows(each=2),
            "anchors": NamedRows(before=1, blocks=3),
            "pixels": NamedRows(axis=1),
            "embedding": NamedRows(after=1),
            "states": NamedRows("states"),
        }
        biases = {f"{name}.bias": of_weight[name] for name in ("logits", "boxes", "anchors", "states")}
        weights = {f"{name}.weight": rows for name, rows in of_weight.items()}
        return {**weights, **biases, "pixels.bias": NamedRows()}


OLD = Names(("a", "b", "c"), ("whole", "torn"))


def started(names, states=("whole", "torn"), theirs=OLD, **options):
    old, new = Rows(3), Rows(len(names), len(states) or 2)
    random = {key: tensor.clone() for key, tensor in new.state_dict().items()}
    first = start_from(
        new, old.state_dict(), source="old.pt", theirs=theirs, ours=Names(names, states), **options
    )
    return old.state_dict(), new.state_dict(), random, first


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b",), ("x", "c", "y", "a")])
def test_each_row_is_that_of_its_name(names):
    old, new, random, first = started(names)
    assert torch.equal(new["backbone.weight"], old["backbone.weight"])
    for part in ("weight", "bias"):
        assert torch.equal(new[f"logits.{part}"][0], old[f"logits.{part}"][0])
        anchors = (state[f"anchors.{part}"].unflatten(0, (3, -1)) for state in (new, old))
        assert torch.equal(*(one[:, 0] for one in anchors))
    assert torch.equal(new["embedding.weight"][-1], old["embedding.weight"][-1])
    for place, name in enumerate(names):
        source, was = (old, "abc".index(name)) if name in "abc" else (random, place)
        assert torch.equal(new["logits.weight"][1 + place], source["logits.weight"][1 + was])
        boxes = slice(2 * place, 2 * place + 2), slice(2 * was, 2 * was + 2)
        assert torch.equal(new["boxes.weight"][boxes[0]], source["boxes.weight"][boxes[1]])
        assert torch.equal(new["boxes.bias"][boxes[0]], source["boxes.bias"][boxes[1]])
        for part in ("weight", "bias"):
            ours, theirs = (state[f"anchors.{part}"].unflatten(0, (3, -1)) for state in (new, source))
            assert torch.equal(ours[:, 1 + place], theirs[:, 1 + was])
        assert torch.equal(new["pixels.weight"][:, place], source["pixels.weight"][:, was])
        assert torch.equal(new["embedding.weight"][place], source["embedding.weight"][was])
    assert ("logits.weight" in first.partly) == bool(set(names) - set("abc"))
    assert first.fresh == frozenset()


def test_states_go_by_name_as_classes_do():
    old, new, random, first = started(("a",), ("torn", "lost", "whole"))
    rows = [old["states.weight"][1], random["states.weight"][1], old["states.weight"][0]]
    assert torch.equal(new["states.weight"], torch.stack(rows))
    assert first.partly == {"states.weight", "states.bias"}
    assert first.line == "1 of 1 classes from old.pt; 2 of 3 states; new: lost"


def test_one_line_says_what_was_taken():
    line = started(("a", "cat", "b", "dog"), ())[3].line
    assert line == "2 of 4 classes from old.pt; new: cat, dog"
    assert started(("c", "a"), ())[3].line == "2 of 2 classes from old.pt"
    assert started(("a",), (), Names())[3].line == "0 of 1 classes from old.pt, which names none"


def test_rows_that_nobody_names_are_not_taken_by_position():
    old, new, random, _ = started(("a", "b", "c"), (), Names())
    assert torch.equal(new["boxes.weight"], random["boxes.weight"])
    assert torch.equal(new["backbone.weight"], old["backbone.weight"])


def test_heads_that_only_one_of_both_has_are_left_out_where_that_is_allowed():
    old, new = Rows(3, extra=True), Rows(3)
    names = {"source": "old.pt", "theirs": OLD, "ours": OLD}
    start_from(new, old.state_dict(), **names, optional=("extra.",))
    first = start_from(old, new.state_dict(), **names, optional=("extra.",))
    assert first.fresh == {"extra.weight", "extra.bias"}
    assert first.line.endswith("; not in it: extra.bias, extra.weight")
    with pytest.raises(TrainingError, match=r"missing \(2\): extra.weight, extra.bias"):
        start_from(old, new.state_dict(), **names)


def test_a_model_that_names_no_rows_takes_the_same_classes_alone():
    old, new = Rows(3, named=False), Rows(3, named=False)
    start_from(new, old.state_dict(), source="old.pt", theirs=OLD, ours=OLD)
    assert torch.equal(new.logits.weight, old.logits.weight)
    with pytest.raises(TrainingError, match=r"old\.pt: its classes are a, b, c, those to learn c, b, a"):
        start_from(new, old.state_dict(), source="old.pt", theirs=OLD, ours=Names(("c", "b", "a")))


def test_a_file_with_fewer_rows_than_names_is_refused():
    with pytest.raises(TrainingError, match=r"old\.pt: logits\.weight has 4 rows, .* each of 4 classes"):
        started(("a", "b"), (), Names(("a", "b", "c", "d")))
