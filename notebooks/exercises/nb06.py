"""Notebook 06: the entropy partition, a pixel's negatives, the contrastive loss of one anchor, and a repair."""

from collections.abc import Callable

import torch
from torch import Tensor

from minida.teach.checks import Exercise

_IGNORE = 255


def _partition(
    of: str = "entropy",
    share: Callable = lambda alpha: 1 - alpha,
    per_image: bool = False,
    keep_low: bool = True,
    at_limit: bool = False,
) -> Callable:
    def partition(probs: Tensor, alpha: float) -> Tensor:
        entropy = torch.special.entr(probs).sum(1)
        plain = -(probs * probs.log()).sum(1)
        doubt = {"entropy": entropy, "confidence": probs.amax(1), "doubt": 1 - probs.amax(1), "plain": plain}[of]
        parts, kept = doubt.split(1) if per_image else [doubt], []
        for part in parts:
            gamma = part.flatten().quantile(share(alpha))
            kept.append(part <= gamma if at_limit else part < gamma)
        kept = torch.cat(kept)
        return probs.argmax(1).where(kept if keep_low else ~kept, _IGNORE)

    return partition


def _negatives(
    descending: bool = True, start: int = 0, own: bool = False, inclusive: bool = False, unsure: str = "unlikely",
    sure: bool = False,
) -> Callable:  # fmt: skip
    def negatives(probs: Tensor, label: int | None, reliable: bool, low: int = 3, high: int = 20) -> list[int]:
        order = probs.argsort(descending=descending).tolist()
        rank = {c: place + start for place, c in enumerate(order)}
        end = high + inclusive
        if label is not None:
            return sorted(c for c in rank if (own or c != label) and rank[c] < low + inclusive)
        if reliable and not sure:
            return []
        within = {
            "unlikely": lambda c: low <= rank[c] < end,
            "likely": lambda c: rank[c] < low,
            "from low": lambda c: low <= rank[c],
            "below high": lambda c: rank[c] < end,
        }
        return sorted(filter(within[unsure], rank))

    return negatives


def _order_as_rank(probs: Tensor, label: int | None, reliable: bool, low: int = 3, high: int = 20) -> list[int]:
    rank = probs.argsort(descending=True).tolist()
    if label is not None:
        return [c for c in range(len(rank)) if c != label and rank[c] < low]
    return [] if reliable else [c for c in range(len(rank)) if low <= rank[c] < high]


def _variant(way: str) -> Callable:
    def negatives(probs: Tensor, label: int | None, reliable: bool, low: int = 3, high: int = 20) -> list[int]:
        order = probs.argsort(descending=True).tolist()
        if way == "reliable first" and reliable:
            return []
        if label if way == "truth" else label is not None:
            if way == "own first":
                return sorted([c for c in order if c != label][:low])
            return (list if way == "unsorted" else sorted)(c for c in order[:low] if c != label)
        return [] if reliable else (list if way == "unsorted" else sorted)(order[low:high])

    return negatives


def _columns(anchor: Tensor, positive: Tensor, negatives: Tensor, tau: float = 0.5) -> Tensor:
    unit = torch.nn.functional.normalize
    products = torch.cat([unit(positive, dim=0)[None], unit(negatives, dim=0)]) @ unit(anchor, dim=0) / tau
    return -products.log_softmax(0)[0]


def _pairs(anchor: Tensor, positive: Tensor, negatives: Tensor, tau: float = 0.5) -> Tensor:
    return torch.stack([_contrast()(anchor, positive, one[None], tau) for one in negatives]).mean()


def _contrast(
    cosine: bool = True, complete: bool = True, divide: str = "divide", sign: int = -1, mean: bool = False
) -> Callable:
    def contrast(anchor: Tensor, positive: Tensor, negatives: Tensor, tau: float = 0.5) -> Tensor:
        parts = (anchor, positive, negatives)
        if cosine:
            parts = (part / part.norm(dim=-1, keepdim=True) for part in parts)
        anchor, positive, negatives = parts
        scale = {"divide": 1 / tau, "multiply": tau, "none": 1}[divide]
        same, others = ((anchor @ positive) * scale).exp(), ((negatives @ anchor) * scale).exp()
        others = others.mean() if mean else others.sum()
        return sign * (same / (same + others if complete else others)).log()

    return contrast


def _repaired(by: str = "class", divide: str = "all", absent: bool = False) -> Callable:
    def repaired(present: list[int], table: Tensor) -> float:
        classes = range(len(table)) if absent else sorted(present)
        total = sum(float(table[c, {"class": c, "place": place}[by]]) for place, c in enumerate(classes))
        return total / {"all": len(table), "present": max(1, len(present)), "none": 1}[divide]

    return repaired


def _case(seed: int, size: tuple[int, ...], sharpness: float = 2.0) -> Tensor:
    return (sharpness * torch.randn(size, generator=torch.Generator().manual_seed(seed))).softmax(1)


