"""Notebook 03: the MPT rule over a set, what is believed, coverage and accuracy, the target's loss."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from minida.teach.checks import Exercise
from minida.types import IGNORE


def _thresholds(
    statistic: Callable = torch.median, bound: Callable = min, absent: float = math.inf, shift: bool = False
) -> Callable:
    """The middle confidence of a class over all images, at most `cap`; `shift` leaves an absent class out."""

    def mpt_thresholds(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
        found = []
        for c in range(num_classes):
            values = confidences[predictions == c]
            if len(values):
                found.append(bound(float(statistic(values)), cap))
            elif not shift:
                found.append(absent)
        return torch.tensor(found + [absent] * (num_classes - len(found)))

    return mpt_thresholds


def _shorter(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
    found = _thresholds(shift=True)(confidences, predictions, num_classes, cap)
    return found[found.isfinite()]


def _per_image(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
    """A threshold for each image, averaged over those that have the class."""
    one = _thresholds(absent=math.nan)
    pairs = zip(confidences, predictions, strict=True)
    mean = torch.stack([one(a, b, num_classes, cap) for a, b in pairs]).nanmean(0)
    return mean.nan_to_num(nan=math.inf)


def _rows(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
    pairs = zip(confidences, predictions, strict=True)
    return torch.stack([_thresholds()(a, b, num_classes, cap) for a, b in pairs])


def _median_of_medians(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
    rows = _rows(confidences, predictions, num_classes, cap)
    return rows.where(rows.isfinite(), math.nan).nanmedian(0).values.nan_to_num(nan=math.inf)


def _one_image(which: int) -> Callable:
    return lambda confidences, predictions, num_classes, cap: _thresholds()(
        confidences[which], predictions[which], num_classes, cap
    )


def _all_pixels(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
    present = torch.stack([(predictions == c).any() for c in range(num_classes)])
    return torch.full((num_classes,), min(float(confidences.median()), cap)).masked_fill(~present, math.inf)


def _everywhere(confidences: Tensor, predictions: Tensor, num_classes: int, cap: float) -> Tensor:
    return torch.full((num_classes,), min(float(confidences.median()), cap))


def _believe(rest: int = IGNORE, keep: Callable = torch.ge, choose: Callable = lambda t, p: t[p]) -> Callable:
    def pseudo_labels(confidence: Tensor, prediction: Tensor, thresholds: Tensor) -> Tensor:
        believed = keep(confidence, choose(thresholds, prediction))
        return torch.where(believed, prediction, torch.full_like(prediction, rest))

    return pseudo_labels


def _finite(thresholds: Tensor) -> Tensor:
    return thresholds[thresholds.isfinite()]


def _mask(confidence: Tensor, prediction: Tensor, thresholds: Tensor) -> Tensor:
    return confidence >= thresholds[prediction]


def _quality(
    judged: Callable = lambda p, t: (p != IGNORE) & (t != IGNORE),
    counted: Callable = lambda p, t: torch.ones_like(p, dtype=torch.bool),
    scale: float = 1.0,
    empty: float = math.nan,
    swap: bool = False,
) -> Callable:
    """`judged`: the pixels that the accuracy is a share of; `counted`: those that the coverage is a share of."""

    def coverage_and_accuracy(pseudo: Tensor, truth: Tensor) -> tuple[float, float]:
        among, of = judged(pseudo, truth), counted(pseudo, truth)
        coverage = ((pseudo != IGNORE) & of).sum().item() / of.sum().item()
        accuracy = ((pseudo == truth) & among).sum().item() / among.sum().item() if among.any() else empty
        return (scale * accuracy, scale * coverage) if swap else (scale * coverage, scale * accuracy)

    return coverage_and_accuracy


def _of_all(pseudo: Tensor, truth: Tensor) -> tuple[float, float]:
    right = ((pseudo == truth) & (pseudo != IGNORE)).sum().item()
    return (pseudo != IGNORE).float().mean().item(), right / pseudo.numel()


def _known(pseudo: Tensor, truth: Tensor) -> Tensor:
    return truth != IGNORE


def _target_loss(weights: Callable = lambda lam: (lam, 1), mean: Callable | None = None) -> Callable:
    """λ times the adversarial loss, plus the cross-entropy of the believed pixels; `mean` of their losses."""
    mean = mean or (lambda losses, believed: losses.sum() / believed.sum().clamp(min=1))

    def target_loss(adversarial: Tensor, logits: Tensor, pseudo: Tensor, lambda_adv: float) -> Tensor:
        losses = F.cross_entropy(logits, pseudo, ignore_index=IGNORE, reduction="none")
        first, second = weights(lambda_adv)
        return first * adversarial + second * mean(losses, pseudo != IGNORE)

    return target_loss


def _of_probabilities(adversarial: Tensor, logits: Tensor, pseudo: Tensor, lambda_adv: float) -> Tensor:
    return _target_loss()(adversarial, logits.softmax(1), pseudo, lambda_adv)


def _background(adversarial: Tensor, logits: Tensor, pseudo: Tensor, lambda_adv: float) -> Tensor:
    return lambda_adv * adversarial + F.cross_entropy(logits, pseudo.where(pseudo != IGNORE, 0))


def _set(seed: int, images: int, cells: int, present: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Confidences and predictions (N, 1, W); every class has an odd number of pixels, so all medians agree."""
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randint(0, len(present), (images, 1, cells), generator=generator)
    predictions = torch.tensor(present)[predictions]
    for c in present:
        if (predictions == c).sum() % 2 == 0:  # one pixel fewer, given to the last class
            predictions.view(-1)[(predictions.view(-1) == c).nonzero()[0]] = present[-1]
    level = 0.5 + 0.5 * torch.rand((images, 1, cells), generator=generator) ** (0.15 + 0.4 * predictions)
    return level - 0.3 * torch.arange(images)[:, None, None] / images, predictions  # later images are less sure


