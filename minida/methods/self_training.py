"""Self-training: a teacher labels the target, a strategy decides what to believe, a student learns from both sets.

Sources: He et al., ICCV 2021 (DARS; the slides): the loop, its rounds with a growing labelling ratio α_k and
augmentation strength β_k. The report, Eq. 5: with a discriminator, the pseudo-labels' loss joins the adversarial one.

Departures: a student goes on from its teacher's weights, unless `student` is "scratch" (the paper's way, which from
random weights takes more steps than a laptop has). The teacher of the first round is trained here for as many steps as
a student, or is the model given as `init`, or as `teacher`: then its student begins as any run does. Each round runs
for a fixed number of steps ("until no more gains" would need labels to decide). Eq. 1 and 5 are printed as sums over
pixels; both are divided by the number of labelled pixels here, so that few pseudo-labels weigh little: two means would
weigh the easy classes, which are believed first, twice.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from minida import distributed
from minida.config import Config
from minida.labeling import LabelingStrategy, label_images, make_strategy
from minida.losses import segmentation_loss
from minida.methods.adversarial import Adversarial
from minida.methods.base import Method, make_optimizer
from minida.models import BiSeNet
from minida.types import IGNORE, Batch, SegmentationOutput


class SelfTraining(Adversarial):
    """Rounds of labelling and training. A round without pseudo-labels, the first one, trains the teacher.

    `strategy` replaces the one that the configuration names.
    """

    options = (
        *Adversarial.options, "strategy", "ratio", "cap", "temperature", "flip", "rounds", "strength", "student",
        "teacher", "mix",
    )  # fmt: skip
    default_strategy, default_discriminator = "st", "none"

    def __init__(self, config: Config, model: BiSeNet, strategy: LabelingStrategy | None = None):
        self.strategy = strategy
        if config.student == "adversarial":
            raise ValueError("student is 'adversarial', which is mpl's; expected scratch or continue")
        if strategy is not None and strategy.num_classes != model.num_classes:
            found = f"{type(strategy).__name__} is for {strategy.num_classes} classes, the data has {model.num_classes}"
            raise ValueError(f"{found}; make it for as many")
        if config.discriminator != "none" and config.mix != 1:
            raise ValueError(f"mix is {config.mix}; with a discriminator expected 1: it sees as many of both domains")
        if config.discriminator == "none":
            Method.__init__(self, config, model)
            self.fills_crops = False
            self.optimizers["model"] = make_optimizer(config, model)
        else:
            super().__init__(config, model)
        self.labeler(np.ones(model.num_classes))  # a mistake in its options shows before the teacher's training

    @classmethod
    def defaults(cls, protocol: str) -> dict[str, Any]:
        """One data set (ssl) has one batch norm for both of its parts."""
        norm = {"batch_norm": "joint"} if protocol == "ssl" else {}
        return {"strategy": cls.default_strategy, "discriminator": cls.default_discriminator, **norm}

    @staticmethod
    def trains_teacher(config: Config) -> bool:
        """Whether the first round has no pseudo-labels: nobody is there yet to give any."""
        return config.init is None and config.teacher is None

    @staticmethod
    def rounds(config: Config) -> int:
        return config.rounds + SelfTraining.trains_teacher(config)

    def progress(self, number: int) -> float | None:
        """How far round `number` is, from 0, the first with pseudo-labels, to 1, the last; None for the teacher's."""
        labelled = number - self.trains_teacher(self.config)
        return None if labelled < 0 else labelled / max(1, self.config.rounds - 1)

    def sees_target(self, number: int) -> bool:
        return "discriminator" in self.networks or self.progress(number) is not None

    def batch_sizes(self, number: int) -> tuple[int, int]:
        both, mix = 2 * self.config.batch_size, 1.0 if self.progress(number) is None else self.config.mix
        target = round(both * mix / (1 + mix))
        return both - target, target

    def augmentation_strength(self, number: int) -> float:
        first, last = self.config.strength
        return first + (last - first) * (self.progress(number) or 0)

    def labeler(self, frequency: np.ndarray) -> LabelingStrategy:
        """The strategy; `frequency` (C,) is the labelled set's, the prior of DARS."""
        config = self.config
        return self.strategy or make_strategy(
            config.strategy, num_classes=self.model.num_classes, class_frequency=frequency, ratio=config.ratio,
            cap=config.cap, temperature=config.temperature, seed=config.seed,
        )  # fmt: skip

    def pseudo_labels(
        self, teacher: BiSeNet, number: int, unlabeled: Iterable, frequency: np.ndarray, bar: bool
    ) -> Iterator[Tensor]:
        """What the teacher says of the unlabelled images before round `number`: (H, W) uint8 each, in their order.

        `unlabeled` is gone through twice; `frequency` as in `labeler`.
        """
        strategy, mixed = self.labeler(frequency), self.config.precision == "bfloat16"
        return label_images(teacher, strategy, unlabeled, self.progress(number), self.config.flip, mixed, bar)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        if "discriminator" in self.networks:
            return super().step(batch)  # Eq. 4, and with `target_terms` Eq. 5
        self.model.train()
        self.optimizers["model"].zero_grad(set_to_none=True)
        with self.autocast():
            if batch.target is None:
                source, more = self.model(batch.source), {}
            else:
                source, target = self.outputs(batch)
                more = self.target_terms(target, batch)
            # both sums are divided by the labelled pixels of batch_size images, however many of them `mix` takes
            share = 1.0 if batch.target is None else 2 * len(batch.source) / (len(batch.source) + len(batch.target))
            segmentation = share * segmentation_loss(source, batch.source_labels)
            more = {name: share * value for name, value in more.items()}
            loss = segmentation + sum(more.values())
        loss.backward()
        self.optimizers["model"].step()
        return {name: value.detach() for name, value in {"segmentation": segmentation, **more, "loss": loss}.items()}

    def target_terms(self, target: SegmentationOutput, batch: Batch) -> dict[str, Tensor]:
        """The loss on the pseudo-labels, L_seg(I_t, Ŷ_t) of Eq. 5."""
        if batch.pseudo_labels is None:
            return {}
        return {"pseudo": pseudo_loss(target, batch.pseudo_labels, batch.source_labels)}

    def record(self) -> dict[str, Any]:
        said = super().record()
        if self.strategy is None:
            return said
        own = {key: value for key, value in vars(self.strategy).items() if isinstance(value, int | float)}
        return {key: value for key, value in said.items() if key not in ("ratio", "cap", "temperature")} | {"own": own}


def pseudo_loss(target: SegmentationOutput, pseudo_labels: Tensor, source_labels: Tensor) -> Tensor:
    """The loss on (B, H, W) pseudo-labels, where one pixel weighs what a labelled one does (collective).

    Where few pixels of the labelled images have a label, all pseudo-labels together weigh what so many images do.
    """
    counts = [(labels != IGNORE).sum() for labels in (pseudo_labels, source_labels)]
    believed, labelled = map(distributed.average, counts)  # of all processes
    weight = (believed / labelled.clamp(min=1)).clamp(max=len(pseudo_labels) / len(source_labels))
    return weight * segmentation_loss(target, pseudo_labels)


class PseudoLabels(SelfTraining):
    """The report's own: adversarial training, and pseudo-labels by the max probability threshold (MPT)."""

    default_strategy, default_discriminator = "mpt", "dsc"


class AlignedSelfTraining(SelfTraining):
    """The slides' own: pseudo-labels whose classes are distributed as the labelled set's (DARS)."""

    default_strategy = "dars"
