"""What a labelling strategy is: a streaming statistic of the predictions, a rule, and a decision for each pixel."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minida import distributed
from minida.labeling.statistic import BINS, Counts, bin_of
from minida.types import IGNORE


class Thresholds(NamedTuple):
    """What a rule decides."""

    score: Tensor  # (C,) float32: the confidence from which a prediction of the class is believed; inf: never
    keep: Tensor  # (C,) float32: the share of those that is kept, drawn at random for each pixel


class LabelingStrategy(ABC):
    """Observe predictions, fit thresholds to them, label with them. A subclass gives `rule`, seldom more.

    The statistic is integer counts of fixed size (see minida.labeling.statistic), on the device of the first
    predictions; `fit` adds up those of all processes (collective).

    Args:
        num_classes: C.
        seed: of the random choice among believed pixels, where a rule keeps only a share.
        temperature: T > 0; predictions are taken as softmax(logits / T). Above 1 they are less sure.
    """

    def __init__(self, num_classes: int, seed: int = 0, temperature: float = 1.0) -> None:
        if not 1 <= num_classes <= IGNORE:
            raise ValueError(f"num_classes is {num_classes!r}; expected 1 to {IGNORE}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature is {temperature!r}; expected a positive number (1 changes nothing)")
        self.num_classes, self.seed, self.temperature = num_classes, seed, temperature
        self.extremes: Tensor | None = None  # of the probabilities seen on a GPU; checked in `fit`
        self.reset()

    @abstractmethod
    def rule(self, seen: Counts, progress: float) -> Thresholds:
        """The thresholds for what was observed; `progress` is 0 at the start of a training, 1 at its end."""

    def reset(self) -> None:
        """Forget what was observed, and the thresholds."""
        self.counts: Tensor | None = None  # (C * BINS,) int64, a class's bins after another's
        self.thresholds: Thresholds | None = None
        self.extremes = None

    def observe(self, probs: Tensor) -> None:
        """Count predictions: (B, C, H, W) softmax, any number of times, on any device.

        Raises: ValueError for another number of classes, or for what is no probability (logits, NaN).
        """
        at_once = max(1, 2**19 // max(1, probs.shape[-1] * probs.shape[-2]))  # images: little memory beside the counts
        for part in probs.split(at_once):
            score, predictions = self.scored(part)  # (b, H, W) each
            index = bin_of(self.doubt(score)).add_(predictions.int(), alpha=BINS)
            counts = _counted(index.flatten(), self.num_classes * BINS)
            self.counts = counts if self.counts is None else self.counts.to(counts.device) + counts

    def fit(self, progress: float = 0.0) -> Thresholds:
        """Turn all that was observed, by all processes, into thresholds."""
        if self.extremes is not None:
            _check_probabilities(*self.extremes)
        counts = torch.zeros(self.num_classes * BINS, dtype=torch.long) if self.counts is None else self.counts
        bins = distributed.total(counts.cpu()).numpy().reshape(self.num_classes, BINS)
        rule = [torch.as_tensor(part).float().clone() for part in self.rule(Counts(bins), progress)]
        if [tuple(part.shape) for part in rule] != 2 * [(self.num_classes,)]:
            shapes = " and ".join(str(tuple(part.shape)) for part in rule)
            raise ValueError(f"{type(self).__name__}.rule gives {shapes}; expected score and keep, (C,) each")
        self.thresholds = Thresholds(*rule)
        return self.thresholds

    def label(self, probs: Tensor, ids: Tensor | None = None) -> Tensor:
        """(B, C, H, W) softmax -> (B, H, W) int64 pseudo-labels: the predicted class, or IGNORE where not believed.

        `ids` (B,) are the images' numbers (default: 0 … B - 1). The random choice depends on (seed, number, pixel)
        alone: not on batches, processes or devices. Raises: ValueError before `fit`, and as `observe` (on a GPU, the
        next `fit` finds what is no probability).
        """
        if self.thresholds is None:
            raise ValueError(f"{type(self).__name__} has no thresholds yet; call observe(probs) and fit() first")
        score, predictions = self.scored(probs)
        limit, keep = self.thresholds
        believed = self.believes(score, _of_class(limit, predictions))
        if (keep < 1).any():
            ids = torch.arange(len(probs)) if ids is None else torch.as_tensor(ids)
            believed &= uniform(self.seed, ids, score) < _of_class(keep, predictions)
        return predictions.masked_fill(~believed, IGNORE).long()

    def scored(self, probs: Tensor) -> tuple[Tensor, Tensor]:
        """What is compared with the thresholds, and the predicted classes: (B, H, W) each. Here the confidence."""
        return self.read(probs)[1:]

    def doubt(self, score: Tensor) -> Tensor:
        """The score as doubt, in [0, 1]."""
        return 1 - score

    def believes(self, score: Tensor, threshold: Tensor) -> Tensor:
        """Whether a pixel's score passes its class's threshold."""
        return score >= threshold

    def read(self, probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities (B, C, H, W) at the temperature, float32; the largest of each pixel; and its class."""
        if probs.ndim != 4 or probs.shape[1] != self.num_classes:
            raise ValueError(f"probs are {tuple(probs.shape)}; expected (B, {self.num_classes}, H, W)")
        probs = probs.detach().float()
        if self.temperature != 1:
            probs = probs.log().div_(self.temperature).softmax(1)
        confidence, predictions = max_probability(probs)
        if confidence.numel():
            extremes = torch.stack(confidence.aminmax())
            if extremes.device.type == "cpu":
                _check_probabilities(*extremes)
            else:  # to look at it would make the processor wait for the device
                self.extremes = extremes if self.extremes is None else _widened(self.extremes, extremes)
        return probs, confidence, predictions


