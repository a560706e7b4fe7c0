"""Notebook 00: IoU of a class, class frequencies, mean IoU, tail share."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minida.teach.checks import Exercise
from minida.types import IGNORE, TAIL


def _iou(ratio: Callable, keep_ignored: bool = False, empty: float = math.nan) -> Callable:
    """An IoU whose `ratio` gives part and whole from true positives, false positives and false negatives."""

    def iou(labels: Tensor, predictions: Tensor, class_id: int) -> float:
        valid = (labels != IGNORE) | keep_ignored
        truth, found = (labels == class_id) & valid, (predictions == class_id) & valid
        both = (truth & found).sum().item()
        part, whole = ratio(both, found.sum().item() - both, truth.sum().item() - both)
        return part / whole if whole else empty

    return iou


def _right(tp: int, fp: int, fn: int) -> tuple[int, int]:
    return tp, tp + fp + fn


def _frequency(labels: Tensor, num_classes: int) -> Tensor:
    counts = torch.bincount(labels[labels != IGNORE], minlength=num_classes).double()
    return counts / counts.sum()


def _scores(confusion: Tensor) -> Tensor:
    """(C,) IoU; 0 / 0 = NaN for a class in neither labels nor predictions."""
    hit = confusion.diag().double()
    return hit / (confusion.sum(0) + confusion.sum(1) - hit)


def _tail(frequency: Tensor, tail: tuple[int, ...]) -> float:
    return (frequency[list(tail)].sum() / frequency.sum()).item()


_TRUTH = torch.tensor([[0, 0, 1, 1], [0, 2, 1, IGNORE], [2, 2, IGNORE, IGNORE]])
_GUESS = torch.tensor([[0, 1, 1, 1], [0, 2, 0, 1], [2, 0, 0, 2]])
_SPARSE = torch.tensor([[IGNORE] * 4, [IGNORE, 4, IGNORE, IGNORE], [0, 0, 0, IGNORE]])
_MAPS = torch.stack((_TRUTH, _SPARSE))
_COUNTS = torch.tensor([[50, 4, 0, 1], [6, 20, 0, 0], [0, 0, 0, 0], [2, 1, 0, 0]])
_SHARES = torch.tensor([40, 10, 20, 1, 1, 2, 0.5, 0.5, 12, 1, 5, 2, 0.5, 6, 1, 1, 0.2, 0.2, 0.6]).double()

EXERCISES = {
    "00.iou": Exercise(
        "IoU of one class, from a label map and a prediction",
        _iou(_right),
        [(_TRUTH, _GUESS, 0), (_TRUTH, _GUESS, 1), (_TRUTH, _GUESS, 2), (_TRUTH, _GUESS, 5)],
        {
            "dividing by the labelled pixels of the class gives recall, not IoU": _iou(
                lambda tp, fp, fn: (tp, tp + fn)
            ),
            "dividing by the predicted pixels of the class gives precision, not IoU": _iou(
                lambda tp, fp, fn: (tp, tp + fp)
            ),
            "pixels labelled IGNORE count as errors; leave them out first": _iou(_right, keep_ignored=True),
            "the overlap is in both areas; take it off once": _iou(lambda tp, fp, fn: (tp, 2 * tp + fp + fn)),
            "the overlap counted twice gives Dice, not IoU": _iou(lambda tp, fp, fn: (2 * tp, 2 * tp + fp + fn)),
            "a class that is nowhere has no IoU: return nan, not 0": _iou(_right, empty=0.0),
            "a class that is nowhere has no IoU: return nan, not 1": _iou(_right, empty=1.0),
            "a class that is nowhere makes you divide by zero: return nan": ZeroDivisionError,
        },
    ),
    "00.frequency": Exercise(
        "class frequencies over a stack of label maps",
        _frequency,
        [(_MAPS, 5), (_MAPS[:1], 6)],
        {
            "pixels labelled IGNORE are in your total": lambda x, n: _frequency(x, n) * (x != IGNORE).double().mean(),
            "a mean over images gives a map with few labels too much weight": lambda x, n: torch.stack(
                [_frequency(plane, n) for plane in x]
            ).mean(0),
            "these are counts; divide them by their sum": lambda x, n: torch.bincount(x[x != IGNORE], minlength=n),
            "classes after the last one seen are missing; give bincount a minlength": lambda x, n: _frequency(x, 0),
            "IGNORE, 255, is no class; leave those pixels out before you count": IndexError,
        },
    ),
    "00.miou": Exercise(
        "mean IoU from a confusion matrix",
        lambda confusion: _scores(confusion).nanmean().item(),
        [(_COUNTS,), (_COUNTS.T.contiguous(),), (_COUNTS[:2, :2],)],
        {
            "an absent class counts as 0; leave it out of the mean": lambda cm: _scores(cm).nan_to_num(0).mean(),
            "an absent class turns the mean into nan; use nanmean": lambda cm: _scores(cm).mean(),
            "that is pixel accuracy, where large classes drown the small": lambda cm: cm.diag().sum() / cm.sum(),
            "you divide by the rows only: that is the mean recall": lambda cm: (cm.diag() / cm.sum(1)).nanmean(),
            "you divide by the columns only: that is the mean precision": lambda cm: (cm.diag() / cm.sum(0)).nanmean(),
        },
    ),
    "00.tail": Exercise(
        "share of the pixels that belong to the tail classes",
        _tail,
        [(_SHARES, TAIL), (_SHARES / _SHARES.sum(), TAIL[:3])],
        {
            "frequencies need not sum to 1; divide by their sum": lambda f, tail: f[list(tail)].sum(),
            "shares of pixels add up; do not average them": lambda f, tail: f[list(tail)].mean() / f.sum(),
            "that is the share of the classes, not of the pixels": lambda f, tail: len(tail) / len(f),
            "that is the share of all the other classes": lambda f, tail: 1 - _tail(f, tail),
            "that is in percent; return a fraction from 0 to 1": lambda f, tail: 100 * _tail(f, tail),
        },
    ),
}
