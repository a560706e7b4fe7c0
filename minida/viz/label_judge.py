"""What strategies make of one network's predictions of labelled images, quickly enough for a widget."""

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from minida.data import SegmentationDataset, normalise
from minida.labeling import EntropyPartition, LabelingStrategy, make_strategy
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet

OPTIONS = {"st": "ratio", "mpt": "cap", "cbst": "ratio", "da": "ratio", "dars": "ratio", "entropy": "alpha0"}
_FAMILIES = {"cbst": LabelingStrategy, "entropy": EntropyPartition}  # what reads confidences, and what entropies
_READING = ("scored", "observe", "label", "read", "doubt", "believes")  # what a rule of its own leaves alone
_PIXELS = 20 * 96 * 192


class Pixel(NamedTuple):
    """A strategy's view of one pixel. `label` and `true` may be IGNORE."""

    predicted: int
    score: float  # the confidence, or the entropy in nats
    threshold: float  # of the predicted class
    passes: bool  # whether the score passes it
    keep: float  # the share of such pixels that is kept
    label: int
    true: int


class _Judged(NamedTuple):
    strategy: LabelingStrategy
    read: Tensor  # what its `scored` takes
    labels: Tensor  # (N, H, W) uint8
    counts: np.ndarray  # (N, C + 1, C + 1): label, truth


