"""The statistic that every labelling strategy fits its thresholds to: integer counts, in fixed memory.

Predictions are sorted into bins of *doubt*: 1 - confidence, or a normalised entropy; 0 is sure, 1 knows nothing. Bins
are even in the fourth root of doubt, because half of all road pixels have less than 0.01 of it: there a bin is as wide
as a float32 is exact, and nowhere wider than 0.0007. Counts of several images, or of several processes, just add up.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BINS = 6144  # 19 classes take 0.9 MB
_FINE = 440  # bins up to here (doubt 2.6e-5) hold four float32 values or fewer
_MARGIN = 0.002  # of a bin: more than the rounding of a fourth root, so a value is on the side where it was counted


def bin_of(doubt: Tensor) -> Tensor:
    """Doubt in [0, 1], any shape -> int32 bin of each pixel."""
    return doubt.clamp(min=0).sqrt_().sqrt_().mul_(BINS).clamp_(max=BINS - 1).int()


@dataclass(frozen=True)
class Counts:
    """(R, BINS) int64: how many pixels of each row had which doubt. A row is a predicted class, or all of them."""

    bins: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """(R,) pixels of each row."""
        return self.bins.sum(1)

    def merged(self) -> "Counts":
        """All rows as one."""
        return Counts(self.bins.sum(0, keepdims=True))

    def limit(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The doubt up to which each row has its `wanted` (R,) least doubtful pixels, and how many lie up to there.

        The limit is interpolated within its bin, and the second answer is then `wanted`. Equal values cannot be told
        apart: a bin that stands out from its neighbours, or that is as fine as a float32, is taken as a whole, and
        the second answer is larger. A row that is to give nothing, or that is empty, has the limit -inf.
        """
        rows, upto = np.arange(len(self.bins)), self.bins.cumsum(1)
        wanted = np.minimum(wanted, upto[:, -1])  # all of them, where fewer were predicted
        last = np.minimum((upto < wanted[:, None] - 1e-6).sum(1), BINS - 1)  # the bin in which the count is reached
        inside, before = self.bins[rows, last], upto[rows, last] - self.bins[rows, last]
        beside = np.maximum(self.bins[rows, np.maximum(last - 1, 0)], self.bins[rows, np.minimum(last + 1, BINS - 1)])
        part = (wanted - before) / np.maximum(inside, 1)
        part[(inside > 4 * beside + 3) | (last < _FINE)] = 1
        limit = ((last + part + _MARGIN) / BINS) ** 4
        nothing = (wanted <= 0) | (upto[:, -1] == 0)
        return np.where(nothing, -np.inf, limit), np.where(nothing, 0, before + part * inside)


def confidence(limit: np.ndarray) -> Tensor:
    """Limits of doubt as confidences, float32: the least of those that lie within; inf where nothing may."""
    exact = np.maximum(1 - limit, 0)
    rounded = exact.astype(np.float32)
    return torch.from_numpy(np.where(rounded < exact, np.nextafter(rounded, np.float32(np.inf)), rounded))
