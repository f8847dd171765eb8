from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("torch")

from anydet import open_dataset
from anydet.errors import DatasetError, OptionError
from anydet_delftbikes.parts import PARTS
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_delftbikes.writing import write_delftbikes
from anydet_fasterrcnn_multitask.split import split_annotations, state_labels
from anydet_fasterrcnn_multitask.stratification import stratification_error, stratify

SHARES = (0.6, 0.2, 0.2)


def random_folds(count, fractions, seed):
    """Folds of the same sizes, by chance."""
    sizes = np.round(np.cumsum(fractions) * count).astype(int)
    return np.searchsorted(sizes, np.random.default_rng(seed).permutation(count), "right")


labels_of_any_kind = st.integers(1, 60).flatmap(
    lambda count: arrays(np.bool_, st.tuples(st.just(count), st.integers(1, 12)))
)


@given(labels_of_any_kind, st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_every_example_is_in_one_fold_and_folds_have_about_the_requested_size(labels, seed):
    folds = stratify(labels, SHARES, seed)
    assert folds.shape == (len(labels),)
    assert set(folds) <= {0, 1, 2}
    assert np.array_equal(folds, stratify(labels, SHARES, seed))


@given(labels_of_any_kind)
@settings(max_examples=50, deadline=None)
def test_the_first_label_to_be_shared_out_is_shared_out_evenly(labels):
    """Its examples go, one by one, to the fold that wants it most: no fold is off by more than one."""
    folds = stratify(labels, SHARES)
    counts = labels.sum(axis=0)
    if counts.any():
        rarest = int(np.where(counts > 0, counts, len(labels) + 1).argmin())
        found = np.bincount(folds[labels[:, rarest]], minlength=3)
        assert (np.abs(found - counts[rarest] * np.array(SHARES)) <= 1 + 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_stratification_is_better_than_chance_for_bike_parts(seed):
    """Parts in states, drawn with the frequencies of the data set; chance has a dozen tries."""
    rng = np.random.default_rng(seed)
    states = rng.choice(4, (300, len(PARTS)), p=[0.604, 0.061, 0.197, 0.138])
    labels = state_labels(states)
    ours = stratification_error(labels, stratify(labels, SHARES, seed), SHARES)
    chance = [stratification_error(labels, random_folds(300, SHARES, tried), SHARES) for tried in range(12)]
    assert ours < 0.85 * min(chance)
    assert np.abs(np.bincount(stratify(labels, SHARES, seed)) / 300 - SHARES).max() < 0.03


def test_the_error_of_perfect_folds_is_zero_and_that_of_one_fold_is_known():
    labels = np.ones((10, 2), np.bool_)
    assert stratification_error(labels, np.repeat([0, 1, 2], [6, 2, 2]), SHARES) == pytest.approx(0)
    assert stratification_error(labels, np.zeros(10, np.int64), SHARES) == pytest.approx(0.8 / 3)


def test_examples_without_labels_fill_the_folds():
    folds = stratify(np.zeros((10, 3), np.bool_), SHARES)
    assert np.bincount(folds).tolist() == [6, 2, 2]


@pytest.fixture(scope="module")
def bikes(tmp_path_factory):
    root = tmp_path_factory.mktemp("bikes") / "data"
    write_delftbikes(SyntheticBikes(12, 3, (64, 48)), root, "all")
    return root


@pytest.mark.slow
def test_splits_are_disjoint_complete_and_open_as_data_sets(bikes, tmp_path):
    source = json.loads((bikes / "all_annotations.json").read_text())
    done = split_annotations(
        bikes / "all_annotations.json", tmp_path, fractions=(0.5, 0.25, 0.25), images_dir=bikes / "all"
    )
    written = {name: json.loads(path.read_text()) for name, path in done.files.items()}
    keys = [key for entries in written.values() for key in entries]
    assert len(keys) == len(set(keys))
    assert {key: entry for entries in written.values() for key, entry in entries.items()} == source
    for name, count in done.images.items():
        dataset = open_dataset(tmp_path, name)
        assert len(dataset) == count == len(written[name])
        assert dataset[0].image().shape == (48, 64, 3)
        assert sum(done.states[name].values()) == count * len(PARTS)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_splits_and_another_gives_others(bikes, tmp_path):
    def keys(out, seed):
        done = split_annotations(
            bikes / "all_annotations.json", tmp_path / out, fractions=(0.5, 0.5, 0), seed=seed
        )
        assert list(done.files) == ["train", "val"]
        return json.loads(done.files["val"].read_text()).keys()

    assert keys("a", 1) == keys("b", 1)
    assert len({frozenset(keys(f"seed{seed}", seed)) for seed in range(2, 8)}) > 1


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_negative_fractions_and_other_sums_are_an_error(fractions, bikes, tmp_path):
    with pytest.raises(OptionError, match="do not sum to 1") as caught:
        split_annotations(bikes / "all_annotations.json", tmp_path, fractions=fractions)
    assert caught.value.fix


def test_what_is_there_is_not_written_over(bikes, tmp_path):
    (tmp_path / "val_annotations.json").write_text("mine")
    with pytest.raises(OptionError, match="already there"):
        split_annotations(bikes / "all_annotations.json", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["val_annotations.json"]


def test_a_missing_image_is_named_where_images_are_copied(bikes, tmp_path):
    with pytest.raises(DatasetError, match=r"\.png: cannot be copied"):
        split_annotations(bikes / "all_annotations.json", tmp_path / "out", images_dir=tmp_path)
    assert not list(tmp_path.rglob("*.json"))
