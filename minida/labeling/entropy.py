"""U2PL's partition: the least uncertain predictions are reliable, by their entropy."""

import math

import numpy as np
import torch
from torch import Tensor

from minida.labeling.base import LabelingStrategy, Thresholds, at, share
from minida.labeling.statistic import Counts


class EntropyPartition(LabelingStrategy):
    """Drop the α_t of all pixels whose entropy is highest; α_t = α_0 (1 - progress) falls in a training from α_0 to 0.

    γ_t is the (1 - α_t) quantile of the entropies H(p) = -Σ_c p_c log p_c over all that was observed, and a pixel
    is kept where H < γ_t. The thresholds' `score` is γ_t, in nats, the same for every class.

    Source: Wang et al., CVPR 2022, Eq. 5 and 6. Departure: γ_t is taken over whatever was observed (many batches or
    the whole set), not over one batch. Ties at the quantile are kept.

    Args:
        alpha0: the share that is dropped at the start; or a pair, at the start and at the end.
    """

    def __init__(self, num_classes: int, alpha0: float | tuple[float, float] = 0.2, **options) -> None:
        super().__init__(num_classes, **options)
        self.alpha0, last = share("alpha0", alpha0)
        self.last, self.most = last if np.ndim(alpha0) else 0.0, math.log(max(num_classes, 2))  # share; nats

    def rule(self, seen: Counts, progress: float) -> Thresholds:
        everything = seen.merged()
        limit, _ = everything.limit((1 - at(progress, (self.alpha0, self.last))) * everything.total)
        gamma = torch.tensor(limit * self.most).clamp(min=0).expand(self.num_classes)
        return Thresholds(gamma, np.ones(self.num_classes))

    def scored(self, probs: Tensor) -> tuple[Tensor, Tensor]:
        probs, _, predictions = self.read(probs)
        return torch.special.entr(probs).sum(1), predictions

    def doubt(self, score: Tensor) -> Tensor:
        return score / self.most

    def believes(self, score: Tensor, threshold: Tensor) -> Tensor:
        return score < threshold
