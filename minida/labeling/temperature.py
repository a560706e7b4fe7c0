"""Temperature scaling: one number that makes confidences honest (Guo et al., ICML 2017)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from minida.losses import cross_entropy
from minida.types import IGNORE


def fit_temperature(pairs: Iterable[tuple[Tensor, Tensor]], low: float = 0.25, high: float = 8.0) -> float:
    """The T in [low, high] whose softmax(logits / T) has the least cross-entropy on labelled data.

    Args:
        pairs: (probs (B, C, H, W) at T = 1, labels (B, H, W)) of images the network was not trained on. Of each
            pair at most 4,000 labelled pixels are used, evenly spaced, and kept.

    Raises: ValueError where no pixel is labelled.
    """
    logs, truth = [], []
    for probs, labels in pairs:
        valid = (labels != IGNORE).flatten().nonzero()[:, 0]
        valid = valid[:: -(-len(valid) // 4000) or 1]
        logs.append(probs.movedim(1, -1).flatten(0, -2)[valid].float().clamp(min=1e-30).log())  # (n, C)
        truth.append(labels.flatten()[valid].to(probs.device))
    if not sum(map(len, truth)):
        raise ValueError("no labelled pixel to fit a temperature on; give (probs, labels) with labels")
    logits, target = torch.cat(logs).T[None, :, :, None], torch.cat(truth)[None, :, None]  # (1, C, N, 1), (1, N, 1)

    def loss(inverse: float) -> float:  # convex in 1 / T
        with torch.no_grad():
            return float(cross_entropy(logits * inverse, target))

    left, right = 1 / high, 1 / low
    while right - left > 1e-3 * left:  # a third of the interval goes each time
        a, b = left + (right - left) / 3, right - (right - left) / 3
        left, right = (left, b) if loss(a) < loss(b) else (a, right)
    return 2 / (left + right)
