"""DARS: distribution alignment and random sampling."""

from collections.abc import Sequence

import numpy as np

from minida.labeling.base import LabelingStrategy, Thresholds, at, share
from minida.labeling.statistic import Counts, confidence


class DARS(LabelingStrategy):
    """Believe a share `ratio` of all pixels, divided among the classes as the labelled set divides its own.

    1. Alignment: n_c = ratio · prior_c · N pixels for class c; t_c is the confidence of the n_c-th surest pixel
       predicted as c (of all of them, if they are fewer).
    2. Random sampling: where confidences overlap, more than n_c pixels reach t_c; a pixel of those is kept with
       probability s_c = n_c / their number.

    Then the pseudo-labels have the labelled set's shares, KL(labelled ‖ pseudo) = 0, as long as every class is
    predicted often enough; where one runs short, fewer pixels are kept and the KL rises. A class that is never
    predicted gets no labels. Source: He et al., ICCV 2021, Eq. 3 and 4 and Algorithm 1 (the slides).

    Departure: confidences are counted in bins, so n_c is met to about one part in a hundred, not exactly.

    Args:
        class_frequency: (C,) frequency of each class in the labelled set, on any scale.
        ratio: the labelling ratio α; a pair grows from the first to the second (the slides' progressive labelling).
        sample: False leaves out step 2 (the slides' "DA").
    """

    def __init__(
        self, class_frequency: Sequence[float], ratio: float | tuple[float, float] = 0.2, seed: int = 0,
        sample: bool = True, **options,
    ) -> None:  # fmt: skip
        frequency = np.asarray(class_frequency, np.float64)
        if frequency.ndim != 1 or not (np.isfinite(frequency).all() and (frequency >= 0).all() and frequency.any()):
            raise ValueError(f"class_frequency is {frequency.tolist()}; expected (C,) numbers from 0 up, not all 0")
        super().__init__(len(frequency), seed, **options)
        self.prior, self.ratio, self.sample = frequency / frequency.sum(), share("ratio", ratio), sample

    def rule(self, seen: Counts, progress: float) -> Thresholds:
        wanted = at(progress, self.ratio) * self.prior * seen.total.sum()  # n_c
        limit, reached = seen.limit(wanted)  # t_c, as doubt
        keep = np.minimum(1, wanted / np.maximum(reached, 1)) if self.sample else np.ones(self.num_classes)
        return Thresholds(confidence(limit), keep)
