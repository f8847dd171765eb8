from __future__ import annotations

import pytest

from anydet.contract.join import join_keys
from anydet.errors import ContractError


def test_keys_join_exactly_then_by_slashes_then_by_basename() -> None:
    known = ["a/1.jpg", "b/1.jpg", "b/2.jpg", "3.jpg"]
    assert join_keys(["b/1.jpg", "a\\1.jpg", "/data/val/3.jpg", "./b/2.jpg"], known).tolist() == [1, 0, 3, 2]
    assert join_keys([], known).tolist() == []


def test_an_exact_key_wins_over_its_basename() -> None:
    assert join_keys(["1.jpg"], ["a/1.jpg", "1.jpg"]).tolist() == [1]


def test_an_ambiguous_basename_lists_the_candidates() -> None:
    with pytest.raises(ContractError, match=r"'1\.jpg' may be any of 'a/1\.jpg', 'b/1\.jpg'"):
        join_keys(["1.jpg"], ["a/1.jpg", "b/1.jpg"])


def test_unknown_keys_are_named_and_counted() -> None:
    with pytest.raises(ContractError) as caught:
        join_keys([f"{i}.png" for i in range(9)], ["a.jpg"], source="p.json")
    assert caught.value.problem.startswith("p.json: 9 of 9 images do not join the data set: '0.png' is not")
    assert caught.value.problem.endswith("; ... and 4 more")
    assert len(caught.value.issues) == 9


def test_two_keys_for_one_image_are_refused() -> None:
    with pytest.raises(ContractError, match=r"'a/1\.jpg' and '1\.jpg' are all 'a/1\.jpg'"):
        join_keys(["a/1.jpg", "1.jpg"], ["a/1.jpg"])
