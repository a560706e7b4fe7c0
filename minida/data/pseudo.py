"""Images with a teacher's labels instead of their own, in one file for all processes and loader workers."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minida import distributed
from minida.data.base import SegmentationDataset, Subset
from minida.types import IGNORE


class PseudoLabelled(Subset):
    """A data set's images with the labels (N, H, W) uint8 of a NumPy file; the data set's own are never read."""

    def __init__(self, dataset: SegmentationDataset, path: Path) -> None:
        super().__init__(dataset, range(len(dataset)))
        self.path, self.spec = path, f"{dataset.spec} with {path.name}"
        self.regions_file = path.with_name(f"regions-of-{path.name}")
        self.has_labels, self.stored = True, _open(path, (len(dataset), *dataset.size))

    def __getstate__(self) -> dict:
        """Workers get no copy of the memory map; they open the file again."""
        return dict(self.__dict__, stored=None)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, stored=np.load(state["path"], mmap_mode="r"))

    def labels(self, index: int) -> Tensor:
        labels = torch.from_numpy(self.stored[index].astype(np.int64))
        if ((labels >= len(self.table.names)) & (labels != IGNORE)).any():
            raise ValueError(f"{self.path}: damaged (labels that are no class); delete the run and start again")
        return labels

    def label_counts(self, index: int) -> np.ndarray:
        return SegmentationDataset.label_counts(self, index)

    def prepare(self, labels: object = True) -> None:
        self.dataset.prepare(labels=False)

    training_labels = labels  # they are at the images' size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.image(index), self.labels(index)


def _open(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A memory map of stored labels (N, H, W) uint8. Raises: ValueError for a damaged file, or of another shape."""
    try:
        stored = np.load(path, mmap_mode="r")
        if stored.dtype != np.uint8 or stored.ndim != 3 or not stored.size or stored.shape != (shape or stored.shape):
            raise ValueError(f"{stored.dtype} of shape {stored.shape}")
        return stored
    except Exception as error:  # of many kinds
        raise ValueError(f"{path}: damaged ({error}); delete the run and start again") from None


def coverage(path: Path) -> float:
    """Share of the pixels of a stored set that have a pseudo-label."""
    return float(np.mean([(plane != IGNORE).mean() for plane in _open(path)]))


def store_labels(dataset: SegmentationDataset, path: Path, labels: Callable[[], Iterable[Tensor]]) -> PseudoLabelled:
    """Write the maps that `labels()` gives, one for each image, as `path`, and open them (collective).

    Of several processes each writes its share, in the order of `evaluation_batches`; they need one file system. A
    file that is there already is kept: it is complete, because it gets its name last.
    """
    if not distributed.broadcast(distributed.rank() == 0 and path.exists()):
        part = path.with_name(f".{path.name}.part")
        if distributed.rank() == 0:
            shape = len(dataset), *dataset.size
            np.lib.format.open_memmap(part, "w+", np.uint8, shape).flush()
        distributed.broadcast(None)
        if not part.exists():
            raise ValueError(
                f"{part} cannot be seen by process {distributed.rank()}; put the run folder on a shared disk"
            )
        start = np.load(part, mmap_mode="r").offset  # of the array in the file
        share = range(distributed.rank(), len(dataset), distributed.world_size())
        with part.open("r+b") as file:  # no memory map: a full disk would end the process, Windows keep the name
            for index, plane in zip(share, labels(), strict=True):
                file.seek(start + index * plane.numel())
                file.write(np.asarray(plane, np.uint8).tobytes())
            file.flush()
            os.fsync(file.fileno())
        distributed.any_process(False)  # all have written
        if distributed.rank() == 0:
            part.replace(path)
        distributed.broadcast(None)
    return PseudoLabelled(dataset, path)