class LabelJudge:
    """Predicts the first `count` images of `dataset` once. A `choice` is a strategy, its option's value and T.

    `strategies` are others, by name: subclasses of LabelingStrategy. The first of ratio, cap and alpha0 that the
    constructor names is its option. Raises: ValueError for a data set without labels or with other classes, a prior
    of another length, a wrong count.
    """

    def __init__(
        self, model: BiSeNet, dataset: SegmentationDataset, prior: Sequence[float], count: int | None = None,
        strategies: Mapping[str, type[LabelingStrategy]] | None = None,
    ) -> None:  # fmt: skip
        self.prior, self.rows = np.asarray(prior, float), len(dataset.table.names) + 1  # IGNORE has the last row
        few = max(1, _PIXELS // (dataset.size[0] * dataset.size[1]))
        self.count = min(len(dataset), few) if count is None else count
        self._check(model, dataset)
        self.kinds = {name: name for name in OPTIONS} | dict(strategies or {})
        self.options = OPTIONS | {name: _option(kind) for name, kind in (strategies or {}).items()}
        device, items, probs = next(model.parameters()).device, [], []
        for n in tqdm(range(self.count), "predict", unit="image", leave=False):
            items.append(dataset[n])
            probs.append(model.probs(normalise(items[n][0][None].to(device))).cpu())
        self.images, truth = zip(*items, strict=True)
        self.truth, self.probs = torch.stack(truth), torch.cat(probs)  # (N, H, W), (N, C, H, W)
        self.ids = torch.tensor([dataset.image_id(n) for n in range(self.count)])
        self._seen, self._judged = lru_cache(8)(self._see), lru_cache(64)(self._judge)

    def _check(self, model: BiSeNet, dataset: SegmentationDataset) -> None:
        classes = len(dataset.table.names)
        if not dataset.has_labels:
            raise ValueError(f"{dataset.spec} has no labels to judge pseudo-labels by; open a labelled data set")
        if model.num_classes != classes:
            raise ValueError(f"the model has {model.num_classes} classes but {dataset.spec} {classes}")
        if self.prior.shape != (classes,):
            wanted = f"({classes},) numbers: class_frequency() of the labelled data"
            raise ValueError(f"prior has the shape {self.prior.shape}; expected {wanted}")
        if not 1 <= self.count <= len(dataset):
            raise ValueError(f"count is {self.count}; expected 1 to {len(dataset)}, the images of {dataset.spec}")

    def _make(self, name: str, value: float, temperature: float) -> LabelingStrategy:
        given = {self.options[name]: value} if self.options[name] else {}
        return make_strategy(
            self.kinds[name], num_classes=self.rows - 1, class_frequency=self.prior, temperature=temperature, **given
        )

    def _see(self, name: str, temperature: float) -> tuple[Tensor, Tensor]:
        """Score and class of every pixel, (N, 2, H, W), and the statistic of all."""
        strategy = self._make(name, 0.5, temperature)
        kept = torch.cat([torch.stack(strategy.scored(part), 1) for part in self.probs.split(1)])
        strategy.scored = _remembered
        strategy.observe(kept)
        return kept, strategy.counts

    def _judge(self, name: str, value: float, temperature: float) -> _Judged:
        strategy, read = self._make(name, value, temperature), self.probs
        family = _family(strategy)
        if family:  # these differ in their rule alone: what they read is computed once
            read, strategy.counts = self._seen(family, temperature)
            strategy.scored = _remembered
        else:
            strategy.observe(read)
        strategy.fit()
        labels = strategy.label(read, self.ids)
        last, image = self.rows - 1, torch.arange(self.count)[:, None, None]
        pairs = (image * self.rows + labels.clamp(max=last)) * self.rows + self.truth.clamp(max=last)
        counts = torch.bincount(pairs.flatten(), minlength=self.count * self.rows**2)
        return _Judged(strategy, read, labels.byte(), counts.view(self.count, self.rows, self.rows).numpy())

    def predictions(self, n: int) -> Tensor:
        """(H, W) most probable classes of image `n`; no temperature changes them."""
        return self._seen("cbst", 1.0)[0][n, 1].byte()

    def labels(self, choice: tuple[str, float, float], n: int) -> Tensor:
        """(H, W) uint8 pseudo-labels of image `n`."""
        return self._judged(*choice).labels[n]

    def sureness(self, choice: tuple[str, float, float], n: int) -> np.ndarray:
        """(H, W) in [0, 1]: what the strategy reads of image `n`; 1 is sure. A confidence, or 1 - H / ln C."""
        strategy, read, *_ = self._judged(*choice)
        return 1 - strategy.doubt(strategy.scored(read[n, None])[0])[0].numpy()

    def reads_entropy(self, choice: tuple[str, float, float]) -> bool:
        """Whether its score is an entropy: low is sure."""
        return isinstance(self._judged(*choice).strategy, EntropyPartition)

    def pixel(self, choice: tuple[str, float, float], n: int, row: int, column: int) -> Pixel:
        """What the strategy makes of one pixel of image `n`."""
        strategy, read, labels, _ = self._judged(*choice)
        score, predicted = strategy.scored(read[n, None, :, row, None, column, None])
        limit, keep = (part[predicted.flatten().int()] for part in strategy.thresholds)
        passes = strategy.believes(score.flatten(), limit)
        values = (part.item() for part in (predicted.int(), score, limit, passes, keep))
        return Pixel(*values, labels[n, row, column].item(), self.truth[n, row, column].item())

    def quality(self, choice: tuple[str, float, float], n: int | None = None) -> PseudoLabelQuality:
        """What a strategy's labels are worth, in image `n` or in all: PseudoLabelQuality, counted in one pass."""
        quality, counts = PseudoLabelQuality(self.rows - 1), self._judged(*choice).counts
        quality.counts = counts.sum(0) if n is None else counts[n]
        return quality


def _option(kind: type[LabelingStrategy]) -> str:
    asked = inspect.signature(kind).parameters
    return next((name for name in ("ratio", "cap", "alpha0") if name in asked), "")


def _family(strategy: LabelingStrategy) -> str:
    """The key in _FAMILIES of a strategy that differs from it in its rule alone; "" if it reads otherwise."""
    kind = type(strategy)
    for name, base in _FAMILIES.items():
        if all(getattr(kind, part) is getattr(base, part) for part in _READING):
            return name
    return ""


def _remembered(kept: Tensor) -> tuple[Tensor, Tensor]:
    """What `scored` said: (B, 2, H, W) -> scores and classes, (B, H, W) each."""
    return kept[:, 0], kept[:, 1].int()