_LABELS = torch.tensor([[0, 1, 1, IGNORE], [2, 2, IGNORE, 0]])
_TRUTH = torch.tensor([[0, 1, 2, 1], [2, IGNORE, 0, 1]])  # 6 believed, 7 known, 5 both
_SURE = torch.tensor([[[0.9, 0.7, 0.4, 0.6], [0.95, 0.3, 0.55, 0.9]]])
_CLASS = torch.tensor([[[0, 1, 2, 1], [0, 2, 2, 0]]])
_LIMITS = torch.tensor([0.9, 0.65, 0.4, math.inf])
_LOGITS = 2 * torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(3))
_GIVEN = torch.randint(0, 4, (2, 3, 5), generator=torch.Generator().manual_seed(4))
_GIVEN[:, 1] = IGNORE
_ADV = torch.tensor(0.8)

EXERCISES = {
    "03.thresholds": Exercise(
        "the MPT rule over a set of images",
        _thresholds(),
        [
            (*_set(0, 3, 41, (0, 2, 3)), 5, 0.9),
            (*_set(1, 5, 32, (0, 1, 2, 3)), 4, 0.7),
            (*_set(2, 1, 32, (1, 2)), 3, 1.0),
        ],
        {
            "a threshold for each image, then their mean: the median is over the pixels of the whole set": _per_image,
            "the thresholds of one image alone, the last; the median is over the whole set": _one_image(-1),
            "the thresholds of one image alone, the first; the median is over the whole set": _one_image(0),
            "the cap is the largest threshold there is: the smaller of median and cap": _thresholds(bound=max),
            "0.9 is written in; take the argument cap": lambda *case: _thresholds()(*case[:3], 0.9),
            "the median of the images' medians; the median is over the pixels of the whole set": _median_of_medians,
            "a threshold for each image: one row an image; the median is over the pixels of the whole set": _rows,
            "the cap is missing": _thresholds(bound=lambda median, cap: median),
            "an absent class was left out, so every later class has its neighbour's threshold": _thresholds(shift=True),
            "an absent class was left out: the list is shorter than num_classes, and later thresholds move": _shorter,
            "a mean instead of a median": _thresholds(statistic=torch.mean),
            "one median over the pixels of all classes": _all_pixels,
            "one median over the pixels of all classes, and one for an absent class too": _everywhere,
            "an absent class has the threshold inf, not 0: of it nothing may be believed": _thresholds(absent=0.0),
            "an absent class has the threshold inf, not nan": _thresholds(absent=math.nan),
            "an absent class has the threshold inf, not 1": _thresholds(absent=1.0),
            "an absent class has the threshold inf, not the cap": lambda *case: _thresholds(absent=case[3])(*case),
            "the surest pixel of a class instead of the middle one": _thresholds(statistic=torch.max),
            "the least sure pixel of a class instead of the middle one": _thresholds(statistic=torch.min),
        },
    ),
    "03.believe": Exercise(
        "pseudo-labels from confidences and thresholds",
        _believe(),
        [(_SURE, _CLASS, _LIMITS), (_SURE.flip(-1), _CLASS, _LIMITS[:3]), (_SURE, 3 - _CLASS, _LIMITS)],
        {
            "a pixel exactly at its threshold is believed: only below it becomes IGNORE": _believe(keep=torch.gt),
            "unbelieved pixels became class 0, road: this teaches that all doubt is road; use IGNORE": _believe(
                0
            ),
            "unbelieved pixels became -1; the losses and scores of this course leave out IGNORE, 255": _believe(-1),
            "the sure pixels were dropped and the others kept": _believe(keep=torch.lt),
            "one threshold for all, the smallest; a pixel is held against its own class's": _believe(
                choose=lambda t, p: t.min()
            ),
            "one threshold for all, the largest; a pixel is held against its own class's": _believe(
                choose=lambda t, p: _finite(t).max()
            ),
            "one threshold for all, the mean; a pixel is held against its own class's": _believe(
                choose=lambda t, p: _finite(t).mean()
            ),
            "every prediction was kept": _believe(keep=lambda a, b: torch.ones_like(a, dtype=torch.bool)),
            "this is whether a pixel is believed; its class is wanted there": _mask,
        },
    ),
    "03.coverage": Exercise(
        "coverage and accuracy of pseudo-labels",
        _quality(),
        [(_LABELS, _TRUTH), (_LABELS.flip(0), _TRUTH), (torch.full_like(_TRUTH, IGNORE), _TRUTH)],
        {
            "an unbelieved pixel is no mistake: the accuracy counts believed pixels alone": _quality(judged=_known),
            "the accuracy is a share of the believed pixels, not of all": _quality(
                judged=lambda p, t: torch.ones_like(p, dtype=torch.bool)
            ),
            "where the truth is IGNORE nobody knows: such a pixel is neither right nor wrong": _quality(
                judged=lambda p, t: p != IGNORE, empty=math.nan
            ),
            "the coverage is a share of all pixels, those of unknown truth too": _quality(counted=_known),
            "right ones among all pixels; the accuracy is a share of those believed and known": _of_all,
            "two times IGNORE is no agreement": _quality(judged=lambda p, t: (p != IGNORE) | (t == IGNORE)),
            "where nothing is believed the coverage is 0, and the accuracy 0 / 0: nan": _quality(empty=0.0),
            "where nothing is believed there is no accuracy to compute: return nan": ZeroDivisionError,
            "shares from 0 to 1 are wanted, not percent": _quality(scale=100.0),
            "first the coverage, then the accuracy": _quality(swap=True),
        },
    ),
    "03.loss": Exercise(
        "the target's loss, Eq. 5",
        _target_loss(),
        [(_ADV, _LOGITS, _GIVEN, 0.1), (3 * _ADV, _LOGITS, _GIVEN.flip(2), 0.01),
         (_ADV, _LOGITS, torch.full_like(_GIVEN, IGNORE), 0.1)],
        {
            "λ belongs to the adversarial loss alone": _target_loss(lambda lam: (lam, lam)),
            "λ weighs the adversarial loss, not the pseudo-labels": _target_loss(lambda lam: (1, lam)),
            "λ is missing": _target_loss(lambda lam: (1, 1)),
            "the adversarial loss is missing": _target_loss(lambda lam: (0, 1)),
            "a mean over the believed pixels: here unbelieved ones count as a loss of 0": _target_loss(
                mean=lambda losses, believed: losses.mean()
            ),
            "a mean over the believed pixels, not a sum": _target_loss(mean=lambda losses, believed: losses.sum()),
            "right, until nothing is believed: then the mean is 0 / 0; let it be 0": _target_loss(
                mean=lambda losses, believed: losses.sum() / believed.sum()
            ),
            "unbelieved pixels were taught as class 0, which is road": _background,
            "cross_entropy wants logits, not probabilities": _of_probabilities,
            "IGNORE is no class: pass ignore_index": IndexError,
        },
    ),
}  # fmt: skip
