"""Notebook 01: sizes in BiSeNet, attention refinement, poly schedule, cross-entropy with ignored pixels."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minida.teach.checks import Exercise
from minida.types import IGNORE


def _sizes(strides: tuple[int, int, int] = (8, 16, 32), up: bool = True) -> Callable:
    def path_sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
        return tuple(tuple((side + up * (s - 1)) // s for side in (height, width)) for s in strides)

    return path_sizes


def _refine(gate=torch.sigmoid, join=torch.mul, use_norm=True, pool=lambda x: x.mean((2, 3), True)) -> Callable:
    def refine(features: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        weights = conv(pool(features))  # (B, C, 1, 1)
        return join(features, gate(norm(weights) if use_norm else weights))

    return refine


def _module_case(channels: int, height: int) -> tuple[Tensor, nn.Module, nn.Module]:
    generator = torch.Generator().manual_seed(channels)
    conv, norm = nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)
    for tensor in (conv.weight, conv.bias, norm.running_mean, norm.bias):
        tensor.data.normal_(generator=generator)
    norm.running_var.fill_(0.25)
    features = torch.randn(2, channels, height, 5, generator=generator)
    return features, conv.requires_grad_(False), norm.requires_grad_(False).eval()


def _poly(base: float, iteration: int, total: int, power: float = 0.9) -> float:
    return base * (1 - iteration / total) ** power


def _pixel_loss(logits: Tensor, labels: Tensor, dim: int = 1) -> Tensor:
    """(B, H, W) loss of each pixel, 0 where ignored."""
    valid = labels != IGNORE
    return -logits.log_softmax(dim).gather(1, labels.where(valid, 0)[:, None])[:, 0] * valid


def _loss(logits: Tensor, labels: Tensor, dim: int = 1) -> Tensor:
    return _pixel_loss(logits, labels, dim).sum() / (labels != IGNORE).sum().clamp(min=1)


_LOGITS = 2 * torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
_LABELS = torch.randint(0, 5, (2, 3, 4), generator=torch.Generator().manual_seed(1))
_LABELS[0, :2] = IGNORE

EXERCISES = {
    "01.sizes": Exercise(
        "height and width of the spatial path's map and of the context path's two",
        _sizes(),
        [(64, 128), (96, 192), (360, 480)],
        {
            "a 3x3 convolution with stride 2 and padding 1 rounds up: 45 rows become 23": _sizes(up=False),
            "the spatial path has three convolutions of stride 2: 1/8": _sizes((4, 16, 32)),
            "the context path goes deeper: its maps stand at 1/16 and 1/32": _sizes((8, 8, 16)),
            "the order is spatial path at 1/8, then 1/16, then 1/32": _sizes((32, 16, 8)),
            "a size is (height, width), in this order": lambda height, width: _sizes()(width, height),
        },
    ),
    "01.attention": Exercise(
        "attention refinement of a feature map",
        _refine(),
        [_module_case(4, 3), _module_case(6, 4)],
        {
            "the sigmoid is missing, so nothing bounds the weights": _refine(gate=lambda x: x),
            "the weights multiply the features; they are not added": _refine(join=torch.add),
            "these are the weights; multiply the features by them": _refine(join=lambda x, weights: weights),
            "the batch norm between convolution and sigmoid is missing": _refine(use_norm=False),
            "a softmax makes channels compete; each has its own sigmoid": _refine(gate=lambda x: x.softmax(1)),
            "pool by the average, not by the maximum": _refine(pool=lambda x: x.amax((2, 3), True)),
            "without pooling each pixel gets weights of its own; pool first": _refine(pool=lambda x: x),
        },
    ),
    "01.poly": Exercise(
        "poly learning rate at an iteration",
        _poly,
        [(0.025, 0, 100), (0.025, 30, 100), (0.1, 90, 120, 2.0), (0.1, 120, 120)],
        {
            "the rate must fall: the bracket is 1 - iteration / total": lambda b, i, n, p=0.9: b * (i / n) ** p,
            "the power is missing: that is a straight line": lambda b, i, n, p=0.9: b * (1 - i / n),
            "the power belongs to the whole bracket": lambda b, i, n, p=0.9: b * (1 - (i / n) ** p),
            "the bracket is raised to the power, not multiplied by it": lambda b, i, n, p=0.9: b * (1 - i / n) * p,
            "the base rate stands outside the power": lambda b, i, n, p=0.9: (b * (1 - i / n)) ** p,
        },
    ),
    "01.loss": Exercise(
        "cross-entropy over the pixels that are not ignored",
        _loss,
        [(_LOGITS, _LABELS), (_LOGITS[:1], _LABELS[1:]), (_LOGITS, torch.full_like(_LABELS, IGNORE))],
        {
            "you divide by all pixels; the ignored ones are in your count": lambda x, y: _pixel_loss(x, y).mean(),
            "that is the sum; divide by the number of pixels that count": lambda x, y: _pixel_loss(x, y).sum(),
            "the minus sign is missing": lambda x, y: -_loss(x, y),
            "the softmax is applied twice; log_softmax takes logits": lambda x, y: _loss(x.softmax(1), y),
            "the softmax runs along a wrong dimension; classes are dimension 1": lambda x, y: _loss(x, y, 3),
            "with every pixel ignored the loss is 0, not nan": lambda x, y: F.cross_entropy(x, y, ignore_index=IGNORE),
            "ignored pixels count as class 0": lambda x, y: F.cross_entropy(x, y.where(y != IGNORE, 0)),
            "IGNORE, 255, is no class index; replace it before gather": RuntimeError,
        },
    ),
}
