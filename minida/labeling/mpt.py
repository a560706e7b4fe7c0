"""MPT: the report's max probability threshold, a median for each class."""

import numpy as np

from minida.labeling.base import LabelingStrategy, Thresholds
from minida.labeling.statistic import Counts, confidence


class MedianConfidence(LabelingStrategy):
    """Of each class believe the surer half, and whatever is at least `cap` sure.

    t_c = min(median of the confidences of the pixels predicted as c, cap), over the whole unlabelled set.

    Source: the report, "Pseudo Labels", step 2, after Li et al., CVPR 2019. What is not believed becomes IGNORE
    ("background" in the report). Of an absent class nothing is believed, and no other threshold moves. Ties at the
    median are kept. No departures: the report's text says "all the probabilities", so no threshold is an image's own.

    Args:
        cap: the confidence from which a pixel is believed whatever the median is.
    """

    def __init__(self, num_classes: int, cap: float = 0.9, **options) -> None:
        super().__init__(num_classes, **options)
        if not 0 <= cap <= 1:
            raise ValueError(f"cap is {cap}; expected a confidence from 0 to 1")
        self.cap = cap

    def rule(self, seen: Counts, progress: float) -> Thresholds:
        limit, _ = seen.limit(np.ceil(seen.total / 2))
        median = confidence(limit)  # (C,) inf for an absent class
        return Thresholds(median.clamp(max=self.cap).where(median.isfinite(), median), np.ones(self.num_classes))
