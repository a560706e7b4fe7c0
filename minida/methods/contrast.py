"""U2PL's contrastive term: even where a network is unsure what a pixel is, it knows what the pixel is not.

Source: Wang et al., CVPR 2022 (the note): Eq. 4, 11, 12, 16 and Algorithm 1. Departures, here and in the released
code's configuration: M anchors and N negatives a class are 256 and 50 (the paper's text swaps them); positives and
keys are detached; of one batch at most M negatives a class enter the bank, drawn evenly, so that every tensor has a
fixed shape and no step waits for the device. Unlike the released code, a class without anchors or negatives adds
nothing (there its anchors met another class's bank), and labelled pixels do become negatives.

"Pixels" are those of the features, at 1/8 of the image. All tensors are on one device.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minida import distributed
from minida.labeling.base import uniform
from minida.types import IGNORE

SURE, LOW, HIGH, TEMPERATURE = 0.3, 3, 20, 0.5  # δ_p, r_l, r_h and τ


def among_top(probs: Tensor, count: int) -> Tensor:
    """(B, C, h, w) -> bool, as large: whether a class is among the pixel's `count` most probable, O(c) < count."""
    if count >= probs.shape[1]:
        return torch.ones_like(probs, dtype=torch.bool)
    best = probs.topk(count, dim=1, sorted=False).indices
    return torch.zeros_like(probs, dtype=torch.bool).scatter_(1, best, True)


def of_class(labels: Tensor, classes: int) -> Tensor:
    """(B, h, w) labels -> (B, C, h, w) bool; a pixel that is IGNORE is of no class."""
    return labels[:, None] == torch.arange(classes, device=labels.device)[:, None, None]


def anchors_of(probs: Tensor, labels: Tensor, sure: float = SURE) -> Tensor:
    """Eq. 11: pixels labelled (or reliably pseudo-labelled) c of which the teacher thinks so, p(c) > δ_p.

    Teacher's probs (B, C, h, w), labels (B, h, w) with IGNORE -> (B, C, h, w) bool.
    """
    return of_class(labels, probs.shape[1]) & (probs > sure)


def labelled_negatives(probs: Tensor, labels: Tensor, low: int = LOW) -> Tensor:
    """Labelled pixels that are not c, though the teacher finds c likely: y ≠ c and O(c) < r_l. Shapes: `anchors_of`."""
    return (labels != IGNORE)[:, None] & ~of_class(labels, probs.shape[1]) & among_top(probs, low)


def unlabelled_negatives(probs: Tensor, unreliable: Tensor, low: int = LOW, high: int = HIGH) -> Tensor:
    """Unreliable pixels (B, h, w) bool for which c is out of the question: r_l ≤ O(c) < r_h -> (B, C, h, w) bool."""
    return unreliable[:, None] & among_top(probs, high) & ~among_top(probs, low)


