"""Shared types: the batch, the network's output, and class tables as data."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

IGNORE = 255  # label of a pixel that counts nowhere: neither in a loss nor in a metric


class ClassTable(NamedTuple):
    """Names, colours and file ids of a label set; a class's index in `names` is its training id.

    Source: the Cityscapes class table (Cordts et al., CVPR 2016).
    """

    names: tuple[str, ...]
    palette: np.ndarray  # (C, 3) uint8
    ids: tuple[int, ...]  # (C,) the number that stands for each class in a label file

    def lookup(self) -> np.ndarray:
        """(256,) uint8: label-file value -> training id, IGNORE where the table has none."""
        table = np.full(256, IGNORE, np.uint8)
        table[list(self.ids)] = np.arange(len(self.ids))
        return table


_CITYSCAPES = (  # name, colour, labelId
    ("road", (128, 64, 128), 7),
    ("sidewalk", (244, 35, 232), 8),
    ("building", (70, 70, 70), 11),
    ("wall", (102, 102, 156), 12),
    ("fence", (190, 153, 153), 13),
    ("pole", (153, 153, 153), 17),
    ("traffic light", (250, 170, 30), 19),
    ("traffic sign", (220, 220, 0), 20),
    ("vegetation", (107, 142, 35), 21),
    ("terrain", (152, 251, 152), 22),
    ("sky", (70, 130, 180), 23),
    ("person", (220, 20, 60), 24),
    ("rider", (255, 0, 0), 25),
    ("car", (0, 0, 142), 26),
    ("truck", (0, 0, 70), 27),
    ("bus", (0, 60, 100), 28),
    ("train", (0, 80, 100), 31),
    ("motorcycle", (0, 0, 230), 32),
    ("bicycle", (119, 11, 32), 33),
)
CITYSCAPES = ClassTable(
    names=tuple(row[0] for row in _CITYSCAPES),
    palette=np.array([row[1] for row in _CITYSCAPES], dtype=np.uint8),
    ids=tuple(row[2] for row in _CITYSCAPES),
)
CLASSES = CITYSCAPES.names
PALETTE = CITYSCAPES.palette
# The 11 classes below 1 % of Cityscapes' labelled pixels; the "tail mIoU" is the mean IoU over them.
TAIL = tuple(
    CLASSES.index(name)
    for name in (
        "wall", "fence", "traffic light", "traffic sign", "terrain", "rider",
        "truck", "bus", "train", "motorcycle", "bicycle",
    )
)  # fmt: skip


class Batch(NamedTuple):
    """One training batch. It has no field for the target's own labels, so no method can read them."""

    source: Tensor  # (B, 3, H, W) float, normalised
    source_labels: Tensor  # (B, H, W) int64, IGNORE where unlabelled
    target: Tensor | None = None  # (B, 3, H, W) float, normalised
    pseudo_labels: Tensor | None = None  # (B, H, W) int64: what a teacher said of the target, IGNORE where not believed


class SegmentationOutput(NamedTuple):
    """What a segmentation network returns, in training and in evaluation alike."""

    logits: Tensor  # (B, C, H, W) at the input's size
    aux: tuple[Tensor, ...] = ()  # auxiliary logits (B, C, H, W); empty in evaluation mode
    embedding: Tensor | None = None  # (B, E, H/8, W/8) from the representation head, if there is one
