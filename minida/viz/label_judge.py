"""What strategies make of one network's predictions of labelled images, quickly enough for a widget."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from minida.data import SegmentationDataset, normalise
from minida.labeling import make_strategy
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet

OPTIONS = {"st": "ratio", "mpt": "cap", "cbst": "ratio", "da": "ratio", "dars": "ratio", "entropy": "alpha0"}
_PIXELS = 20 * 96 * 192


class LabelJudge:
    """Predicts the first `count` images of `dataset` once. A `choice` is a strategy, its option's value and T.

    Raises: ValueError for a data set without labels or with other classes, a prior of another length, a wrong count.
    """

    def __init__(
        self, model: BiSeNet, dataset: SegmentationDataset, prior: Sequence[float], count: int | None = None
    ) -> None:
        self.prior, self.rows = np.asarray(prior, float), len(dataset.table.names) + 1  # IGNORE has the last row
        few = max(1, _PIXELS // (dataset.size[0] * dataset.size[1]))
        self.count = min(len(dataset), few) if count is None else count
        self._check(model, dataset)
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

    def _see(self, name: str, temperature: float) -> tuple[Tensor, Tensor]:
        """Score and class of every pixel, (N, 2, H, W), and the statistic of all."""
        strategy = make_strategy(name, num_classes=self.rows - 1, temperature=temperature)
        kept = torch.cat([torch.stack(strategy.scored(part), 1) for part in self.probs.split(1)])
        strategy.scored = _remembered
        strategy.observe(kept)
        return kept, strategy.counts

    def _judge(self, name: str, value: float, temperature: float) -> tuple[Tensor, np.ndarray]:
        strategy = make_strategy(
            name, num_classes=self.rows - 1, class_frequency=self.prior, **{OPTIONS[name]: value}
        )  # fmt: skip
        # all but one read confidences, and differ in their rule alone: what they read is computed once
        kept, strategy.counts = self._seen("entropy" if name == "entropy" else "cbst", temperature)
        strategy.scored = _remembered
        strategy.fit()
        labels = strategy.label(kept, self.ids)
        last, image = self.rows - 1, torch.arange(self.count)[:, None, None]
        pairs = (image * self.rows + labels.clamp(max=last)) * self.rows + self.truth.clamp(max=last)
        counts = torch.bincount(pairs.flatten(), minlength=self.count * self.rows**2)
        return labels.byte(), counts.view(self.count, self.rows, self.rows).numpy()

    def predictions(self, n: int) -> Tensor:
        """(H, W) most probable classes of image `n`; no temperature changes them."""
        return self._seen("cbst", 1.0)[0][n, 1].byte()

    def labels(self, choice: tuple[str, float, float], n: int) -> Tensor:
        """(H, W) uint8 pseudo-labels of image `n`."""
        return self._judged(*choice)[0][n]

    def quality(self, choice: tuple[str, float, float], n: int | None = None) -> PseudoLabelQuality:
        """What a strategy's labels are worth, in image `n` or in all: PseudoLabelQuality, counted in one pass."""
        quality, counts = PseudoLabelQuality(self.rows - 1), self._judged(*choice)[1]
        quality.counts = counts.sum(0) if n is None else counts[n]
        return quality


def _remembered(kept: Tensor) -> tuple[Tensor, Tensor]:
    """What `scored` said: (B, 2, H, W) -> scores and classes, (B, H, W) each."""
    return kept[:, 0], kept[:, 1].int()
