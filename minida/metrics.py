"""Metrics from integer counts: every image counts once, the ratios are taken once, at the end."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minida import distributed
from minida.types import IGNORE


class ConfusionMatrix:
    """Pixel counts, rows = true class, columns = predicted class, over any number of images.

    Pixels labelled IGNORE count nowhere. A class in neither labels nor predictions has an IoU of NaN and is
    left out of the mean, as in the official Cityscapes evaluation (Cordts et al., CVPR 2016).
    """

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.counts = np.zeros((num_classes, num_classes), np.int64)

    def update(self, labels: Tensor, predictions: Tensor) -> None:
        """Add pixels: two integer tensors of one shape, predictions in [0, C).

        Raises:
            ValueError: shapes differ, or a label is neither IGNORE nor a class.
        """
        if labels.shape != predictions.shape:
            raise ValueError(
                f"labels are {tuple(labels.shape)} but predictions {tuple(predictions.shape)}; expected one shape"
            )
        c, valid = self.num_classes, labels != IGNORE
        pair = torch.stack((labels[valid], predictions[valid])).long()  # (2, N); bytes would overflow below
        if pair.numel() and not (int(pair.min()) >= 0 and int(pair.max()) < c):
            raise ValueError(f"labels or predictions outside 0..{c - 1}; expected class numbers or {IGNORE}")
        pairs = torch.bincount(pair[0] * c + pair[1], minlength=c * c)
        self.counts += pairs.view(c, c).cpu().numpy()

    def merge(self) -> None:
        """Add up the counts of all processes, where there are several (collective)."""
        self.counts = distributed.total(self.counts)

    def iou(self) -> np.ndarray:
        """(C,) float64: TP / (TP + FP + FN), NaN for an absent class."""
        hits = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return np.divide(hits, union, out=np.full(self.num_classes, np.nan), where=union > 0)

    def miou(self, classes: tuple[int, ...] | None = None) -> float:
        """Mean IoU over `classes` (default: all), absent ones left out; NaN where nothing was counted."""
        iou = self.iou() if classes is None else self.iou()[list(classes)]
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of the counted pixels predicted right (the report's "precision per pixel")."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else float("nan")


class Shares(NamedTuple):
    """A ratio for each class, and over all pixels."""

    per_class: np.ndarray  # (C,) float64, NaN where there is nothing to take a share of
    overall: float


class PseudoLabelQuality:
    """What pseudo-labels are worth, from pixel counts; rows: pseudo-label, columns: true label, IGNORE the last."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)

    def update(self, pseudo: Tensor, truth: Tensor) -> None:
        """Add pixels: two integer tensors of one shape, classes in [0, C) or IGNORE. Raises: ValueError."""
        c = self.num_classes
        if any(bool((((labels < 0) | (labels >= c)) & (labels != IGNORE)).any()) for labels in (pseudo, truth)):
            raise ValueError(f"pseudo-labels or labels outside 0..{c - 1}; expected class numbers or {IGNORE}")
        matrix = ConfusionMatrix(c + 1)
        matrix.update(*(labels.long().where(labels != IGNORE, c) for labels in (pseudo, truth)))
        self.counts += matrix.counts

    def merge(self) -> None:
        """Add up the counts of all processes, where there are several (collective)."""
        self.counts = distributed.total(self.counts)

    def coverage(self) -> Shares:
        """Share of the pixels that have a pseudo-label: of those of each true class, and of all."""
        return _shares(self.counts[:-1].sum(0)[:-1], self.counts.sum(0)[:-1], self.counts[:-1], self.counts)

    def accuracy(self) -> Shares:
        """Share of the pseudo-labels that are right, where the truth is known: of each class given, and of all."""
        known = self.counts[:-1, :-1]
        return _shares(np.diag(known), known.sum(1), np.trace(known), known)

    def shares(self) -> np.ndarray:
        """(C,) share of each class among the pseudo-labels; NaN where there is none."""
        given = self.counts[:-1].sum(1)
        return given / given.sum() if given.any() else np.full(self.num_classes, np.nan)

    def kl(self, prior: np.ndarray) -> float:
        """KL(prior ‖ shares) in nats, both plus 1e-6 and renormalised; `prior` (C,) on any scale. NaN without labels.

        Source: He et al., ICCV 2021 (DARS), Eq. 2; the smoothing is ours, for classes that were never given.
        """
        if not np.sum(prior) > 0:
            return float("nan")
        first, second = (np.asarray(part, np.float64) / np.sum(part) + 1e-6 for part in (prior, self.shares()))
        first, second = first / first.sum(), second / second.sum()
        return float((first * np.log(first / second)).sum())


def _shares(hits: np.ndarray, of: np.ndarray, all_hits: np.ndarray, of_all: np.ndarray) -> Shares:
    per_class = np.divide(hits, of, out=np.full(len(of), np.nan), where=of > 0)
    total = int(np.sum(of_all))
    return Shares(per_class, float(np.sum(all_hits) / total) if total else float("nan"))
