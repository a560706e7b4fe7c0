"""Centroid sampling: crops around the connected regions of each class in turn, so that no rare one is missed.

Source: Zhu et al., 2020 (the slides on self-training). They leave open what is drawn how often. Here each class has a
queue of its own regions, shuffled, and a draw takes the next of the next class; a queue that is empty is filled anew.
So after as many draws of a class as it has regions, every one was drawn once: a rare class's often, a common one's
seldom.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from minida import distributed
from minida.data.base import SegmentationDataset
from minida.data.cache import cache_root
from minida.types import IGNORE

SPECK = 4  # a region of fewer pixels is noise, unless it is the largest of its class in the image


def components(labels: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W) int64: pixels of one label that touch one another, along an edge, share a number from 0 up."""
    starts = np.ones(labels.shape, bool)
    starts[:, 1:] = labels[:, 1:] != labels[:, :-1]
    run = np.cumsum(starts).reshape(labels.shape) - 1  # a number for each horizontal run
    touch = labels[1:] == labels[:-1]
    above, below = run[:-1][touch], run[1:][touch]
    parent = np.arange(run[-1, -1] + 1)
    while (parent[above] != parent[below]).any():
        pair = parent[above], parent[below]
        np.minimum.at(parent, np.maximum(*pair), np.minimum(*pair))
        while (parent != parent[parent]).any():
            parent = parent[parent]
    return np.unique(parent[run], return_inverse=True)[1].reshape(labels.shape)


def regions(labels: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (K, 4) int64 rows: class, pixels, and the region's own pixel (y, x) nearest to its centroid."""
    number = components(labels).ravel()
    pixels = np.bincount(number)
    place = np.indices(labels.shape).reshape(2, -1)  # y and x of every pixel
    centre = np.stack([np.bincount(number, axis) / pixels for axis in place])
    far = ((place - centre[:, number]) ** 2).sum(0)
    nearest = np.lexsort((far, number))[np.cumsum(pixels) - pixels]
    kind = labels.ravel()[nearest]
    largest = np.zeros(256, np.int64)
    np.maximum.at(largest, kind, pixels)
    kept = (kind != IGNORE) & (pixels >= np.minimum(SPECK, largest[kind]))
    return np.stack([kind, pixels, *place[:, nearest]], 1)[kept].astype(np.int64)


class Draw(NamedTuple):
    """One crop to take: of which image, around which class's region, at which pixel."""

    index: int
    kind: int
    y: int
    x: int


class Centroids:
    """The regions of a data set at its `size`, and an endless order to draw them in that depends on `key` alone.

    `table` is (K, 5): image, class, pixels, y, x. Raises: ValueError where no pixel has a label.
    """

    def __init__(self, table: np.ndarray, key: tuple[int, ...] = (0,)) -> None:
        self.table, self.key = table, key
        self.classes = np.unique(table[:, 1]).tolist()
        self.rows = {kind: np.flatnonzero(table[:, 1] == kind) for kind in self.classes}
        if not self.classes:
            raise ValueError("no pixel has a label, so there is no region to draw; believe more, or set centroids=0")

    @classmethod
    def of(cls, dataset: SegmentationDataset, key: tuple[int, ...] = (0,)) -> "Centroids":
        """Find the regions of every image (collective), or read what was found before in the same labels."""
        if dataset.regions is None:
            dataset.prepare()
            dataset.regions = _stored(dataset)
        return cls(dataset.regions, key)

    def draw(self, number: int) -> Draw:
        """Draw `number`, from 0 up: cycle after cycle through the classes, each cycle in its own order."""
        cycle, place = divmod(number, len(self.classes))
        kind = self.classes[_order((*self.key, 0, cycle), len(self.classes))[place]]
        rows = self.rows[kind]
        epoch, place = divmod(cycle, len(rows))  # a class is drawn once a cycle
        index, kind, _, y, x = self.table[rows[_order((*self.key, 1, kind, epoch), len(rows))[place]]].tolist()
        return Draw(index, kind, y, x)


@lru_cache(64)
def _order(key: tuple[int, ...], count: int) -> np.ndarray:
    return np.random.default_rng(key).permutation(count)


def _stored(dataset: SegmentationDataset) -> np.ndarray:
    """The table of a data set; of pseudo-labels it is kept beside them, else in the cache by a hash of the labels."""
    path, table = None, None
    if distributed.rank() == 0:
        path = dataset.regions_file or _name(dataset)
        with suppress(Exception):  # not there, or damaged: it is made again
            ends = np.array([len(dataset), len(dataset.table.names), np.inf, *dataset.size])
            found = np.load(path)
            fits = found.dtype == np.int64 and found.ndim == 2 and ((found >= 0) & (found < ends)).all()
            table = found if fits else None
    table = distributed.broadcast(table)
    if table is None:
        share = range(distributed.rank(), len(dataset), distributed.world_size())
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            bar = tqdm(share, f"finding regions of {dataset.spec or dataset.name}", leave=False, unit="image", delay=1)
            found = [pool.submit(_rows, dataset, index) for index in share]
            parts = [(bar.update(), part.result())[1] for part in found]
            bar.close()
        merged = sorted((part for some in distributed.gather(parts) for part in some), key=lambda part: part[0])
        table = np.concatenate([np.zeros((0, 5), np.int64), *(rows for _, rows in merged)])
        if distributed.rank() == 0:
            _write(path, table)
    return table


def _rows(dataset: SegmentationDataset, index: int) -> tuple[int, np.ndarray]:
    return index, np.insert(regions(dataset.training_labels(index).byte().numpy()), 0, index, axis=1)


def _name(dataset: SegmentationDataset) -> Path:
    digest, name = hashlib.sha256(repr((1, SPECK, dataset.size)).encode()), dataset.spec or dataset.name
    for index in tqdm(range(len(dataset)), f"reading labels of {name}", leave=False, unit="image", delay=1):
        digest.update(dataset.training_labels(index).byte().numpy())
    return cache_root() / f"centroids-{digest.hexdigest()[:24]}.npy"


def _write(path: Path, table: np.ndarray) -> None:
    """For the next run; a disk that refuses costs that run its time, not this one its result."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.save(file, table)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
