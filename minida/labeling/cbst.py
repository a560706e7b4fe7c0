"""CBST: class-balanced self-training, one share for every class."""

import numpy as np

from minida.labeling.base import LabelingStrategy, Thresholds, at, share
from minida.labeling.statistic import Counts, confidence


class ClassBalanced(LabelingStrategy):
    """Of the pixels predicted as each class believe the surest `ratio`.

    Source: Zou et al., ECCV 2018, as He et al., ICCV 2021, compare with it. Departure from Zou et al.: the label is
    the most probable class, not the one whose probability exceeds its threshold by the largest factor. Ties at a
    threshold are kept, so they give more than `ratio`.

    Args:
        ratio: the share; a pair grows from the first to the second.
    """

    def __init__(self, num_classes: int, ratio: float | tuple[float, float] = 0.2, **options) -> None:
        super().__init__(num_classes, **options)
        self.ratio = share("ratio", ratio)

    def rule(self, seen: Counts, progress: float) -> Thresholds:
        limit, _ = seen.limit(at(progress, self.ratio) * seen.total)
        return Thresholds(confidence(limit), np.ones(self.num_classes))
