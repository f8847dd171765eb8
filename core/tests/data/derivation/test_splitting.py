from __future__ import annotations

import numpy as np
import pytest
from core.tests.data.derivation.squares import dataset, many_images
from core.tests.data.derivation.test_filtering import boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.data.derivation.merging import merge_datasets
from anydet.data.derivation.splitting import groups_of, read_parts, sample_dataset, split_dataset
from anydet.errors import DatasetError, OptionError

PARTS = {"train": 0.6, "val": 0.4}
MANY = {f"{i % 7}/{i}.jpg": [("cat", 5.0)] * (i % 3) + [("bird", 5.0)] * (i % 40 == 0) for i in range(400)}


@pytest.mark.slow
@settings(max_examples=40)
@given(
    images=many_images,
    seed=st.integers(0, 99),
    stratify=st.booleans(),
    group_by=st.sampled_from([None, "folder", "([0-9])"]),
)
def test_parts_are_a_partition_and_merged_again_they_are_the_data_set(images, seed, stratify, group_by):
    whole = dataset(images)
    try:
        found = split_dataset(whole, PARTS, seed=seed, stratify=stratify, group_by=group_by)
    except DatasetError:  # of few images a part may get none
        return
    parts = list(found.datasets.values())
    assert sorted(key for part in parts for key in part.keys) == sorted(images)
    assert boxes(merge_datasets(parts).dataset) == {key: list(objects) for key, objects in images.items()}
    names, _ = groups_of(list(images), group_by)
    homes = {name: set() for name in names}
    for number, part in enumerate(parts):
        for key in part.keys:
            homes[names[list(images).index(key)]].add(number)
    assert all(len(home) == 1 for home in homes.values())


@pytest.mark.slow
@settings(max_examples=10)
@given(seed=st.integers(0, 5), added=many_images)
def test_images_that_are_added_move_no_others(seed, added):
    before = split_dataset(dataset(MANY), PARTS, seed=seed).datasets
    after = split_dataset(dataset({**added, **MANY}), PARTS, seed=seed).datasets
    for name, part in before.items():
        assert set(part.keys) == set(after[name].keys) & set(MANY)


def test_fractions_are_met_on_average_and_another_seed_chooses_others():
    first = split_dataset(dataset(MANY), PARTS, seed=0).datasets
    other = split_dataset(dataset(MANY), PARTS, seed=1).datasets
    # 400 draws of 0.6: four standard deviations are 39.
    assert abs(len(first["train"]) - 240) < 40
    assert set(first["train"].keys) != set(other["train"].keys)


def test_stratified_parts_have_their_fractions_of_all_images_and_of_each_class():
    parts = split_dataset(dataset(MANY), {"a": 0.5, "b": 0.3, "c": 0.2}, stratify=True).datasets
    assert [len(part) for part in parts.values()] == pytest.approx([200, 120, 80], abs=1)
    for name, share in (("bird", 10), ("cat", 266)):
        shown = [sum(any(one == name for one, _ in b) for b in boxes(p).values()) for p in parts.values()]
        assert shown == pytest.approx([0.5 * share, 0.3 * share, 0.2 * share], abs=1.01)


def test_a_sample_is_no_more_of_one_part_than_another():
    # One hash for both would put a sample of half of the images into the first part as a whole.
    train = set(split_dataset(dataset(MANY), PARTS).datasets["train"].keys)
    few = set(sample_dataset(dataset(MANY), 200).keys)
    assert 0.4 < len(train & few) / len(few) < 0.8


@pytest.mark.slow
@settings(max_examples=30)
@given(images=many_images, seed=st.integers(0, 9), data=st.data())
def test_a_larger_sample_holds_a_smaller_one_in_the_order_of_the_data_set(images, seed, data):
    whole = dataset(images)
    many = data.draw(st.integers(1, len(images)))
    few = data.draw(st.integers(1, many))
    larger, smaller = (sample_dataset(whole, count, seed=seed).keys for count in (many, few))
    assert (len(larger), len(smaller)) == (many, few)
    assert set(smaller) <= set(larger)
    assert list(larger) == sorted(larger, key=list(images).index)
    assert sample_dataset(whole, many, seed=seed).keys == larger


def test_groups_are_folders_or_what_an_expression_matches():
    keys = ["a/cam1_01.jpg", "a/cam1_02.jpg", "b/cam2_01.jpg", "b/other.jpg"]
    assert groups_of(keys, "folder") == (["a", "a", "b", "b"], 0)
    assert groups_of(keys, r"(cam\d)_") == (["cam1", "cam1", "cam2", "\nb/other.jpg"], 1)
    assert groups_of(keys, r"cam\d")[0][:3] == ["cam1", "cam1", "cam2"]
    with pytest.raises(OptionError, match="is no regular expression"):
        groups_of(keys, "(")


def test_more_parts_than_groups_and_a_sample_of_more_than_all_are_refused():
    with pytest.raises(DatasetError, match="in 7 groups") as caught:
        split_dataset(dataset(MANY), {str(i): 1 / 8 for i in range(8)}, group_by="folder", stratify=True)
    assert caught.value.fix == "name fewer parts"
    with pytest.raises(OptionError, match="400 images, fewer than the 401 asked for"):
        sample_dataset(dataset(MANY), 401)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train=0.8,val=0.1", "the fractions sum to 0.9, not to 1"),
        ("train=1.2,val=-0.2", "is not a name of its own and a fraction above 0"),
        ("train=nan", "fraction above 0"),
        ("a=0.5,a=0.5", "a name of its own"),
        ("../x=1", "is not a name"),
        ("..=1", "is not a name"),
        ("train", "fraction above 0"),
    ],
)
def test_parts_that_are_no_fractions_of_one_are_refused(text, said):
    with pytest.raises(OptionError, match=said):
        read_parts(text)


def test_fractions_that_sum_to_one_but_for_rounding_are_taken():
    assert sum(read_parts("a=0.7,b=0.2,c=0.1").values()) == pytest.approx(1)
    assert np.isclose(list(read_parts("a=0.333333,b=0.333333,c=0.333334").values()), 1 / 3, atol=1e-5).all()
