"""The statistic that every labelling strategy fits its thresholds to: integer counts, in fixed memory.

Predictions are sorted into bins of *doubt*: 1 - confidence, or a normalised entropy; 0 is sure, 1 knows nothing. Bins
are even in the log-odds of doubt, because confidences crowd: half of all road pixels have less than 0.01 of it, and
where there are many classes an unsure network has more than 0.98. A bin is nowhere wider than 0.001, and next to 0 as
fine as a float32. Counts of several images, or of several processes, just add up.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BINS = 6144  # 19 classes take 0.9 MB
_A_UNIT, _LOW = 256, -17  # bins for one unit of log-odds; the lowest, less than the log-odds of 2^-24
_FINE = 1860  # bins up to here (doubt 6e-5) hold four float32 values or fewer
_ROUNDING = 8e-6  # relative, of odds computed in float32; more where 1 - doubt is small: a value stays on its side


def bin_of(doubt: Tensor) -> Tensor:
    """Doubt in [0, 1], any shape -> int32 bin of each pixel."""
    return doubt.clamp(0, 1).logit_().sub_(_LOW).mul_(_A_UNIT).clamp_(0, BINS - 1).int()


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
        beside = np.maximum(self.bins[rows, last - 1], self.bins[rows, np.minimum(last + 1, BINS - 1)])
        part = (wanted - before) / np.maximum(inside, 1)
        part[(inside > 4 * beside + 3) | (last < _FINE) | (last == BINS - 1)] = 1
        odds = np.exp(_LOW + (last + part) / _A_UNIT)
        odds *= 1 + _ROUNDING * (1 + odds / 200)
        limit = np.where(last + part >= BINS, 2, odds / (1 + odds))  # the last bin has no upper end
        nothing = wanted <= 0
        return np.where(nothing, -np.inf, limit), np.where(nothing, 0, before + part * inside)


def confidence(limit: np.ndarray) -> Tensor:
    """Limits of doubt as confidences, float32: the least of those that lie within; inf where nothing may."""
    exact = np.maximum(1 - limit, 0)
    rounded = exact.astype(np.float32)
    return torch.from_numpy(np.where(rounded < exact, np.nextafter(rounded, np.float32(np.inf)), rounded))