_UNEVEN = torch.cat((_case(0, (1, 4, 6, 8), 6.0), _case(1, (2, 4, 6, 8), 0.7)))  # a sure image and two unsure ones
_ONE = torch.tensor([0.02, 0.40, 0.05, 0.25, 0.01, 0.20, 0.07])
_E, _N = torch.tensor([3.0, 0.0]), torch.tensor([[0.0, 2.0], [-5.0, 0.0]])
_FOUR = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
_CERTAIN = torch.tensor([[0.5, 1.0, 0.8, 0.6, 0.9], [0.5, 0.0, 0.2, 0.4, 0.1]]).view(1, 2, 1, 5)
_TABLE = torch.arange(25.0).view(5, 5).sqrt()

EXERCISES = {
    "06.partition": Exercise(
        "pseudo-labels of the reliable pixels, IGNORE elsewhere",
        _partition(),
        [(_UNEVEN, 0.2), (_UNEVEN, 0.5), (_case(2, (2, 19, 4, 4)), 0.1), (_CERTAIN, 0.25)],
        {
            "the least uncertain pixels are dropped here: keep H below γ": _partition(keep_low=False),
            "γ is the quantile at 1 - α: at α, all but the surest α are dropped": _partition(share=lambda alpha: alpha),
            "a quantile for each image; γ is one number for all of them": _partition(per_image=True),
            "the confidence is not the entropy: sum -p log p over the classes": _partition(of="confidence"),
            "1 - confidence is not the entropy: sum -p log p over the classes": _partition(of="doubt"),
            "0 * log 0 is NaN, and then nothing compares: use torch.special.entr": _partition(of="plain"),
            "a pixel whose entropy is γ itself is unreliable: H < γ": _partition(at_limit=True),
            "the mask alone; where a pixel is kept, its most probable class is wanted": (
                lambda probs, alpha: _partition()(probs, alpha) != _IGNORE
            ),
            "IGNORE is 255": lambda probs, alpha: (lambda y: y.where(y != _IGNORE, -1))(_partition()(probs, alpha)),
        },
    ),
    "06.negatives": Exercise(
        "the classes that a pixel is a negative of",
        _negatives(),
        [
            (_ONE, None, False), (_ONE, 1, True), (_ONE, 0, False), (_ONE, None, True), (_ONE, None, False, 2, 5),
            (_ONE, 3, True, 1, 20),
        ],
        {
            "ranks count from the most probable class: sort in descending order": _negatives(descending=False),
            "the most probable class has rank 0, not 1": _negatives(start=1),
            "a labelled pixel is no negative of its own class": _negatives(own=True),
            "r_l and r_h are no longer inside: rank < r_l, rank < r_h": _negatives(inclusive=True),
            "an unlabelled pixel is a negative of its unlikely classes, from rank r_l on": _negatives(unsure="likely"),
            "r_h is an end, too: rank < r_h": _negatives(unsure="from low"),
            "r_l is forgotten for the unlabelled pixel: its likely classes are no negatives": _negatives(
                unsure="below high"
            ),
            "order[c] is the class at rank c, not the rank of class c": _order_as_rank,
            "label 0 is a label, too: ask whether it is None": _variant("truth"),
            "a pixel with a label is a negative whether it is reliable or not": _variant("reliable first"),
            "take the `low` most probable first, then leave the own class out": _variant("own first"),
            "sorted is wanted": _variant("unsorted"),
            "a reliable pixel without a label is a negative of no class": _negatives(sure=True),
        },
    ),
    "06.contrast": Exercise(
        "the contrastive loss of one anchor",
        _contrast(),
        [(_E, torch.tensor([2.0, 0.0]), _N), (_E, torch.tensor([1.0, 1.0]), _N, 0.1),
         (torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.0, 1.0, 0.5]), _FOUR, 1.0)],
        {
            "⟨·,·⟩ is the cosine: divide each vector by its length": _contrast(cosine=False),
            "the positive belongs into the denominator, too": _contrast(complete=False),
            "divide by τ, do not multiply": _contrast(divide="multiply"),
            "τ is forgotten: divide the cosines by it": _contrast(divide="none"),
            "each negative is a row: divide it by its own length, not a column by its": _columns,
            "one softmax over the positive and all negatives, not the mean over pairs": _pairs,
            "this is the positive's share; minus its logarithm is wanted": (
                lambda *case: (-_contrast()(*case)).exp()
            ),
            "the loss is minus the logarithm": _contrast(sign=1),
            "the negatives' exponentials are summed, not averaged": _contrast(mean=True),
        },
    ),
    "06.repair": Exercise(
        "each class against its own bank, summed as in Eq. 4",
        _repaired(),
        [([0, 2, 3], _TABLE), ([4], _TABLE), ([], _TABLE), ([3, 1, 0], _TABLE), ([0, 1, 2, 3, 4], _TABLE)],
        {
            "this is the bug: the place in the list of present classes is no class": _repaired(by="place"),
            "this is the bug, and divided by the classes present: Eq. 4 divides by C": _repaired("place", "present"),
            "Eq. 4 divides by all C classes, present or not": _repaired(divide="present"),
            "the sum is to be divided by C": _repaired(divide="none"),
            "a class without anchors adds nothing": _repaired(absent=True),
            "with no class present the loss is 0": ZeroDivisionError,
        },
    ),
}  # fmt: skip
