"""One file of our own: it comes back as it went, and says what is wrong with others."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
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


class Harmless:
    """Of a module that the reader has not got, as a model that was pickled whole."""


def refused(path):
    """Problem and fix of reading it, which are a line each."""
    with pytest.raises(TrainingError) as caught:
        load_checkpoint(path)
    assert "\n" not in caught.value.problem
    assert caught.value.problem.startswith(f"{path}: ")
    assert caught.value.fix
    assert "torch.load" not in str(caught.value)
    assert "weights_only" not in str(caught.value)
    return caught.value.problem.removeprefix(f"{path}: "), caught.value.fix


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "an empty file, no weights"),
        (b"no weights at all", "a text file, no weights"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "an image"),
        (b"\x08\x07\x12\x07pytorch:", "an ONNX model, no weights"),
        (bytes(range(256)) * 4, "a file of an unknown kind"),
        (pickle.dumps({"a": 1}), "a pickle, no weights"),
        (pickle.dumps(Harmful(), protocol=2), "holds more than data .*eval"),
        (pickle.dumps(Harmless()), "holds more than data .*Harmless"),
    ],
)
def test_a_file_that_is_none_is_refused_and_runs_nothing(tmp_path, content, problem):
    (tmp_path / "a.pt").write_bytes(content)
    assert re.match(problem, refused(tmp_path / "a.pt")[0])


@pytest.mark.parametrize("content", [Harmful(), {"model": Harmful()}, torch.nn.Linear(1, 1), [Harmless()]])
def test_objects_in_an_archive_of_torch_are_named_and_not_run(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    problem, fix = refused(tmp_path / "a.pt")
    assert re.match(r"holds more than data \('.*(eval|Linear|Harmless)'\), which could run code", problem)
    assert "state_dict()" in fix


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_an_archive_of_another_kind_is_named(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "script.pt")
    assert "TorchScript" in refused(tmp_path / "script.pt")[0]
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    assert "a NumPy archive" in refused(tmp_path / "arrays.npz")[0]
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "a zip archive" in refused(tmp_path / "some.zip")[0]


def test_a_file_that_the_system_does_not_read_is_refused():
    assert "cannot be read" in refused(Path("/proc/self/mem"))[0]


def test_a_device_is_no_checkpoint():
    assert refused(Path("/dev/null"))[0] == "no regular file"


def rewritten(source, target, change, **options):
    """Copy an archive with another content of its records."""
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w", **options) as written:
        for entry in read.infolist():
            written.writestr(entry.filename, change(entry.filename, read.read(entry)))


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    save_checkpoint(tmp_path / "whole.pt", checkpoint())
    whole = (tmp_path / "whole.pt").read_bytes()
    for length in range(4, len(whole), 97):
        (tmp_path / "a.pt").write_bytes(whole[:length])
        problem, fix = refused(tmp_path / "a.pt")
        assert "damaged or cut short" in problem
        assert "copy the file again" in fix


def test_a_record_shorter_than_its_tensor_is_refused_before_it_is_read(tmp_path):
    save_checkpoint(tmp_path / "whole.pt", checkpoint())
    rewritten(
        tmp_path / "whole.pt", tmp_path / "a.pt", lambda name, data: data[:4] if "/data/" in name else data
    )
    assert "a tensor has fewer bytes than it states" in refused(tmp_path / "a.pt")[0]


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    save_checkpoint(tmp_path / "whole.pt", checkpoint(model={"w": torch.zeros(1000, 1000)}))
    rewritten(
        tmp_path / "whole.pt", tmp_path / "a.pt", lambda _, data: data, compression=zipfile.ZIP_DEFLATED
    )
    assert "unpacks to more than it is" in refused(tmp_path / "a.pt")[0]


def test_a_damaged_checkpoint_names_the_other_one_of_the_run_where_that_is_whole(tmp_path):
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    for broken, other in ((last, best), (best, last)):
        for path in (last, best):
            save_checkpoint(path, checkpoint())
        broken.write_bytes(broken.read_bytes()[:-100])
        assert f"use --checkpoint {other}, which is whole" in refused(broken)[1]
        other.write_bytes(b"")
        assert "which is whole" not in refused(broken)[1]
    broken.rename(tmp_path / "copy.pt")
    save_checkpoint(best, checkpoint())
    assert "which is whole" not in refused(tmp_path / "copy.pt")[1]  # of no run


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"classes": ["a", 1]}, "classes has no name 1"),
        ({"metrics": {"AP": "high"}}, "metrics has no number 'AP'"),
        ({"model": {"w": [1]}}, "model has no tensor 'w'"),
    ],
)
def test_a_wrong_value_within_a_part_is_named(tmp_path, changes, problem):
    save_checkpoint(tmp_path / "a.pt", checkpoint(**changes))
    assert refused(tmp_path / "a.pt")[0] == f"a broken checkpoint: {problem}"


@pytest.mark.parametrize("value", [np.float64(0.5), Harmless(), np.zeros(2), torch.zeros(2).to_sparse()])
def test_what_could_not_be_read_back_is_not_saved(tmp_path, value):
    state = {"hooks": {"mine": {"seen": [1, value]}}}
    with pytest.raises(TrainingError, match=r"cannot be saved: training\.hooks\.mine\.seen\.1 is") as caught:
        save_checkpoint(tmp_path / "a.pt", checkpoint(training=state))
    assert "state_dict()" in caught.value.fix
    assert not list(tmp_path.iterdir())


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
