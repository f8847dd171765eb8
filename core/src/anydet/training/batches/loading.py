"""Reading ahead: samples are decoded, augmented and made into batches, here or in worker processes.

No global random state is read or changed: a sample depends on the seed, its epoch and its index alone, so
that batches are the same with any number of workers and after a resume.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import finalize

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from anydet.data.dataset.protocols import Dataset
from anydet.errors import AnydetError, DatasetError, TrainingError
from anydet.training.batches.mosaic import refuse_poses
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import LABEL_KINDS, sample_of
from anydet.training.batches.sampling import EpochSampler
from anydet.training.config.settings import TrainSettings


class Augment(Protocol):
    """A random change of samples. Implementations are picklable."""

    def __call__(
        self, sample: Sample, rng: np.random.Generator, draw: Callable[[np.random.Generator], Sample]
    ) -> Sample:
        """The changed sample.

        Args:
            sample: never changed itself.
            rng: generator of every random choice.
            draw: another sample of the same data set, chosen by the generator it is given.
        """


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBatch:
    """One batch and the images it is made of.

    Attributes:
        keys: of the images, in the batch's order.
        batch: what the task's ``collate`` gave.
    """

    keys: list[str]
    batch: Any

    def pin_memory(self) -> LoadedBatch:
        """The same in page-locked memory."""
        return replace(self, batch=map_tensors(self.batch, Tensor.pin_memory))


def map_tensors(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same dictionaries, lists and tuples with each tensor changed; everything else as it is."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, change) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map_tensors(value, change) for value in batch)
    return batch


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSamples:
    """A map-style data set of (key, item), indexed by (epoch, index).

    Attributes:
        dataset: of records.
        item: makes a sample ready for the task's ``collate``.
        augment: changes samples, or ``None``.
        seed: owns the augmentation's random choices, with epoch and index.
        count: how many images take part, the first ones.
        label_kinds: labels that are read; see ``samples.LABEL_KINDS``.
    """

    dataset: Dataset
    item: Callable[[Sample], Any]
    augment: Augment | None = None
    seed: int = 0
    count: int | None = None
    label_kinds: Collection[str] = LABEL_KINDS

    def __len__(self) -> int:
        return len(self.dataset) if self.count is None else min(self.count, len(self.dataset))

    def __getitem__(self, place: tuple[int, int]) -> tuple[str, Any]:
        """Image ``index`` as it is in ``epoch``; raises as ``sample_of``."""
        epoch, index = place
        sample = self._read(index)
        if self.augment is not None:
            sample = self.augment(sample, np.random.default_rng([self.seed, epoch, index]), self._draw)
        return sample.key, self.item(sample)

    def _draw(self, rng: np.random.Generator) -> Sample:
        return self._read(int(rng.integers(len(self))))

    def _read(self, index: int) -> Sample:
        return sample_of(self.dataset[index], self.label_kinds)


@dataclass(frozen=True, eq=False)
class TrainingLoader:
    """Batches of one process, epoch by epoch. Made by ``build_loader``; workers live as long as it does."""

    _loader: DataLoader[Any]
    _sampler: EpochSampler

    def __post_init__(self) -> None:
        # The garbage collector may drop the queues of workers before their iterator; ending them then takes
        # five seconds each. A finalizer keeps all of them until it has run.
        finalize(self, _end_workers, self._loader)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of this process in a whole epoch."""
        return len(self._sampler)

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[LoadedBatch]:
        """The batches of ``epoch`` from ``start_batch`` on; those before it are not read. One pass at a time.

        Raises:
            AnydetError: what reading, augmentation, ``item`` or ``collate`` raised, in whatever process.
            TrainingError: a worker process died.
        """
        self._sampler.seek(epoch, start_batch)
        try:
            for batch in self._loader:
                if isinstance(batch, _Failure):
                    raise batch.error
                yield batch
        except Exception as exc:
            self.close()
            if isinstance(exc, RuntimeError) and str(exc).startswith("DataLoader worker"):
                raise _dead_worker(str(exc)) from None
            raise

    def close(self) -> None:
        """End the workers now; the next pass starts others."""
        _end_workers(self._loader)