def _counted(index: Tensor, bins: int) -> Tensor:
    """How often each of 0 … bins - 1 occurs: `bincount`, which on a GPU would wait for the device."""
    if index.device.type == "cpu":
        return torch.bincount(index, minlength=bins)
    zeros = torch.zeros(bins, dtype=torch.long, device=index.device)
    return zeros.scatter_add_(0, index.long(), torch.ones_like(index, dtype=torch.long))


def _check_probabilities(low: Tensor, high: Tensor) -> None:
    if not (low >= 0 and high <= 1.001):
        ends = f"from {low:g} to {high:g}"
        raise ValueError(f"the largest probabilities reach {ends}; expected 0 to 1: apply softmax(1) to logits")


def _widened(extremes: Tensor, others: Tensor) -> Tensor:
    return torch.stack((torch.minimum(extremes[0], others[0]), torch.maximum(extremes[1], others[1])))


def max_probability(probs: Tensor) -> tuple[Tensor, Tensor]:
    """`probs.max(1)`: confidence (B, H, W), predicted class (B, H, W) integer. Of equal ones the first class wins."""
    if probs.device.type != "cpu":
        return probs.max(1)
    best, classes = probs.amax(1), probs.shape[1]  # a reduction with indices takes three times as long on a CPU
    index = torch.zeros(best.shape, dtype=torch.uint8)
    for c in range(classes):
        torch.maximum(index, (probs[:, c] == best).view(torch.uint8).mul_(classes - c), out=index)
    return best, classes - index


def _of_class(values: Tensor, predictions: Tensor) -> Tensor:
    """(C,) values -> that of each pixel's class."""
    chosen = values.to(predictions.device, non_blocking=True).index_select(0, predictions.flatten().int())
    return chosen.view(predictions.shape)


def uniform(seed: int, ids: Tensor, like: Tensor) -> Tensor:
    """A number in [0, 1) for each pixel of (B, H, W) `like`, from (seed, image number, place) alone: a hash."""
    ids = ids.to(like.device).long()[:, None]  # (B, 1)
    place = torch.arange(like.shape[1] * like.shape[2], device=like.device)[None]  # (1, H * W)
    key = _mixed(_mixed(_mixed(torch.full_like(ids, seed)) + ids) + place)  # (B, H * W)
    return (key & 0xFFFFFF).float().div_(1 << 24).view(like.shape)


def _mixed(key: Tensor) -> Tensor:
    """Every bit of a 32-bit number depends on every other (Mueller's integer hash, in int64 without overflow)."""
    for _ in range(2):
        key = key & 0xFFFFFFFF
        key = ((key >> 16) ^ key) * 0x45D9F3B
    key = key & 0xFFFFFFFF
    return (key >> 16) ^ key


def share(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    """A share of the pixels, or the first and the last of a growing one. Raises: ValueError outside [0, 1]."""
    pair = np.broadcast_to(np.asarray(value, float), 2)
    if not ((pair >= 0) & (pair <= 1)).all():
        raise ValueError(f"{name} is {value!r}; expected a share from 0 to 1, or two: at the start and at the end")
    return float(pair[0]), float(pair[1])


def at(progress: float, pair: tuple[float, float]) -> float:
    """The value between a pair's two, in proportion to the progress."""
    return pair[0] + (pair[1] - pair[0]) * progress
