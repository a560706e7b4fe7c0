"""What a data set is: images, labels, a class table, and the classes it defines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from minida.types import CITYSCAPES, IGNORE, ClassTable


def resize_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (h, w) labels to `size` = (H, W) by the nearest pixel centre; no new label can appear."""
    if tuple(labels.shape) == tuple(size):
        return labels
    planes = labels.to(torch.uint8)[None, None]  # labels and IGNORE fit a byte
    return F.interpolate(planes, size=tuple(size), mode="nearest-exact")[0, 0].long()


class SegmentationDataset(Dataset, ABC):
    """A map-style data set of (image uint8 (3, H, W), labels int64 (H, W)).

    A subclass gives `__len__`, `image` and `labels`, and sets the attributes. `size` is every image's (H, W);
    `classes` are the training ids this data set defines, over which its mIoU averages.
    """

    spec: str = ""  # what `minida.data.open` was given
    name: str = ""
    split: str = "train"
    size: tuple[int, int]
    table: ClassTable = CITYSCAPES
    classes: tuple[int, ...] = tuple(range(len(CITYSCAPES.names)))
    has_labels: bool = True
    _frequency: np.ndarray | None = None
    regions: np.ndarray | None = None  # what minida.data.centroids found in the labels, once it has looked
    regions_file: Path | None = None  # where it keeps that; None: in the cache

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """(3, H, W) uint8 at `size`."""

    @abstractmethod
    def labels(self, index: int) -> Tensor:
        """(h, w) int64 at the labels' own size, which is what evaluation counts on."""

    def image_id(self, index: int) -> int:
        """The image's number, the same in every subset of a data set."""
        return index

    def image_name(self, index: int) -> str:
        """What a file that is made of this image is called, without its ending: unique, perhaps with folders."""
        return f"{self.image_id(index):05d}"

    def training_labels(self, index: int) -> Tensor:
        """(H, W) int64 at `size`."""
        return resize_labels(self.labels(index), self.size)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.image(index), self.training_labels(index)

    def prepare(self, labels: bool | Sequence[int] = True) -> None:
        """Do once what would otherwise be repeated for every image; loaders call it before they start.

        `labels`: True prepares those of all images too, False reads none, indices read theirs alone.
        """

    def check(self) -> list[str]:
        """All that is wrong with the data, one line each; empty when nothing is."""
        return []

    def label_counts(self, index: int) -> np.ndarray:
        """(256,) pixels of each label of one image, at the labels' own size."""
        return np.bincount(self.labels(index).flatten(), minlength=256)

    def class_frequency(self) -> np.ndarray:
        """(C,) float64 share of each class among the labelled pixels, counted once. Raises: ValueError."""
        if self._frequency is None:
            counts = sum(map(self.label_counts, range(len(self))))[: len(self.table.names)]
            if not counts.any():
                raise ValueError(f"{self.spec or self.name} has no labelled pixel: every label is {IGNORE}")
            self._frequency = counts / counts.sum()
        return self._frequency.copy()


class Subset(SegmentationDataset):
    """Some images of a data set, as a data set; `image_id` stays the image's number in the whole set."""

    def __init__(self, dataset: SegmentationDataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, tuple(int(index) for index in indices)
        for attribute in ("spec", "name", "split", "size", "table", "classes", "has_labels"):
            setattr(self, attribute, getattr(dataset, attribute))
        self.check = dataset.check

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> Tensor:
        return self.dataset.image(self.indices[index])

    def labels(self, index: int) -> Tensor:
        return self.dataset.labels(self.indices[index])

    def image_id(self, index: int) -> int:
        return self.dataset.image_id(self.indices[index])

    def image_name(self, index: int) -> str:
        return self.dataset.image_name(self.indices[index])

    def label_counts(self, index: int) -> np.ndarray:
        return self.dataset.label_counts(self.indices[index])

    def prepare(self, labels: bool | Sequence[int] = True) -> None:
        """All the images: other parts use them too. Of the labels only our own: others may be a target's."""
        if labels is not False:
            labels = self.indices if labels is True else [self.indices[index] for index in labels]
        self.dataset.prepare(labels)

    def training_labels(self, index: int) -> Tensor:
        return self.dataset.training_labels(self.indices[index])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.dataset[self.indices[index]]  # the whole set may hold a faster way than ours


def labeled_split(dataset: SegmentationDataset, fraction: float, seed: int) -> tuple[Subset, Subset]:
    """Split a data set at random into a labelled `fraction` and the unlabelled rest (the SSL protocol).

    The two are disjoint, cover the set, hold an image or more each, and depend on `seed` alone.
    Raises: ValueError for a fraction outside (0, 1) or a set of fewer than two images.
    """
    if not 0 < fraction < 1 or len(dataset) < 2:
        raise ValueError(
            f"cannot label a fraction {fraction} of {len(dataset)} images of {dataset.spec or dataset.name}; "
            "expected a number between 0 and 1, such as 1/8, and two images or more"
        )
    count = min(max(1, round(fraction * len(dataset))), len(dataset) - 1)
    order = np.random.default_rng(seed).permutation(len(dataset))
    return Subset(dataset, sorted(order[:count])), Subset(dataset, sorted(order[count:]))
