"""Notebook 07: the feedback of a step, its baseline, the report's coefficient, and means that a table misprints."""

from collections.abc import Callable

import torch
from torch import Tensor

from minida.teach.checks import Exercise


def _feedback(
    sign: int = 1, rate: bool = True, cosine: bool = False, own: bool = False, mean: bool = False
) -> Callable:
    def feedback(labelled: list[Tensor], pseudo: list[Tensor], eta: float) -> Tensor:
        pairs = list(zip(labelled, labelled if own else pseudo, strict=True))
        product = sum((a * b).mean() if mean else (a * b).sum() for a, b in pairs)
        if cosine:
            product = product / (sum((a * a).sum() for a, _ in pairs) * sum((b * b).sum() for _, b in pairs)).sqrt()
        return sign * (eta if rate else 1) * product

    return feedback


def _last_only(labelled: list[Tensor], pseudo: list[Tensor], eta: float) -> Tensor:
    return eta * (labelled[-1] * pseudo[-1]).sum()


def _centred(first: str = "zero", swapped: bool = False, after: bool = False, mean: bool = False) -> Callable:
    def centred(values: list[float], decay: float) -> list[float]:
        answers, average = [], values[0] if first == "zero" else 0.0
        for number, h in enumerate(values, 1):
            weight = 1 - decay if swapped else decay
            following = (average * (number - 1) + h) / number if mean else weight * average + (1 - weight) * h
            answers.append(h - (following if after else average))
            average = following
        return answers

    return centred


def _coefficient(alpha: Callable = lambda t, growth: t**growth, rate: bool = True, join: str = "product") -> Callable:
    def coefficient(t: float, growth: float, eta: float, target: float, source: float) -> float:
        losses = {"product": target * source, "sum": target + source, "target": target}[join]
        return alpha(t, growth) * (eta if rate else 1) * losses

    return coefficient


def _misprints(positive: bool = False, drop_zeros: bool = False, relative: bool = False, scale: float = 1) -> Callable:
    def misprints(rows: list[list[float]], printed: list[float], tolerance: float) -> list[int]:
        wrong = []
        for number, (row, said) in enumerate(zip(rows, printed, strict=True)):
            kept = [value for value in row if value or not drop_zeros]
            gap = (said - scale * sum(kept) / len(kept)) / (said if relative else 1)
            wrong += [number] if (gap if positive else abs(gap)) > tolerance else []
        return wrong

    return misprints


_A = [torch.tensor([1.0, -2.0]), torch.tensor([[0.5, 0.0], [1.0, 1.0]])]
_B = [torch.tensor([3.0, 1.0]), torch.tensor([[2.0, 1.0], [-1.0, 4.0]])]
_ROWS = [[50.0, 30.0, 0.0], [40.0, 20.0, 10.0], [90.0, 0.0, 0.0], [12.0, 12.0, 12.0]]

EXERCISES = {
    "07.feedback": Exercise(
        "the product of two gradients, times the learning rate",
        _feedback(),
        [(_A, _B, 0.1), (_A, _A, 0.5), (_A, [-part for part in _A], 0.01), (_A[:1], _B[:1], 1.0)],
        {
            "the sign: gradients that agree mean that the step helped, h > 0": _feedback(sign=-1),
            "the learning rate is forgotten": _feedback(rate=False),
            "this is the cosine; h is the product itself, so long steps count more": _feedback(cosine=True),
            "the labelled gradient with itself; the second one is of the pseudo-labels": _feedback(own=True),
            "a sum over all entries, not a mean for each tensor": _feedback(mean=True),
            "only the last tensor is counted; add up all": _last_only,
            "a network's gradient is a list of tensors: multiply pair by pair": TypeError,
        },
    ),
    "07.baseline": Exercise(
        "each feedback less the moving average before it",
        _centred(),
        [([2.0, 4.0, 1.0, 1.0], 0.9), ([1.0, 1.0, 1.0], 0.5), ([0.5, -0.5, 2.0], 0.99), ([3.0], 0.9)],
        {
            "subtract the average as it was before this feedback, then update it": _centred(after=True),
            "the average starts at the first feedback, so the first difference is 0": _centred(first="none"),
            "old and new are swapped: the average keeps `decay` of itself": _centred(swapped=True),
            "this is the mean of all so far; a moving average forgets": _centred(mean=True),
            "these are the feedbacks themselves; subtract the average": lambda values, decay: values,
        },
    ),
    "07.coefficient": Exercise(
        "the report's coefficient α H",
        _coefficient(),
        [(0.0, 1.0, 0.1, 2.0, 3.0), (0.5, 1.0, 0.1, 2.0, 3.0), (0.5, 2.0, 0.01, 1.0, 4.0), (1.0, 3.0, 0.2, 0.5, 0.5)],
        {
            "this α starts at 1 and ends at 0, as in the students' code; it is to grow": _coefficient(
                lambda t, growth: 1 - t**growth
            ),
            "α is missing: it is 0 at the start and 1 at the end": _coefficient(lambda t, growth: 1.0),
            "α is t to the power `growth`": _coefficient(lambda t, growth: t),
            "growth is the exponent, not a factor": _coefficient(lambda t, growth: growth * t),
            "the learning rate is forgotten": _coefficient(rate=False),
            "H is the product of the two losses, not their sum": _coefficient(join="sum"),
            "H takes the loss on the source, too": _coefficient(join="target"),
        },
    ),
    "07.misprints": Exercise(
        "the rows whose printed mean is not the mean of their values",
        _misprints(),
        [
            (_ROWS, [26.67, 23.9, 30.0, 12.0], 0.1),
            (_ROWS, [26.0, 23.33, 30.4, 12.2], 0.5),
            (_ROWS, [26.7, 23.3, 29.0, 11.5], 0.3),
            (_ROWS, [26.67, 23.33, 30.0, 12.0], 0.1),
        ],
        {
            "a printed mean may be too small, too: compare the absolute difference": _misprints(positive=True),
            "a class with IoU 0 is in the mean": _misprints(drop_zeros=True),
            "the tolerance is in points, not a share of the printed value": _misprints(relative=True),
            "both are in %: nothing is to be multiplied by 100": _misprints(scale=100),
        },
    ),
}
