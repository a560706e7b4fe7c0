"""Notebook 05: the KL between shares, quotas, thresholds that meet them, and the share of ties that is kept."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minida.teach.checks import Exercise


def _kl(smoothing: float = 1e-6, reverse: bool = False, base: float = math.e, normalise: bool = True) -> Callable:
    def kl(prior: Tensor, shares: Tensor) -> Tensor:
        p, q = prior, shares
        if normalise:
            p, q = (part / part.sum() + smoothing for part in (p, q))
            p, q = p / p.sum(), q / q.sum()
        p, q = (q, p) if reverse else (p, q)
        return (p * (p / q).log()).sum() / math.log(base)

    return kl


def _distance(prior: Tensor, shares: Tensor) -> Tensor:
    return (prior / prior.sum() - shares / shares.sum()).abs().sum()


def _quotas(normalise: bool = True, ratio_counts: bool = True, own: bool = True) -> Callable:
    def quotas(prior: Tensor, ratio: float, predicted: Tensor) -> Tensor:
        shares = (prior / prior.sum() if normalise else prior) if own else predicted / predicted.sum()
        return (ratio if ratio_counts else 1) * shares * predicted.sum()

    return quotas


def _alike(prior: Tensor, ratio: float, predicted: Tensor) -> Tensor:
    return torch.full_like(prior, ratio / len(prior)) * predicted.sum()


def _capped(prior: Tensor, ratio: float, predicted: Tensor) -> Tensor:
    return ratio * prior / prior.sum() * predicted


def _align(shift: int = 0, surest_first: bool = True, together: bool = False, absent: float = math.inf) -> Callable:
    def align(confidences: Tensor, predictions: Tensor, quotas: Tensor) -> Tensor:
        limits = []
        for c, wanted in enumerate(quotas.tolist()):
            chosen = confidences if together else confidences[predictions == c]
            ordered = chosen.sort(descending=surest_first).values
            last = min(wanted - 1 + shift, len(ordered) - 1)
            limits.append(float(ordered[last]) if wanted > 0 and len(ordered) else absent)
        return torch.tensor(limits)

    return align


def _unguarded(confidences: Tensor, predictions: Tensor, quotas: Tensor) -> Tensor:
    limits = []
    for c, wanted in enumerate(quotas.tolist()):
        ordered = confidences[predictions == c].sort(descending=True).values
        limits.append(float(ordered[min(wanted, len(ordered)) - 1]) if len(ordered) else math.inf)
    return torch.tensor(limits)


def _nothing_if_short(confidences: Tensor, predictions: Tensor, quotas: Tensor) -> Tensor:
    enough = torch.bincount(predictions, minlength=len(quotas)) >= quotas
    return _align()(confidences, predictions, quotas).masked_fill(~enough, math.inf)


def _keep(cap: bool = True, turned: bool = False, safe: bool = True, ignored: bool = False) -> Callable:
    def keep_share(quotas: Tensor, reached: Tensor) -> Tensor:
        above, below = (reached, quotas) if turned else (quotas, reached)
        shares = above / (below.clamp(min=1) if safe else below)
        shares = shares.clamp(max=1) if cap else shares
        return 1 - shares if ignored else shares

    return keep_share


_P, _Q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.9, 0.1, 0.0])
_PRIOR, _SEEN = torch.tensor([6.0, 3.0, 1.0]), torch.tensor([700.0, 290.0, 10.0])
_SURE = torch.tensor([0.9, 0.4, 0.8, 0.7, 0.95, 0.6, 0.3, 0.5, 0.85])
_CLASS = torch.tensor([0, 0, 1, 0, 0, 1, 1, 0, 3])

EXERCISES = {
    "05.kl": Exercise(
        "the smoothed KL divergence between a prior and the shares of pseudo-labels",
        _kl(),
        [(_P, _P), (_P, torch.tensor([0.6, 0.3, 0.1])), (_P, _Q), (_PRIOR, _SEEN), (_Q, _P)],
        {
            "the direction: KL(prior || shares) weighs the logarithms by the prior": _kl(reverse=True),
            "a class without pseudo-labels divides by 0: add 1e-6 to both, then normalise again": _kl(0.0),
            "the natural logarithm is wanted, not log2": _kl(base=2),
            "the natural logarithm is wanted, not log10": _kl(base=10),
            "both may be counts: divide each by its sum first": _kl(normalise=False),
            "the mean over the classes; the KL is their sum": lambda prior, shares: _kl()(prior, shares) / len(prior),
            "this is a distance between shares; the KL takes the logarithm of their ratio": _distance,
        },
    ),
    "05.quotas": Exercise(
        "how many pixels each class is to give",
        _quotas(),
        [(_PRIOR, 0.2, _SEEN), (_P, 0.5, _SEEN), (torch.tensor([1.0, 0.0, 3.0]), 1.0, _SEEN)],
        {
            "the prior is not normalised: it may be counts": _quotas(normalise=False),
            "these are shares of the predictions, which is CBST; take the labelled set's": _quotas(own=False),
            "the ratio is forgotten: only that part of all pixels is to be labelled": _quotas(ratio_counts=False),
            "every class gets the same here; the prior says how unlike they are": _alike,
            "a share of all pixels, not of those predicted as the class": _capped,
            "a quota is what is asked for, not what there is: do not cut it at the pixels predicted": (
                lambda prior, ratio, predicted: torch.minimum(_quotas()(prior, ratio, predicted), predicted)
            ),
            "these are shares; times the number of pixels they are quotas": (
                lambda prior, ratio, predicted: ratio * prior / prior.sum()
            ),
        },
    ),
    "05.align": Exercise(
        "the threshold of each class that lets its quota through",
        _align(),
        [
            (_SURE, _CLASS, torch.tensor([2, 1, 1, 1])),
            (_SURE, _CLASS, torch.tensor([9, 2, 0, 5])),
            (_SURE, _CLASS, torch.tensor([0, 3, 4, 1])),
        ],
        {
            "shifted by one: the n-th surest is at index n - 1": _align(shift=1),
            "sorted upwards: this believes the least sure ones; sort in descending order": _align(surest_first=False),
            "sorted over all classes together; each class has its own list": _align(together=True),
            "a class that is absent, or shall give nothing, has the threshold inf: 0 lets everything through": _align(
                absent=0.0
            ),
            "quota 0 is index -1, the least sure pixel: inf is wanted": _unguarded,
            "where fewer than the quota were predicted, all of them are believed": _nothing_if_short,
            "the list of an absent class is empty, and a short one ends before the quota: "
            "min(n, its length), inf where that is 0": IndexError,
        },
    ),
    "05.share": Exercise(
        "the share of the pixels above the threshold that is kept",
        _keep(),
        [
            (torch.tensor([50.0, 10.0, 3.0]), torch.tensor([100.0, 10.0, 40.0])),
            (torch.tensor([50.0, 10.0, 4.0]), torch.tensor([20.0, 80.0, 4.0])),
            (torch.tensor([5.0, 2.0, 0.0]), torch.tensor([0.0, 8.0, 0.0])),
        ],
        {
            "a share is 1 at most: where fewer than the quota are there, all are kept": _keep(cap=False),
            "divided the wrong way: the quota by the pixels that reached the threshold": _keep(turned=True),
            "0 / 0 where nothing reached the threshold: divide by max(reached, 1)": _keep(safe=False),
            "this is the share that is ignored, 1 - s": _keep(ignored=True),
            "0 where nothing reached the threshold; divide by max(reached, 1), then cap at 1": (
                lambda quotas, reached: _keep()(quotas, reached).where(reached > 0, torch.zeros(()))
            ),
        },
    ),
}