def contrastive_loss(
    anchors: Tensor, positives: Tensor, negatives: Tensor, weights: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Eq. 4: -1/C Σ_c Σ_i w_ci log (e^{<z_ci, z_c+>/τ} / (e^{<z_ci, z_c+>/τ} + Σ_j e^{<z_ci, z_cj->/τ})).

    Args:
        anchors: (C, M, E). positives: (C, E), the z+ of each class. negatives: (C, N, E).
        weights: (C, M), what each anchor weighs: 1/M in the paper; where a class has only m anchors, they weigh 1/m
            and the other places 0.

    <·,·> is the cosine. 0 where no anchor has a weight, never NaN.
    """
    anchors, positives, negatives = (F.normalize(part, dim=-1) for part in (anchors, positives, negatives))
    same = anchors @ positives[:, :, None]  # (C, M, 1)
    other = anchors @ negatives.transpose(1, 2)  # (C, M, N)
    likely = (torch.cat((same, other), 2) / temperature).log_softmax(2)[..., 0]  # (C, M)
    return (-likely * weights).sum() / len(anchors)


def first_of_each(mask: Tensor, order: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` pixels of each class in an order that all classes share.

    mask (C, P) bool, order (P,) a permutation -> pixels (C, count), and how many of them are meant, (C,).
    """
    seen = mask[:, order].cumsum(1)  # (C, P): how many of the class up to here
    wanted = torch.arange(1, count + 1, device=mask.device).expand(len(mask), count).contiguous()
    place = torch.searchsorted(seen, wanted).clamp(max=len(order) - 1)
    return order[place], seen[:, -1].clamp(max=count)


class MemoryBank:
    """A queue of keys for each class, all in one ring buffer: when it is full, the oldest go.

    Args:
        length: keys a class can hold. 30,000 of 256 numbers for 19 classes take 292 MB (float16).
    """

    def __init__(self, classes: int, width: int, length: int, device: torch.device | str = "cpu") -> None:
        self.classes, self.length = classes, length
        self.keys = torch.zeros(classes * length + 1, width, dtype=torch.float16, device=device)  # the last is waste
        self.written = torch.zeros(classes, dtype=torch.long, device=device)  # of each class, ever

    def push(self, keys: Tensor, counts: Tensor) -> None:
        """Append the first counts[c] of the keys (C, K, E), K ≤ length, to each class's queue."""
        number = torch.arange(keys.shape[1], device=counts.device)
        place = (self.written[:, None] + number) % self.length + self._start
        place = place.where(number < counts[:, None], len(self.keys) - 1)
        self.keys[place] = keys.detach().to(self.keys.dtype)
        self.written += counts

    def held(self) -> Tensor:
        """(C,) how many keys each class has."""
        return self.written.clamp(max=self.length)

    def draw(self, chance: Tensor) -> Tensor:
        """(C, N) numbers in [0, 1) -> (C, N, E) keys, drawn with replacement; zeros of a class that has none."""
        place = (chance * self.held()[:, None]).long().clamp(max=self.length - 1)
        return self.keys[place + self._start].float()

    @property
    def _start(self) -> Tensor:
        return torch.arange(self.classes, device=self.keys.device)[:, None] * self.length

    def state_dict(self) -> dict[str, Any]:
        return {"keys": self.keys, "written": self.written}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, own in self.state_dict().items():
            kept = state[name]
            if (kept.shape, kept.dtype) != (own.shape, own.dtype) or not kept.isfinite().all():
                raise ValueError(f"{name} of the memory bank are another's, or no numbers")
        if (state["written"] < 0).any():
            raise ValueError("fewer than no keys of the memory bank")
        self.keys.copy_(state["keys"])
        self.written.copy_(state["written"])


class View(NamedTuple):
    """A batch as the contrastive term sees it, labelled images first."""

    embedding: Tensor  # (B, E, h, w) of the student, with its gradient
    keys: Tensor  # (B, E, h, w) of the teacher
    probs: Tensor  # (B, C, h, w) of the teacher
    labels: Tensor  # (B, h, w): true ones, or pseudo-labels of the reliable pixels; IGNORE elsewhere
    labelled: int  # images that have true labels; in the others IGNORE means unreliable
    ids: Tensor  # (B,) a number for each image, in each step another: chance depends on it


class Contrast:
    """Algorithm 1 without its loops: one shuffle of the pixels, of which every class takes its first.

    Chance depends on the seed, the images' numbers and the pixels alone, so several processes choose what one would.

    Args:
        bank: where the negatives' keys are kept.
        anchors, negatives: M and N of each class in a step.
    """

    def __init__(self, bank: MemoryBank, anchors: int = 256, negatives: int = 50, seed: int = 0) -> None:
        self.bank, self.anchors, self.negatives, self.seed = bank, anchors, negatives, seed

    def __call__(self, view: View, number: int) -> Tensor:
        """L_c of step `number`. The batch's negatives enter the bank first, as in Algorithm 1 (collective)."""
        with torch.autocast(view.labels.device.type, enabled=False):
            return self._loss(view, number)

    def _loss(self, view: View, number: int) -> Tensor:
        chance = uniform(self.seed, view.ids, view.labels).flatten()  # (P,)
        order = chance.argsort(stable=True)
        self._push(view, chance, order)
        generator = torch.Generator(chance.device).manual_seed(self.seed * 1_000_003 + number)
        drawn = torch.rand(self.bank.classes, self.negatives, generator=generator, device=chance.device)
        mask = _rows(anchors_of(view.probs, view.labels))  # (C, P)
        embedding = view.embedding.movedim(1, -1).flatten(0, 2).float()  # (P, E)
        centres = distributed.total(mask.float() @ embedding.detach())  # |A_c| z_c+ (Eq. 12): its length plays no part
        pixels, counts = first_of_each(mask, order, self.anchors)
        own, total = self._shared(_chances(chance, pixels, counts))
        meant = own * (self.bank.held() > 0)[:, None]  # (C, M)
        weights = meant * distributed.world_size() / total.clamp(min=1)[:, None]  # gradients are averaged
        return contrastive_loss(embedding[pixels], centres, self.bank.draw(drawn), weights)

    def _shared(self, chances: Tensor) -> tuple[Tensor, Tensor]:
        """Which of this process's (C, M) anchors are among the first M of all processes; how many all have, (C,)."""
        everyone = distributed.stack(chances).movedim(0, 1).flatten(1).sort(1).values  # (C, N * M)
        own = chances <= everyone[:, self.anchors - 1 : self.anchors].clamp(max=1)
        return own, (everyone <= 1).sum(1).clamp(max=self.anchors)

    def _push(self, view: View, chance: Tensor, order: Tensor) -> None:
        n, labels = view.labelled, view.labels
        mask = torch.cat((
            labelled_negatives(view.probs[:n], labels[:n]), unlabelled_negatives(view.probs[n:], labels[n:] == IGNORE)
        ))  # fmt: skip
        pixels, counts = first_of_each(_rows(mask), order, min(self.anchors, self.bank.length))
        keys = F.normalize(view.keys.movedim(1, -1).flatten(0, 2).float(), dim=1)[pixels]  # (C, K, E)
        if distributed.active():  # the first K of all processes
            first = distributed.stack(_chances(chance, pixels, counts)).movedim(0, 1).flatten(1).argsort(1)
            everyone = distributed.stack(keys).movedim(0, 1).flatten(1, 2)  # (C, N * K, E)
            keys = everyone.take_along_dim(first[:, : keys.shape[1], None], 1)
            counts = distributed.total(counts).clamp(max=keys.shape[1])
        self.bank.push(keys, counts)


def _rows(mask: Tensor) -> Tensor:
    """(B, C, h, w) -> (C, P)."""
    return mask.movedim(1, 0).flatten(1)


def _chances(chance: Tensor, pixels: Tensor, counts: Tensor) -> Tensor:
    """The chance, below 1, of each of (C, K) pixels; 2 behind the first counts[c], which are not meant."""
    meant = torch.arange(pixels.shape[1], device=pixels.device) < counts[:, None]
    return chance[pixels].where(meant, 2.0)
