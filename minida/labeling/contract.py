"""What every strategy promises, as a check that a student's own can be put through."""

import copy
import pickle
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from minida.labeling.base import LabelingStrategy
from minida.types import IGNORE


def problems(strategy: LabelingStrategy) -> list[str]:
    """Every promise that a fresh strategy breaks, a line each; empty where it keeps them all.

    The strategy is copied, never changed. Predictions are random, many of them certain, with the last class absent.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return list(_broken(strategy))
        except Exception as error:  # a student's own code may raise anything
            return [f"stops with {type(error).__name__}: {error}"]


def _broken(strategy: LabelingStrategy) -> Iterator[str]:
    classes = strategy.num_classes
    logits = 3 * torch.randn(4, classes, 24, 32, generator=torch.Generator().manual_seed(0))
    logits[:, :, :12] *= 50  # half of all confidences are equal, so that a strategy that draws has to draw
    logits[:, -1] -= 5000 * (classes > 1)
    probs, ids = logits.softmax(1), torch.arange(10, 14)

    def labels(of: Tensor, numbers: Tensor, seen=(probs,)) -> Tensor:
        fresh = copy.deepcopy(strategy)
        for part in seen:
            fresh.observe(part)
        fresh.fit()
        return fresh.label(of, numbers)

    before, whole = probs.clone(), labels(probs, ids)
    if whole.shape != (4, 24, 32) or whole.dtype != torch.int64:
        yield f"label returns {whole.dtype} {tuple(whole.shape)}; expected int64 (B, H, W)"
        return
    if not ((whole == IGNORE) | ((whole >= 0) & (whole < classes))).all():
        yield f"label returns numbers that are neither a class, 0 to {classes - 1}, nor IGNORE ({IGNORE})"
    if (whole == classes - 1).any() and classes > 1:
        yield "a class that nothing was predicted as gets labels"
    parts = probs.split((1, 3))
    if not torch.equal(labels(probs, ids, parts), whole) or not torch.equal(labels(probs, ids, parts[::-1]), whole):
        yield "the thresholds depend on how the images were divided into batches, or on their order"
    if not torch.equal(torch.cat([labels(probs[i : i + 1], ids[i : i + 1]) for i in range(4)]), whole):
        yield "an image's labels depend on the other images of its batch"
    if not torch.equal(labels(probs[:, :, :12], ids), whole[:, :12]):
        yield "a pixel's label depends on the other pixels of its image; thresholds are fitted to the whole set"
    if not torch.equal(labels(probs.flip(0), ids.flip(0)), whole.flip(0)):
        yield "an image's labels depend on its place in the batch, not on its id"
    used = copy.deepcopy(strategy)
    used.observe(probs)
    once = len(pickle.dumps(vars(used)))  # not of the object: a class from a file cannot be pickled
    for _ in range(4):
        used.observe(probs)
    if len(pickle.dumps(vars(used))) > once + 100:
        yield "the statistic grows with what is observed"
    used.observe(probs.flip(2).pow(2) / probs.flip(2).pow(2).sum(1, keepdim=True))
    used.fit()
    used.reset()
    used.observe(probs)
    used.fit()
    if not torch.equal(used.label(probs, ids), whole):
        yield "reset does not forget what was observed"
    if not torch.equal(probs, before):
        yield "the predictions are changed in place"
    try:
        copy.deepcopy(strategy).label(probs, ids)
        yield "label answers before fit; expected a ValueError"
    except ValueError:
        pass
    used.reset()
    used.fit()
    used.label(probs, ids)  # nothing observed is no error
    for odd in (torch.full((1, classes, 3, 5), 1 / classes), torch.eye(classes)[:1, :, None, None]):
        if labels(odd, ids[:1], (odd,)).shape != odd[:, 0].shape:
            yield f"one image of {tuple(odd.shape[2:])} pixels with equal confidences is not labelled"
