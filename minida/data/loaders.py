"""Endless training batches that depend on (seed, step) alone, and evaluation batches."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from minida import distributed
from minida.data.base import SegmentationDataset
from minida.data.centroids import Centroids
from minida.data.pseudo import PseudoLabelled
from minida.data.transforms import Augmentation, normalise
from minida.types import Batch


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small images gain nothing from threads: waking them took longer than the work itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Sample(NamedTuple):
    """Which image, the seed of its augmentation, and the pixel (y, x) to crop around, if not at random."""

    index: int
    seed: int
    centre: tuple[int, int] | None = None


def check_enough(dataset: SegmentationDataset, batch_size: int, why: str = "") -> None:
    """Raises ValueError where `dataset` has fewer images than a batch; `why` says what made it so large."""
    if not 0 < batch_size <= len(dataset):
        name = dataset.spec or dataset.name
        raise ValueError(
            f"{name} has {len(dataset)} image(s), too few for a batch of {batch_size}{why}; "
            f"expected a batch from 1 to {len(dataset)}"
        )


class _Stream:
    """One data set's endless order: a fresh permutation every epoch, whose last short batch is dropped.

    The order begins at step `first`. The share `centroids` of every batch is drawn by centroid sampling instead, from
    draw number `drawn` on.
    """

    def __init__(
        self, dataset: SegmentationDataset, batch_size: int, key: tuple[int, int], labels: bool = True,
        centroids: float = 0.0, first: int = 0, drawn: int = 0,
    ) -> None:  # fmt: skip
        check_enough(dataset, batch_size)
        dataset.prepare(labels)
        self.dataset, self.batch_size, self.key, self.first, self.drawn = dataset, batch_size, key, first, drawn
        self.draws = round(centroids * batch_size)
        self.centroids = Centroids.of(dataset, (*key, 2)) if self.draws else None
        self.epochs = (*key, 0, first) if first else (*key, 0)
        self.last = (-1, np.empty(0, int))  # the last batch's epoch and its order
        self.share = slice(distributed.rank(), None, distributed.world_size())

    def samples(self, step: int) -> list[Sample]:
        """Those of batch `step` that fall to this process."""
        seeds = np.random.SeedSequence((*self.key, 1, step)).generate_state(self.batch_size).tolist()
        number = self.drawn + (step - self.first) * self.draws
        draws = [self.centroids.draw(number + n) for n in range(self.draws)]
        chosen = [Sample(draw.index, seed, (draw.y, draw.x)) for draw, seed in zip(draws, seeds, strict=False)]
        if rest := self.batch_size - self.draws:
            epoch, place = divmod(step - self.first, len(self.dataset) // rest)
            chosen += map(Sample, self._order(epoch)[place * rest :][:rest].tolist(), seeds[self.draws :])
        return chosen[self.share]

    def _order(self, epoch: int) -> np.ndarray:
        """(images,) indices; a batch mostly asks for the order that the batch before it asked for."""
        known, order = self.last
        if known != epoch:
            order = np.random.default_rng((*self.epochs, epoch)).permutation(len(self.dataset))
            self.last = (epoch, order)
        return order


class TrainingBatches(Dataset):
    """An endless iterable of augmented, normalised `Batch`es; every `iter` begins at step `start`.

    Batch k depends on the data, `seed` and k alone: not on the number of workers, on other generators, or on
    where the iteration began, so a resumed training sees what an uninterrupted one would have seen. Source
    and target run through their own epochs. Of the target only `image` is called, never `labels`, unless it holds
    pseudo-labels. Of several processes each gets its share of the same batch k: `batch_size` counts them all. It may
    be two numbers, of source and of target. The share `centroids` of the samples that have labels is drawn by
    centroid sampling (minida.data.centroids). Where a training changes its batch size, the order begins anew at step
    `first`, after `drawn` such samples. Raises: ValueError for a data set with fewer images than a batch.
    """

    def __init__(
        self,
        source: SegmentationDataset,
        target: SegmentationDataset | None = None,
        *,
        batch_size: int | tuple[int, int],
        augmentation: Augmentation,
        seed: int,
        workers: int = 0,
        start: int = 0,
        centroids: float = 0.0,
        first: int = 0,
        drawn: tuple[int, int] = (0, 0),
    ) -> None:
        sizes = batch_size if isinstance(batch_size, tuple) else (batch_size, batch_size)
        self.source = _Stream(source, sizes[0], (seed, 0), True, centroids, first, drawn[0])
        self.target = None
        if target is not None:
            share = centroids if isinstance(target, PseudoLabelled) else 0.0
            self.target = _Stream(target, sizes[1], (seed, 1), False, share, first, drawn[1])
        self.augmentation, self.workers, self.start = augmentation, workers, start

    def __getitem__(self, step: int) -> Batch:
        with _one_thread():
            pairs = self._augmented(self.source, step, True)
            images = normalise(torch.stack([image for image, _ in pairs]))  # (B, 3, H, W)
            labels = torch.stack([labels for _, labels in pairs])  # (B, H, W)
            if self.target is None:
                return Batch(images, labels)
            pairs = self._augmented(self.target, step, isinstance(self.target.dataset, PseudoLabelled))
            target = normalise(torch.stack([image for image, _ in pairs]))  # (B, 3, H, W)
            pseudo = None if pairs[0][1] is None else torch.stack([labels for _, labels in pairs])  # (B, H, W)
            return Batch(images, labels, target, pseudo)

    def _augmented(self, stream: _Stream, step: int, with_labels: bool) -> list[tuple[Tensor, Tensor | None]]:
        data, samples = stream.dataset, stream.samples(step)
        pairs = [data[s.index] if with_labels else (data.image(s.index), None) for s in samples]
        return [self.augmentation(*pair, s.seed, s.centre) for pair, s in zip(pairs, samples, strict=True)]

    def __iter__(self) -> Iterator[Batch]:
        steps = range(self.start, sys.maxsize)
        # A step is a whole batch already.
        return iter(_loader(self, self.workers, batch_size=None, sampler=steps))


def ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches the workers too; only the training decides when it ends, and then they end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _loader(dataset: Dataset | range, workers: int, **options: object) -> DataLoader:
    pin = torch.cuda.is_available()
    options |= {"worker_init_fn": ignore_interrupts} if workers else {}
    # Without a generator of its own a loader draws from the global one.
    return DataLoader(dataset, num_workers=workers, pin_memory=pin, generator=torch.Generator(), **options)


@_one_thread()
def _read(
    dataset: SegmentationDataset, with_labels: bool, indices: list[int]
) -> tuple[Tensor, list[Tensor | None], Tensor]:
    images = normalise(torch.stack([dataset.image(i) for i in indices]))  # (B, 3, H, W)
    labels = [dataset.labels(i) if with_labels else None for i in indices]
    return images, labels, torch.tensor([dataset.image_id(i) for i in indices])


def evaluation_batches(
    dataset: SegmentationDataset, batch_size: int = 8, workers: int = 0, with_labels: bool = True
) -> DataLoader:
    """Every image once, in order: images (B, 3, H, W) normalised, labels, ids (B,).

    Of several processes each gets every N-th image, none twice: shares may differ by one image.

    The labels are a list of B tensors (h, w) int64, each at its own size, where evaluation counts; with
    `with_labels=False` none is read, and the list holds None. The last batch may be short.
    """
    dataset.prepare(labels=False)  # those at the images' size are not what is counted
    share = range(distributed.rank(), len(dataset), distributed.world_size())
    return _loader(share, workers, batch_size=batch_size, collate_fn=partial(_read, dataset, with_labels))