def build_loader(
    dataset: Dataset,
    *,
    item: Callable[[Sample], Any],
    collate: Callable[[list[Any]], Any],
    settings: TrainSettings,
    augment: Augment | None = None,
    label_kinds: Collection[str] = LABEL_KINDS,
    rank: int = 0,
    world: int = 1,
    train: bool = True,
) -> TrainingLoader:
    """A loader over the images of this process.

    Args:
        dataset: what is read; for training only its first ``max_images``.
        item: makes one sample ready.
        collate: makes a batch of what ``item`` gave, on the CPU.
        settings: batch size, workers, seed, ``shuffle`` and the like.
        augment: changes training samples, or ``None``.
        label_kinds: labels that are read; see ``samples.LABEL_KINDS``.
        rank: number of this process.
        world: number of processes.
        train: shuffled and augmented, or each image once, in order and as it is; see ``EpochSampler``.

    Raises:
        DatasetError: there is no image.
        OptionError: a mosaic is on and the first images have poses.
    """
    if train and augment is not None and settings.mosaic_prob > 0:
        refuse_poses(dataset, label_kinds)
    count = settings.max_images if train else None
    samples = TrainingSamples(dataset, item, augment if train else None, settings.seed, count, label_kinds)
    if not len(samples):
        raise DatasetError(f"{dataset.root}: no images in it", fix="give a data set or split with images")
    order = EpochSampler(
        len(samples),
        settings.batch_size,
        seed=settings.seed,
        rank=rank,
        world=world,
        shuffle=settings.shuffle,
        train=train,
    )
    workers = min(settings.num_workers, len(order))
    if workers:
        _allow_open_files()
    loader: DataLoader[Any] = DataLoader(
        _BatchReader(samples, collate),  # type: ignore[arg-type]  # not a subclass of torch's Dataset
        # Whole batches are read by one index, as a worker that has an error of ours can then hand it over as
        # data; torch's own batching would turn it into the text of a traceback.
        sampler=order,  # its indices are lists of (epoch, index)
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=settings.prefetch_factor if workers else None,
        persistent_workers=workers > 0,
        pin_memory=_pins(settings),
        worker_init_fn=_set_up_worker,
        generator=torch.Generator().manual_seed(settings.seed),  # else iterating draws from the global one
    )
    return TrainingLoader(loader, order)


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error on its way to the main process; torch would wrap it in the text of a traceback."""

    error: AnydetError


@dataclass(frozen=True, slots=True, eq=False)
class _BatchReader:
    """A map-style data set whose items are whole batches."""

    samples: TrainingSamples
    collate: Callable[[list[Any]], Any]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, places: list[tuple[int, int]]) -> LoadedBatch | _Failure:
        try:
            keys, items = zip(*(self.samples[place] for place in places), strict=True)
            return LoadedBatch(list(keys), self.collate(list(items)))
        except AnydetError as error:
            return _Failure(error)


def _as_it_is(batch: Any) -> Any:
    return batch


def _pins(settings: TrainSettings) -> bool:
    """Pinning needs CUDA, and is of use only where the model is there."""
    wanted = settings.device != "cpu" if settings.pin_memory is None else settings.pin_memory
    return wanted and torch.cuda.is_available()


def _allow_open_files() -> None:
    """As many as the system lets us: a tensor on its way here is one, and without any left all would hang."""
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):  # a system may refuse what it calls its own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _set_up_worker(worker: int) -> None:
    """One thread a worker; signals that reach the whole group are for the main process to act on."""
    del worker
    # Else each worker starts a thread a core, and they compete with each other and with the model.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _wait_for_main)


def _wait_for_main(number: int, frame: object) -> None:
    """Lets the main process save first; it ends its workers itself, if need be by a second signal."""
    del frame
    signal.signal(number, signal.SIG_DFL)


def _end_workers(loader: DataLoader[Any]) -> None:
    """What torch does when its iterator is deleted; it has no public way."""
    iterator = loader._iterator
    if iterator is not None:
        iterator._shutdown_workers()  # type: ignore[attr-defined]  # only those with workers are kept
        loader._iterator = None


def _dead_worker(text: str) -> TrainingError:
    return TrainingError(
        f"a data loader worker died: {text.splitlines()[0]}",
        fix="give it more memory: fewer --num-workers, a smaller --prefetch-factor or --batch-size, or a "
        "larger /dev/shm",
    )
