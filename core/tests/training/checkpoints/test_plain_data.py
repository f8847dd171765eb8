"""What a checkpoint may hold, and the digest of it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.errors import TrainingError
from anydet.training.checkpoints.plain_data import digest, require_plain


def laughing(times):
    """Small in memory, and endless for who walks through it."""
    value = ["ha"]
    for _ in range(times):
        value = [value] * 10
    return value


def in_itself():
    value = {}
    value["again"] = [value]
    return value


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a": [object()]}, r"x: a\.0 is a builtins\.object, no plain data"),
        ({"a": {(1, object()): 2}}, "is a builtins.object"),
        (laughing(60), "more than 500000 values|nested deeper"),
        (laughing(9), "more than 500000 values"),
        (in_itself(), "nested deeper than 100 levels"),
        ({"w": torch.zeros(1).expand(10**15)}, "w states 1000000000000000 elements and has fewer"),
        ({"w": torch.zeros(2, 2).to_sparse()}, "w is no dense tensor"),
        ({"w": torch.zeros(2, device="meta")}, "w is no dense tensor"),
    ],
)
def test_what_is_no_plain_data_or_has_no_end_is_refused(content, problem):
    with pytest.raises(TrainingError, match=problem):
        require_plain(content, source="x")


def test_plain_data_passes():
    scalars = [None, True, 1, 2.5, 1j, "text", b"bytes", torch.float32, torch.device("cpu")]
    content = {"scalars": scalars, 3: (1, {2, 3}), "w": torch.zeros(2, 3)[:, 1], "size": torch.Size([1])}
    require_plain(content, source="x")


def test_the_digest_tells_types_keys_and_values_apart():
    different = [
        {"a": 1},
        {"b": 1},
        {"a": 1.0},
        {"a": "1"},
        {"a": [1]},
        {"a": (1,)},
        {"a": {1}},
        {"a": [1, []]},
        {"a": [[1]]},
        {"a": torch.ones(1)},
        {"a": torch.ones(1, 1)},
        {"a": torch.ones(1, dtype=torch.float64)},
    ]
    assert len({digest(content) for content in different}) == len(different)
    assert digest({"a": torch.ones(2, 3).T}) == digest({"a": torch.ones(3, 2)})


def test_the_order_of_a_set_changes_nothing():
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    assert digest({"seen": one}) == digest({"seen": other})
    assert digest({"seen": one}) != digest({"seen": {0, 9}})


def test_the_digest_takes_tensors_of_any_strides():
    """Of no element or one, torch calls any strides contiguous and refuses to view them as bytes."""
    for tensor in (
        torch.zeros(4, 2).t()[:0, 0],
        torch.tensor([5]).expand(1)[:, None].expand(1, 1),
        torch.eye(3)[:, 1],
    ):
        assert digest(tensor) == digest(tensor.clone(memory_format=torch.contiguous_format))
    empty = torch.zeros(0, dtype=torch.int64)
    assert digest(torch.as_strided(empty, (0,), (0,))) == digest(empty)
    assert digest(torch.as_strided(torch.ones(1), (1,), (0,))) == digest(torch.ones(1))
