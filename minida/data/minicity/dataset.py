"""MiniCity as a data set, with its cache."""

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from numbers import Integral
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from minida.data import cache
from minida.data.base import SegmentationDataset
from minida.data.loaders import ignore_interrupts
from minida.data.minicity.domains import blend
from minida.data.minicity.styles import develop
from minida.data.minicity.world import compose
from minida.types import CITYSCAPES

DOMAINS, SPLITS = ("game", "real"), ("train", "tune", "val")
ARRAYS = ("images", "labels")  # (n, 3, H, W) and (n, H, W) uint8
LARGE = 2**25  # pixels of a whole set from which several processes paint it: 64 images of 512x1024


@lru_cache(maxsize=1)
def _version() -> str:
    """Names the painter: a cache made by other code, or by another Pillow, is never read."""
    digest = hashlib.sha256(PIL.__version__.encode())
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".toml") and path.name not in ("dataset.py", "__init__.py"):
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:10]


class MiniCity(SegmentationDataset):
    """Procedural street scenes: item i is (image (3, H, W) uint8, labels (H, W) int64, exact per pixel).

    The same arguments give the same bytes. No scene is in two splits. `gap` morphs the domain "real" from game's
    look and layout (0) to its own (1), scene by scene; for "game" it changes nothing. `prepare` paints the whole
    set once into a cache (MINIDA_CACHE, else the user's cache folder); until then each access paints its image.

    Raises: ValueError for an unknown domain or split, or a size, n, seed or gap out of range.
    """

    def __init__(
        self, domain: str, split: str = "train", size: tuple[int, int] = (96, 192), n: int = 500, seed: int = 0,
        gap: float = 1.0,
    ) -> None:  # fmt: skip
        sides = len(size) == 2 and all(isinstance(side, Integral) and 16 <= side <= 8192 for side in size)
        for good, value, want in (
            (domain in DOMAINS, f"domain {domain!r}", "choose 'game' or 'real'"),
            (split in SPLITS, f"split {split!r}", "choose 'train', 'tune' or 'val'"),
            (sides, f"size {size!r}", "give (height, width), each from 16 to 8192, such as (96, 192)"),
            (isinstance(n, Integral) and 0 < n <= 100_000, f"n {n!r}", "give a number of images, from 1 up to 100000"),
            (isinstance(seed, Integral) and seed >= 0, f"seed {seed!r}", "give a whole number from 0 up"),
            (0 <= gap <= 1, f"gap {gap!r}", "give a number from 0 (like game) to 1 (fully real)"),
        ):
            if not good:
                raise ValueError(f"MiniCity has no {value}; {want}")
        self.domain, self.split, self.size = domain, split, (int(size[0]), int(size[1]))
        self.n, self.seed, self.gap = int(n), int(seed), float(gap) if domain == "real" else 0.0
        self.name = f"minicity:{domain}"
        self.spec = self.name + (f"?gap={self.gap:g}" if domain == "real" and self.gap != 1 else "")
        self.table, self.classes = CITYSCAPES, tuple(range(len(CITYSCAPES.names)))
        self._arrays: cache.Arrays | None = None
        self._last: tuple[int, tuple[np.ndarray, np.ndarray]] | None = None
        self._looked = False  # for a cache that is there already

    def __len__(self) -> int:
        return self.n

    def __getstate__(self) -> dict:
        """Workers get no copy of a memory map; they open the cache again."""
        mapped = self._arrays is not None and isinstance(self._arrays[0], np.memmap)
        return dict(self.__dict__, _last=None, _looked=False, _arrays=None if mapped else self._arrays)

    @property
    def folder(self) -> Path:
        """Where this set is cached."""
        name = f"{self.domain}-{self.split}-{self.size[0]}x{self.size[1]}-n{self.n}-seed{self.seed}-gap{self.gap!r}"
        return cache.cache_root() / f"minicity-{name}-{_version()}"

    def paint(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Paint one scene, whatever is cached: image (3, H, W) uint8, labels (H, W) uint8."""
        key = [DOMAINS.index(self.domain), SPLITS.index(self.split), self.seed, index]
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
        return develop(compose(rng, blend(self.gap)), self.size)

    def _item(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        index = range(self.n)[index]  # a negative index counts from the end; IndexError beyond
        if self._arrays is None and not self._looked:
            self._looked, self._arrays = True, cache.load(self.folder, ARRAYS)
        if self._arrays is not None:
            return self._arrays[0][index], self._arrays[1][index]
        last = self._last  # one thread's; another may replace it meanwhile
        if last is None or last[0] != index:
            last = self._last = index, self.paint(index)
        return last[1]

    def image(self, index: int) -> Tensor:
        return torch.from_numpy(self._item(index)[0].copy())

    def labels(self, index: int) -> Tensor:
        return torch.from_numpy(self._item(index)[1].astype(np.int64))

    def class_frequency(self) -> np.ndarray:
        self.prepare()
        return super().class_frequency()

    def prepare(self, labels: bool | Sequence[int] = True) -> None:
        """Paint the whole set: a small one into memory, others into the cache where that can be written."""
        if self._arrays is not None:
            return
        task, otherwise = f"painting {self.spec} {self.split}", "MiniCity paints in memory"
        self._arrays = cache.keep(self.folder, ARRAYS, self.n, self._painted(), task, otherwise)
        if self._arrays is None:
            self._arrays = cache.stack(tqdm(self._painted(), task, self.n, leave=False, unit="image"))

    def _painted(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All scenes in order; those of a large set painted by a process a core, where a process can be forked."""
        large = self.n * self.size[0] * self.size[1] >= LARGE
        if large and sys.platform == "linux" and not multiprocessing.current_process().daemon:
            yield from DataLoader(
                range(self.n), batch_size=None, collate_fn=self.paint, num_workers=os.cpu_count() or 1,
                multiprocessing_context="fork", worker_init_fn=ignore_interrupts, generator=torch.Generator(),
            )  # fmt: skip
        else:
            yield from map(self.paint, range(self.n))


def world_hash() -> str:
    """SHA-256 over sample scenes of both domains, all splits, two sizes and three gaps: the frozen world's mark."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for size in ((96, 192), (192, 384)):
            for domain, gap in (("game", 1.0), ("real", 0.0), ("real", 0.5), ("real", 1.0)):
                data = MiniCity(domain, split, size, n=2, gap=gap)
                for array in (*data.paint(0), *data.paint(1)):
                    digest.update(array.tobytes())
    return digest.hexdigest()
