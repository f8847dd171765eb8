"""One file of our own: it comes back as it went, and says what is wrong with others."""

from __future__ import annotations

import pickle

import pytest

torch = pytest.importorskip("torch")

from anydet.errors import OutputError, TrainingError
from anydet.training.checkpoints.checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from anydet.training.weights import load_weights


def checkpoint(**changes):
    parts = {
        "adapter": "grid",
        "model": torch.nn.Linear(2, 3).state_dict(),
        "description": {"size": [1, 2], "name": "x", "deep": {"nothing": None}},
        "classes": ("a", "b"),
        "step": 7,
        "metrics": {"AP": 0.5},
    }
    return Checkpoint(**(parts | changes))


def test_a_checkpoint_comes_back_as_it_went(tmp_path):
    whole = checkpoint(training={"rng": [{"torch": torch.get_rng_state()}], "none": None})
    save_checkpoint(tmp_path / "a.pt", whole)
    found = load_checkpoint(tmp_path / "a.pt")
    for name in ("adapter", "description", "classes", "step", "metrics"):
        assert getattr(found, name) == getattr(whole, name)
    assert torch.equal(found.model["weight"], whole.model["weight"])
    assert torch.equal(found.training["rng"][0]["torch"], whole.training["rng"][0]["torch"])


def test_a_run_folder_gives_its_best_checkpoint_else_its_last(tmp_path):
    save_checkpoint(tmp_path / "checkpoints" / "last.pt", checkpoint())
    assert find_checkpoint(tmp_path).name == "last.pt"
    save_checkpoint(tmp_path / "checkpoints" / "best.pt", checkpoint())
    assert find_checkpoint(tmp_path).name == "best.pt"


def test_writing_fails_without_touching_what_is_there(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    before = (tmp_path / "a.pt").read_bytes()

    def full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path / "a.pt", checkpoint())
    assert (tmp_path / "a.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


class Harmful:
    def __reduce__(self):
        return eval, ("1/0",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no weights"),
        (b"no weights at all", "holds no weights"),
        (pickle.dumps(Harmful(), protocol=2), "holds no weights"),
    ],
)
def test_a_file_that_is_none_is_refused_and_runs_nothing(tmp_path, content, problem):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=problem):
        load_checkpoint(tmp_path / "a.pt")


def test_a_file_cut_short_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match="holds no weights that can be read"):
        load_checkpoint(tmp_path / "a.pt")


def test_plain_weights_and_newer_formats_are_distinguished(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "plain.pt")
    with pytest.raises(TrainingError, match="not a checkpoint of anydet"):
        load_checkpoint(tmp_path / "plain.pt")
    torch.save({"anydet_checkpoint": 99}, tmp_path / "newer.pt")
    with pytest.raises(TrainingError, match="format 99, this version reads 1"):
        load_checkpoint(tmp_path / "newer.pt")


@pytest.mark.parametrize("name", ["nothing.pt", "."])
def test_where_there_is_none_the_message_names_what_to_give(tmp_path, name):
    with pytest.raises(TrainingError, match=r"no such checkpoint|a folder without"):
        load_checkpoint(tmp_path / name)


def test_weights_that_do_not_fit_are_listed_by_what_is_wrong_with_them():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    state = module.state_dict() | {"2.weight": torch.zeros(1), "0.bias": torch.zeros(4)}
    del state["1.weight"]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(TrainingError) as caught:
        load_weights(module, state, source="x.pt")
    said = str(caught.value)
    assert "missing (1): 1.weight" in said
    assert "unexpected (1): 2.weight" in said
    assert "wrong shape (1): 0.bias (4,) instead of (3,)" in said
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    "name", ["adapter", "model", "description", "classes", "step", "metrics", "training"]
)
@pytest.mark.parametrize("lost", [True, False])
def test_a_part_that_is_missing_or_of_another_type_is_named(tmp_path, name, lost):
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    del content["digest"]
    if lost:
        del content[name]
    else:
        content[name] = torch.zeros(1)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(TrainingError, match=f"broken checkpoint: '{name}'"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path):
    whole = checkpoint()
    save_checkpoint(tmp_path / "a.pt", whole)
    written = (tmp_path / "a.pt").read_bytes()
    weights = whole.model["weight"].numpy().tobytes()
    found, place = 0, written.index(weights)
    for position in {*range(0, len(written), 31), *range(place, place + len(weights))}:
        changed = bytearray(written)
        changed[position] ^= 0x10
        (tmp_path / "b.pt").write_bytes(changed)
        try:
            loaded = load_checkpoint(tmp_path / "b.pt")
        except TrainingError:
            found += 1
            continue
        assert not place <= position < place + len(weights)
        assert torch.equal(loaded.model["weight"], whole.model["weight"])
        assert loaded.description == whole.description
    assert found > len(weights)


def test_a_file_of_before_there_was_a_digest_is_read(tmp_path):
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    del content["digest"]
    torch.save(content, tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt").step == 7
