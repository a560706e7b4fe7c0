"""U2PL: what a teacher is sure of is a pseudo-label; what it is unsure of still says which classes a pixel is not.

Source: Wang et al., CVPR 2022 (the note). L = L_s + λ_u L_u + λ_c L_c.

Departures: γ_t is taken over the last batches, not over one (see minida.labeling.window), at one pixel in 81. The
teacher sees the target's images as they are, in evaluation mode, and what it says of them is cut and pasted by CutMix
together with the images (the released code asks it again about the mixed ones, in training mode). Both segmentation
losses are summed over BiSeNet's three heads. The base weight η is 1. The student is what is evaluated and kept; the
teacher is kept beside it. Minor: see minida.methods.contrast.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from minida import distributed
from minida.config import Config
from minida.data.cutmix import CELL, Box, boxes, paste
from minida.labeling import EntropyPartition
from minida.labeling.window import Window
from minida.losses import segmentation_loss
from minida.methods.base import Method, make_optimizer
from minida.methods.contrast import Contrast, MemoryBank, View
from minida.models import EMA, BiSeNet
from minida.types import IGNORE, Batch, SegmentationOutput


class U2PL(Method):
    """A student learns from labels, from its teacher's reliable pixels and, by contrast, from the unreliable ones."""

    uses_target = True
    options = ("alpha", "lambda_c", "embedding", "bank", "cutmix", "batch_norm")

    def __init__(self, config: Config, model: BiSeNet) -> None:
        super().__init__(config, model)
        classes = model.num_classes
        self.ema, self.window = EMA(model), Window(EntropyPartition(classes, config.alpha))
        self.networks["teacher"] = self.ema.model
        self.optimizers["model"] = make_optimizer(config, model)
        self.memory = {"ema": self.ema, "window": self.window}
        if config.lambda_c:
            self.memory["bank"] = bank = MemoryBank(classes, config.embedding, config.bank, self.device)
            self.contrast = Contrast(bank, seed=config.seed)
        self.passed = 0.0  # of the training, 0 to 1

    @classmethod
    def defaults(cls, protocol: str) -> dict[str, Any]:
        """One data set (ssl) has one batch norm for both of its parts."""
        return {"batch_norm": "joint"} if protocol == "ssl" else {}

    @staticmethod
    def embedding(config: Config) -> int | None:
        return config.embedding if config.lambda_c else None

    def schedule(self, step: float) -> None:
        super().schedule(step)
        self.passed = step / self.config.steps

    def step(self, batch: Batch) -> dict[str, Tensor]:
        number, count = self.ema.updates, len(batch.target)
        cut = boxes(count * self.config.cutmix, batch.target.shape[2:], (self.config.seed, distributed.rank(), number))
        teacher, labels = self.ask_teacher(batch.target)
        target, labels = paste(batch.target, cut), paste(labels, cut)
        self.model.train()
        self.optimizers["model"].zero_grad(set_to_none=True)
        with self.autocast():
            student = self.outputs(batch._replace(target=target))
            supervised = segmentation_loss(student[0], batch.source_labels)  # L_s
            kept = distributed.average((labels != IGNORE).float().mean())
            unsupervised = segmentation_loss(student[1], labels) / kept.clamp(min=1e-6)  # λ_u L_u, with λ_u = 1 / kept
            terms = {"supervised": supervised, "unsupervised": unsupervised}
            if self.config.lambda_c:
                view = self.view(batch, student, teacher, labels, cut)
                terms["contrastive"] = self.config.lambda_c * self.contrast(view, number)  # λ_c L_c
            loss = sum(terms.values())
        loss.backward()
        self.optimizers["model"].step()
        self.ema.update(self.model)
        return {name: value.detach() for name, value in {**terms, "loss": loss}.items()}

    @torch.no_grad()
    def ask_teacher(self, images: Tensor) -> tuple[SegmentationOutput, Tensor]:
        """What the teacher says of (B, 3, H, W), and its reliable pseudo-labels (B, H, W), IGNORE elsewhere."""
        with self.autocast():
            output = self.ema.model(images)
        probs = output.logits.float().softmax(1)  # (B, C, H, W)
        self.window.observe(probs[..., 4::9, 4::9], self.passed)  # in cells of 8, all would be where upsampling is sure
        return output, self.window.label(probs)

    @torch.no_grad()
    def view(
        self, batch: Batch, student: tuple[SegmentationOutput, SegmentationOutput], on_target: SegmentationOutput,
        labels: Tensor, cut: list[Box],
    ) -> View:  # fmt: skip
        """Both domains at the features' size: (B, …, h, w), the labelled images first."""
        on_source, count, size = self.ema.model(batch.source), len(batch.source), on_target.embedding.shape[2:]
        logits = sampled(on_source.logits, size), paste(sampled(on_target.logits, size), cut, CELL)
        with torch.enable_grad():
            embedding = torch.cat([output.embedding for output in student])  # (B, E, h, w)
        number, processes = self.ema.updates, distributed.world_size()
        places = torch.arange(2 * count, device=self.device) * processes + distributed.rank()
        return View(
            embedding=embedding,
            keys=torch.cat((on_source.embedding, paste(on_target.embedding, cut, CELL))),
            probs=torch.cat(logits).float().softmax(1),
            labels=torch.cat([sampled(part, size) for part in (batch.source_labels, labels)]),
            labelled=count,
            ids=number * 2 * count * processes + places,
        )


def sampled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(B, ..., H, W) at 1/8, rounded up: of each cell, as CutMix has them, the pixel in its middle."""
    rows, columns = (
        (torch.arange(few, device=maps.device) * CELL + CELL // 2).clamp(max=many - 1)
        for many, few in zip(maps.shape[-2:], size, strict=True)
    )
    return maps[..., rows[:, None], columns]
