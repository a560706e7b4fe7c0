"""Thresholds over the last batches, for methods that label while they train."""

from typing import Any

import torch
from torch import Tensor

from minida import distributed
from minida.labeling.base import LabelingStrategy, Thresholds
from minida.labeling.statistic import BINS


class Window:
    """Lets a strategy observe batch after batch, and fits it anew every `length` of them.

    It is fitted to the last 2 * `length` batches (less in the beginning, and to the very first one at once): not to one
    batch or image, and not to what the network said long ago. The statistic has twice the strategy's own size, whatever
    `length` is. A device is waited for only where thresholds are fitted (collective), so in one step of `length`.
    """

    def __init__(self, strategy: LabelingStrategy, length: int = 10) -> None:
        self.strategy, self.length = strategy, length
        self.seen, self.older = 0, None  # batches so far; the counts before the strategy's own

    def observe(self, probs: Tensor, progress: float) -> None:
        """(B, C, H, W) softmax of the next batch; the first is fitted to at once."""
        self.strategy.observe(probs)
        if self.seen % self.length == 0:
            recent = self.strategy.counts
            self.strategy.counts = recent if self.older is None else recent + self.older.to(recent.device)
            self.strategy.fit(progress)
            self.older, self.strategy.counts = recent, None
        self.seen += 1

    def label(self, probs: Tensor, ids: Tensor | None = None) -> Tensor:
        """As `LabelingStrategy.label`."""
        return self.strategy.label(probs, ids)

    def state_dict(self) -> dict[str, Any]:
        """With the counts of all processes (collective)."""
        counts = [None if part is None else distributed.total(part) for part in (self.older, self.strategy.counts)]
        thresholds = self.strategy.thresholds
        kept = None if thresholds is None else tuple(thresholds)
        return {"seen": self.seen, "older": counts[0], "counts": counts[1], "thresholds": kept}

    def _check(self, seen: int, older: Tensor | None, counts: Tensor | None, thresholds: tuple | None) -> None:
        """Raises ValueError for a state that is none of this strategy's."""
        classes = self.strategy.num_classes
        fine = [type(seen) is int and seen >= 0]
        fine += [part.shape == (classes * BINS,) and part.dtype == torch.long and (part >= 0).all()
                 for part in (older, counts) if part is not None]  # fmt: skip
        fine += [part.shape == (classes,) and part.dtype == torch.float32 and not part.isnan().any()
                 for part in thresholds or ()]  # fmt: skip
        if not all(fine):
            raise ValueError("the window's counts or thresholds are another strategy's, or no numbers")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The first process takes all counts, the others begin with none: `fit` adds them up."""
        self._check(**state)
        own = int(distributed.rank() == 0)
        older, counts = (None if part is None else part * own for part in (state["older"], state["counts"]))
        self.seen, self.older, self.strategy.counts = state["seen"], older, counts
        self.strategy.thresholds = None if state["thresholds"] is None else Thresholds(*state["thresholds"])
