"""Which images make which batch: decided by seed and epoch alone, whoever reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from anydet.types import IntArray


class EpochSampler:
    """Batches of (epoch, index) for one process of several.

    Training: batch k of all processes together is images ``[k B W, (k + 1) B W)`` of the epoch's order, and
    each process takes its B in a row, so that W processes see the very batches of one process with W times
    the batch. The last batch may be smaller; it is filled up from the front of the order to a multiple of W,
    so that all processes step equally often with equally many images.

    Validation (``train=False``): the fixed order is cut into W runs as equal as can be, one a process; each
    image is seen once, and the processes' results one after the other are in the data set's order.

    Attributes:
        count: number of images.
        batch_size: images a process sees at once.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        train: bool = True,
    ) -> None:
        self.count, self.batch_size = count, batch_size
        self._seed, self._rank, self._world = seed, rank, world
        self._shuffle, self._train = shuffle and train, train
        self._epoch = self._start = 0

    def __len__(self) -> int:
        """Batches of this process in a whole epoch."""
        if self._train:
            return math.ceil(self.count / (self.batch_size * self._world))
        return math.ceil(len(self._run()) / self.batch_size)

    def seek(self, epoch: int, start_batch: int = 0) -> None:
        """What iterating gives from now on: ``epoch`` from its batch ``start_batch`` on."""
        self._epoch, self._start = epoch, start_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self._epoch
        own = self._train_batch if self._train else self._validation_batch
        order = self.order(epoch) if self._train else self._run()
        for batch in range(self._start, len(self)):
            yield [(epoch, index) for index in own(order, batch).tolist()]

    def order(self, epoch: int) -> IntArray:
        """(count,) all images in the order of ``epoch``."""
        if not self._shuffle:
            return np.arange(self.count)
        # A spawn key, as the plain entropy [seed, epoch] is that of image 0's [seed, epoch, 0].
        seeds = np.random.SeedSequence(self._seed, spawn_key=(epoch,))
        return np.random.default_rng(seeds).permutation(self.count)

    def _train_batch(self, order: IntArray, batch: int) -> IntArray:
        whole = self.batch_size * self._world
        together = order[batch * whole : (batch + 1) * whole]
        missing = -len(together) % self._world
        together = np.concatenate([together, np.resize(order, missing)])
        return np.split(together, self._world)[self._rank]

    def _validation_batch(self, run: IntArray, batch: int) -> IntArray:
        return run[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _run(self) -> IntArray:
        return np.array_split(np.arange(self.count), self._world)[self._rank]
