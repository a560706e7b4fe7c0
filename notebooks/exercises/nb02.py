"""Notebook 02: the two losses of the game, the discriminators' parameters, statistics of two halves."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from minida.teach.checks import Exercise


def _adversarial(sign: float = 1.0, reduce: Callable = torch.mean, log: Callable = F.softplus) -> Callable:
    """-log of the probability of "source", 1 - sigmoid(z), is softplus(z)."""
    return lambda logits: reduce(log(sign * logits))


def _naive(z: Tensor) -> Tensor:
    return -(1 - torch.sigmoid(z)).log()


def _discriminator(signs: tuple[float, float] = (1, -1), weights: tuple[float, float] = (0.5, 0.5)) -> Callable:
    def discriminator_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
        terms = (F.softplus(s * z).mean() for s, z in zip(signs, (source_logits, target_logits), strict=True))
        return sum(w * term for w, term in zip(weights, terms, strict=True))

    return discriminator_loss


def _pooled(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    return torch.cat((F.softplus(source_logits).flatten(), F.softplus(-target_logits).flatten())).mean()


def _parameters(
    bias: tuple[bool, bool] = (True, False), pointwise: bool = True, per_channel: bool = True, last: int = 1
) -> Callable:
    def count_parameters(kind: str, num_classes: int, width: int) -> int:
        widths = (num_classes, width, 2 * width, 4 * width, 8 * width, last or 16 * width)
        total = 0
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            if kind == "fcd":
                total += 16 * inputs * outputs + bias[0] * outputs
            else:
                depthwise = 16 * inputs if per_channel else 16 * inputs * inputs
                total += depthwise + pointwise * inputs * outputs + bias[1] * (inputs + outputs)
        return total

    return count_parameters


def _joint(between: float = 1.0, deviation: bool = False) -> Callable:
    def joint_statistics(mean_s: Tensor, var_s: Tensor, mean_t: Tensor, var_t: Tensor) -> tuple[Tensor, Tensor]:
        variance = (var_s + var_t) / 2 + between * ((mean_s - mean_t) / 2) ** 2
        return torch.stack(((mean_s + mean_t) / 2, variance.sqrt() if deviation else variance))

    return joint_statistics


_Z = 3 * torch.randn(2, 1, 3, 6, generator=torch.Generator().manual_seed(0))
_Y = 2 * torch.randn(4, 1, 2, 4, generator=torch.Generator().manual_seed(1)) + 1
_S, _T = (torch.tensor(values) for values in ([0.0, 1.0, 3.0], [2.0, 1.0, -1.0]))
_V, _W = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([3.0, 0.5, 1.0])

EXERCISES = {
    "02.adversarial": Exercise(
        "the adversarial loss from a discriminator's logits",
        _adversarial(),
        [(_Z,), (torch.zeros(1, 1, 2, 2),), (torch.tensor([[[[200.0, -200.0]]]]),)],
        {
            "this rewards being recognised as target; the network wants to be taken for source": _adversarial(-1.0),
            "a mean over the map's cells, not a sum: λ = 0.001 belongs to means": _adversarial(reduce=torch.sum),
            "the logits need a sigmoid first; they are no probabilities": lambda z: -(1 - z).log().mean(),
            "right for small logits, but at 200 the sigmoid is exactly 1 and its log infinite; use softplus "
            "or binary_cross_entropy_with_logits": _adversarial(log=_naive),
            "the sign: a loss falls when the discriminator says source": lambda z: -F.softplus(z).mean(),
            "a probability is no loss: take minus its logarithm": lambda z: torch.sigmoid(z).mean(),
        },
    ),
    "02.discriminator": Exercise(
        "the discriminator's loss from its logits on both domains",
        _discriminator(),
        [(_Z, _Y), (_Y, _Z), (torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))],
        {
            "source is 0 and target 1; these are swapped": _discriminator(signs=(-1, 1)),
            "each domain counts one half": _discriminator(weights=(1, 1)),
            "both domains have the same label here; then there is nothing to learn": _discriminator(signs=(1, 1)),
            "both domains are called target here; then there is nothing to learn": _discriminator(signs=(-1, -1)),
            "one mean a domain, then their mean: maps of different sizes must count alike": _pooled,
            "the source's term is missing": _discriminator(weights=(0, 1)),
            "the target's term is missing": _discriminator(weights=(1, 0)),
            "the source's term alone, halved: the target's is missing": _discriminator(weights=(0.5, 0)),
        },
    ),
    "02.parameters": Exercise(
        "the number of parameters of either discriminator",
        _parameters(),
        [("fcd", 19, 64), ("dsc", 19, 64), ("fcd", 11, 16), ("dsc", 3, 8)],
        {
            "FCD's convolutions have a bias: one number for each channel that comes out": _parameters((False, False)),
            "DSC's convolutions have no bias": _parameters((True, True)),
            "the 1x1 convolutions of DSC are missing": _parameters(pointwise=False),
            "a depthwise kernel sees one channel: 16 weights for each channel that comes in": _parameters(
                per_channel=False
            ),
            "the last layer gives one channel, the logit": _parameters(last=0),
        },
    ),
    "02.statistics": Exercise(
        "mean and variance of two equally large halves together",
        _joint(),
        [(_S, _V, _T, _W), (_T, _W, _S, _V), (_S, _V, _S, _V)],
        {
            "the distance between the two means adds to the variance": _joint(between=0.0),
            "half the distance, squared: ((a - b) / 2) ** 2": _joint(between=4.0),
            "half the distance, squared, has a quarter of the square in it": _joint(between=2.0),
            "a variance is wanted, not its square root": _joint(deviation=True),
        },
    ),
}
