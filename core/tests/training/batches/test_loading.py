"""Loaded batches depend on seed, epoch and index; on nothing else."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import random
import signal
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from anydet.data.record.pixels import ImageArray, ImageFile
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, ImageError, TrainingError
from anydet.training.batches.loading import LoadedBatch, TrainingSamples, build_loader, map_tensors
from anydet.training.config.settings import TrainSettings

SCENES = SyntheticDataset(7, image_wh=(32, 24))


def noisy(sample, rng, draw):
    """Depends on the generator and, through it, on another image."""
    other = draw(rng)
    noise = torch.from_numpy(rng.integers(0, 9, tuple(sample.image.shape)).astype(np.uint8))
    return replace(sample, image=sample.image // 2 + other.image // 4 + noise)


def item(sample):
    return {"image": sample.image, "boxes": sample.boxes}


def loader_of(dataset=SCENES, *, item=item, collate=list, augment=None, rank=0, world=1, train=True, **keys):
    settings = TrainSettings(**{"batch_size": 2, "num_workers": 0, **keys})
    return build_loader(
        dataset,
        item=item,
        collate=collate,
        settings=settings,
        augment=augment,
        rank=rank,
        world=world,
        train=train,
    )


def flat(lists):
    return list(chain.from_iterable(lists))


def read(loader, *places):
    """Keys and pixels of the batches at (epoch, first batch)."""
    return [
        (loaded.keys, [one["image"].numpy().tobytes() for one in loaded.batch])
        for epoch, start in places
        for loaded in loader.batches(epoch, start)
    ]


@pytest.fixture(scope="module")
def expected():
    return read(loader_of(augment=noisy), (0, 0), (1, 0))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(expected, workers):
    assert read(loader_of(augment=noisy, num_workers=workers), (0, 0), (1, 0)) == expected


@pytest.mark.slow
def test_a_loader_that_was_left_and_entered_again_goes_on_at_the_given_batch(expected):
    loader = loader_of(augment=noisy, num_workers=2, prefetch_factor=1)
    next(loader.batches(0))
    assert read(loader, (1, 2), (0, 3)) == expected[6:] + expected[3:4]


def test_epochs_differ_in_order_and_in_pixels(expected):
    first, second = (
        {key: pixels for keys, images in half for key, pixels in zip(keys, images, strict=True)}
        for half in (expected[:4], expected[4:])
    )
    assert first.keys() == second.keys() == set(SCENES.keys)
    assert list(first) != list(second)
    assert all(first[key] != second[key] for key in first)


def test_skipped_batches_are_not_read(monkeypatch):
    seen = []
    monkeypatch.setattr(
        SyntheticDataset, "__getitem__", lambda self, index, get=SyntheticDataset.__getitem__: (
            seen.append(index), get(self, index))[1]
    )  # fmt: skip
    assert len(read(loader_of(), (0, 3))) == len(seen) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_state_is_left_alone(workers):
    def states():
        return random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()

    before = states()
    read(loader_of(augment=noisy, num_workers=workers), (0, 0), (1, 1))
    assert states() == before


def test_two_processes_read_what_one_reads(expected):
    one = read(loader_of(augment=noisy, batch_size=4), (0, 0))
    ranks = [read(loader_of(augment=noisy, rank=rank, world=2), (0, 0)) for rank in (0, 1)]
    for (keys, images), *parts in zip(one, *ranks, strict=True):
        assert flat(part[0] for part in parts)[: len(keys)] == keys
        assert flat(part[1] for part in parts)[: len(keys)] == images


def test_validation_is_in_order_and_unchanged():
    loader = loader_of(augment=noisy, train=False, max_images=3)
    keys, images = map(flat, zip(*read(loader, (0, 0)), strict=True))
    assert keys == list(SCENES.keys)
    assert loader.batches_per_epoch == 4
    assert images == [np.moveaxis(one.image(), 2, 0).tobytes() for one in SCENES]


def test_only_the_first_images_take_part_in_training():
    loader = loader_of(augment=noisy, max_images=3)
    assert sorted(flat(keys for keys, _ in read(loader, (0, 0)))) == list(SCENES.keys[:3])
    samples = TrainingSamples(SCENES, item, count=3)
    others = {samples._draw(np.random.default_rng(seed)).key for seed in range(40)}
    assert others == set(SCENES.keys[:3])


@dataclass(frozen=True)
class Broken(SyntheticDataset):
    """A data set whose last image is no image."""

    path: str = ""

    def __getitem__(self, index):
        record = super().__getitem__(index)
        return record.with_pixels(ImageFile(self.path)) if index == self.count - 1 else record


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_the_error_that_it_is(tmp_path, workers):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"not a picture")
    with pytest.raises(ImageError) as caught:
        read(loader_of(Broken(5, image_wh=(32, 24), path=path), num_workers=workers), (0, 0))
    assert str(path) in caught.value.problem
    assert "Traceback" not in str(caught.value)
    assert caught.value.fix


@pytest.mark.slow
def test_an_error_leaves_no_workers_behind(tmp_path):
    broken = Broken(5, image_wh=(32, 24), path=tmp_path / "missing.jpg")
    before = set(multiprocessing.active_children())
    gc.disable()
    try:
        loader = loader_of(broken, num_workers=2)
        for _ in range(2):
            with pytest.raises(ImageError):
                read(loader, (0, 0))
            assert set(multiprocessing.active_children()) <= before
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_closed_loader_has_no_workers_and_starts_others_when_read_again():
    before = set(multiprocessing.active_children())
    loader = loader_of(num_workers=1)
    once = read(loader, (0, 0))
    assert len(set(multiprocessing.active_children()) - before) == 1
    loader.close()
    loader.close()
    assert set(multiprocessing.active_children()) <= before
    assert read(loader, (0, 0)) == once


@pytest.mark.slow
def test_a_loader_that_is_garbage_in_a_cycle_ends_its_workers(monkeypatch):
    # torch terminates a worker that has not ended after so many seconds; this long no machine needs
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 60.0)
    before = set(multiprocessing.active_children())
    cycle = [loader_of(num_workers=2)]
    batches = cycle[0].batches(0)
    next(batches)
    cycle += [cycle, batches]
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    del cycle, batches
    gc.collect()
    assert [worker.exitcode for worker in workers] == [0, 0]  # they ended by themselves: no SIGTERM


def die(sample):
    os._exit(3)


def test_a_worker_that_dies_is_an_error_with_a_way_out():
    with pytest.raises(TrainingError, match="a data loader worker died") as caught:
        read(loader_of(item=die, num_workers=1), (0, 0))
    assert "--num-workers" in caught.value.fix


def interrupt(sample):
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return item(sample)


def test_a_signal_to_the_whole_group_leaves_the_end_to_the_main_process():
    one = SyntheticDataset(1, image_wh=(32, 24))
    assert read(loader_of(one, item=interrupt, num_workers=1), (0, 0)) == read(loader_of(one), (0, 0))


def test_mistakes_of_a_task_keep_their_kind():
    with pytest.raises(KeyError):
        read(loader_of(item=lambda sample: {}["missing"]), (0, 0))


def test_a_data_set_without_images_is_refused():
    with pytest.raises(DatasetError, match="no images"):
        loader_of(SyntheticDataset(0))


def test_tensors_inside_a_batch_are_all_reached():
    batch = {"a": [torch.ones(2), "text"], "b": (torch.ones(1), 3)}
    doubled = map_tensors(batch, lambda tensor: tensor * 2)
    assert doubled["a"][0].tolist() == [2, 2]
    assert doubled["b"][0].tolist() == [2]
    assert (doubled["a"][1], doubled["b"][1]) == ("text", 3)
    assert isinstance(doubled["b"], tuple)


def test_every_tensor_of_a_batch_is_pinned(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    pinned = LoadedBatch(["a"], {"images": [torch.zeros(2)], "sizes": (3,)}).pin_memory()
    assert pinned.keys == ["a"]
    assert pinned.batch["images"][0].tolist() == [1, 1]
    assert pinned.batch["sizes"] == (3,)


def test_workers_may_open_as_many_files_as_the_system_allows():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        loader_of(num_workers=1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.gpu
def test_batches_are_pinned_where_the_model_is_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    loaded = next(loader_of(num_workers=1).batches(0))
    assert isinstance(loaded, LoadedBatch)
    assert all(one["image"].is_pinned() for one in loaded.batch)


def test_training_cannot_write_into_the_data_set():
    pixels = np.zeros((4, 6, 3), np.uint8)
    record = replace(SCENES[0], pixels=ImageArray(pixels), stated_wh=(6, 4), labels=None)

    @dataclass(frozen=True)
    class One(SyntheticDataset):
        def __getitem__(self, index):
            return record

    key, made = TrainingSamples(One(1), item)[0, 0]
    made["image"] += 7
    assert key == record.key
    assert not pixels.any()
