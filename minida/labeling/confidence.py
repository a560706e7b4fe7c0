"""ST: self-training with one confidence threshold for all classes."""

import numpy as np
import torch

from minida.labeling.base import LabelingStrategy, Thresholds, at, share
from minida.labeling.statistic import Counts, confidence


class Confidence(LabelingStrategy):
    """Believe what is at least `threshold` sure, or the `ratio` surest of all pixels.

    Source: the baseline "ST" of He et al., ICCV 2021 (DARS), Table 4. Pixels as sure as the least sure one that is
    kept are kept too, so ties give more than `ratio`.

    Args:
        threshold, ratio: one of both. A ratio may be a pair: it then grows from the first to the second.
    """

    def __init__(
        self,
        num_classes: int,
        threshold: float | None = None,
        ratio: float | tuple[float, float] | None = None,
        **options,
    ) -> None:
        super().__init__(num_classes, **options)
        if (threshold is None) == (ratio is None):
            raise ValueError(f"threshold is {threshold}, ratio {ratio}; give one of both, such as threshold=0.9")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}; expected a confidence from 0 to 1")
        self.threshold, self.ratio = threshold, None if ratio is None else share("ratio", ratio)

    def rule(self, seen: Counts, progress: float) -> Thresholds:
        if self.threshold is not None:
            score = torch.tensor([self.threshold])
        else:
            everything = seen.merged()
            limit, _ = everything.limit(at(progress, self.ratio) * everything.total)
            score = confidence(limit)
        return Thresholds(score.expand(self.num_classes), np.ones(self.num_classes))
