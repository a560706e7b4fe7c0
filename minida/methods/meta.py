"""Meta Pseudo Labels: a teacher labels the target, a student learns from it, and the teacher hears how that went.

Sources: Pham et al., CVPR 2021 (`feedback` "meta"); the report, "Meta Pseudo Labels" (`feedback` "product").

*meta*: the student takes a step on the pseudo-labels, then one on the labels, from where the first one led. The
feedback h = η ⟨∇L_labelled(θ'), ∇L_pseudo(θ)⟩ is the product of the two gradients, which are there anyway. To first
order it is what plain SGD's first step took off the labelled loss, old - new: if the pseudo-labels helped, h is
positive and the teacher is drawn towards them; if they did harm, pushed away. A moving average of h is its baseline.

*product*: the report's H = η L_target L_source of the student's losses, times α, which grows from 0 to 1. It is never
negative and no derivative of anything: it weighs the teacher's own labels, whatever they did.

Departures: pseudo-labels are those that a strategy believes, by thresholds over the last batches (Pham et al. sample
one for every pixel, the report has no threshold here). Each of the two networks has a discriminator of its own. The
teacher's adversarial loss has the weight λ_adv (the report prints 1). In Pham et al. the student sees labelled images
only at the very end; here, as in the report, in every step: in *meta* that is a second step of its optimiser, so a
comparison of the two feedbacks compares this too; "none" is the control of *meta*, the same two steps and a teacher
that is told nothing. A student from scratch has no pretrained weights, as the report's.
The student is evaluated and kept; the teacher is kept beside it.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minida import distributed
from minida.config import Config
from minida.data.cutmix import boxes, paste
from minida.data.transforms import IMAGENET_STD
from minida.device import to_device
from minida.labeling import make_strategy
from minida.labeling.window import Window
from minida.losses import segmentation_loss
from minida.methods.adversarial import Adversarial, Adversary
from minida.methods.base import Method, make_optimizer, recorded
from minida.methods.self_training import pseudo_loss
from minida.models import BiSeNet
from minida.types import Batch, SegmentationOutput

# Deviation of the consistency's Gaussian noise, as a share of the full range: the report does not say. With 0.1 the
# teacher loses the target (assets/results/mpl-tuning.json).
NOISE = 0.02


class MovingAverage:
    """b ← 0.99 b + 0.01 h; the first h as it is."""

    def __init__(self, decay: float = 0.99) -> None:
        self.decay, self.value = decay, None

    def difference(self, value: Tensor) -> Tensor:
        """`value` minus the average before it; the first difference is 0."""
        before = value if self.value is None else self.value.to(value.device)
        self.value = before.lerp(value, 1 - self.decay)
        return value - before

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        value = state["value"]
        if not (value is None or (value.is_floating_point() and value.ndim == 0 and value.isfinite())):
            raise ValueError("the average of h is no number")
        self.value = value if value is None else value.float()


def exact_feedback(
    labelled: Callable[[], Tensor], pseudo: Callable[[], Tensor], parameters: Sequence[Tensor], rate: float
) -> Tensor:
    """η ⟨∇L_labelled(θ'), ∇L_pseudo(θ)⟩ with θ' = θ - η ∇L_pseudo(θ), the step of plain SGD.

    `labelled` and `pseudo` compute the two losses of the student from its `parameters` as they are. θ is put back, a
    network's running averages are not. Source: Pham et al., 2021, Eq. 12 and appendix A.
    """
    step = torch.autograd.grad(pseudo(), parameters)
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter -= rate * gradient
    after = torch.autograd.grad(labelled(), parameters)
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    return rate * sum((a * b).sum() for a, b in zip(after, step, strict=True))


class MetaPseudoLabels(Method):
    """Teacher and student in parallel. `feedback` weighs what the teacher learns from its own pseudo-labels."""

    uses_target = wants_frequency = True
    options = (
        *Adversarial.options, "feedback", "growth", "consistency", "student", "strategy", "ratio", "cap", "temperature",
    )  # fmt: skip

    def __init__(self, config: Config, model: BiSeNet) -> None:
        super().__init__(config, model)
        if config.student not in ("scratch", "adversarial"):
            raise ValueError(f"student is {config.student!r}; mpl's starts from scratch, or as adversarial: from init")
        if config.feedback != "product" and config.batch_norm == "joint":
            two = f"with feedback {config.feedback} expected another: the student takes two passes"
            raise ValueError(f"batch_norm is 'joint'; {two}")
        self.teacher, self.model = model, self._student(config, model)
        self.networks = {"model": self.model, "teacher": model}
        self.adversaries = {}
        for name, prefix in (("model", ""), ("teacher", "teacher_")):
            self.optimizers[name] = make_optimizer(config, self.networks[name])
            if config.discriminator != "none":
                self.adversaries[name] = adversary = Adversary(config, model.num_classes, self.device)
                self.networks[f"{prefix}discriminator"] = adversary.network
                self.optimizers[f"{prefix}discriminator"] = adversary.optimizer
        self.fills_crops = bool(self.adversaries)
        self.baseline, self.passed = MovingAverage(), 0.0
        self.begin(np.ones(model.num_classes))

    @staticmethod
    def _student(config: Config, model: BiSeNet) -> BiSeNet:
        if config.student == "adversarial":
            return copy.deepcopy(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)  # not what a teacher without init starts from
            student = BiSeNet(model.num_classes, config.backbone)
        device = next(model.parameters()).device
        return to_device(distributed.synchronised(student, device), device)

    @classmethod
    def defaults(cls, protocol: str) -> dict[str, Any]:
        """The report's discriminators are for two domains; in ssl both parts have their own normalisation."""
        ssl = {"discriminator": "none", "batch_norm": "separate"} if protocol == "ssl" else {}
        return {"strategy": "mpt", "student": "adversarial", **ssl}

    def begin(self, frequency: np.ndarray) -> None:
        config = self.config
        strategy = make_strategy(
            config.strategy, num_classes=self.model.num_classes, class_frequency=frequency, ratio=config.ratio,
            cap=config.cap, temperature=config.temperature, seed=config.seed,
        )  # fmt: skip
        self.window = Window(strategy)
        self.memory = {"window": self.window, "baseline": self.baseline}

    def schedule(self, step: float) -> None:
        super().schedule(step)
        self.passed = step / self.config.steps

    def step(self, batch: Batch) -> dict[str, Tensor]:
        number = self.window.seen
        self.model.train(), self.teacher.train()
        with self.autocast():
            source, target = self.outputs(batch, self.teacher)
        probs = target.logits.detach().float().softmax(1)  # (B, C, H, W)
        self.window.observe(probs, self.passed)
        places = torch.arange(len(probs)) * distributed.world_size() + distributed.rank()
        ids = number * len(probs) * distributed.world_size() + places
        batch = batch._replace(pseudo_labels=self.window.label(probs, ids))
        product = self.config.feedback == "product"
        terms, feedback = self.student_and_product(batch) if product else self.student_and_gradients(batch)
        if self.config.feedback == "none":
            feedback = torch.zeros_like(feedback)
        more = self.teach(batch, source, target, feedback, number)
        terms = {**terms, "feedback": feedback, **more}
        return {name: value.detach() for name, value in terms.items()}

    def student_and_product(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The student's step on both parts, and α H = α η L_target L_source."""
        with self.autocast():
            source, target = self.outputs(batch)
            terms = {
                "segmentation": segmentation_loss(source, batch.source_labels),
                "pseudo": pseudo_loss(target, batch.pseudo_labels, batch.source_labels),
                **self.fool("model", target),
            }
            loss = sum(terms.values())
        self.descend("model", loss)
        guess = self.judge("model", source, target)
        known, believed = (distributed.average(terms[name].detach()) for name in ("segmentation", "pseudo"))
        product = self.rate() * believed * known
        return {**terms, **guess, "loss": loss}, self.passed**self.config.growth * product

    def student_and_gradients(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The student's step on the pseudo-labels, then on the labels; and h less its average."""
        with self.autocast(), recorded(self.model, self.config.batch_norm != "source"):
            target = self.model(batch.target)
            more = {"pseudo": pseudo_loss(target, batch.pseudo_labels, batch.source_labels)}
            more |= self.fool("model", target)
            loss = sum(more.values())
        first = [gradient.clone() for gradient in self.descend("model", loss)]
        with self.autocast(), recorded(self.model, self.config.batch_norm != "target"):
            source = self.model(batch.source)
            known = segmentation_loss(source, batch.source_labels)
        second = self.descend("model", known)
        guess = self.judge("model", source, target)
        h = self.rate() * sum((a * b).sum() for a, b in zip(first, second, strict=True))
        return {"segmentation": known, **more, **guess, "loss": loss + known, "h": h}, self.baseline.difference(h)

    def teach(
        self, batch: Batch, source: SegmentationOutput, target: SegmentationOutput, feedback: Tensor, number: int
    ) -> dict[str, Tensor]:
        """The teacher's step on what it said before the student learned: labels, feedback, consistency, domains."""
        with self.autocast():
            own = pseudo_loss(target, batch.pseudo_labels, batch.source_labels)
            terms = {"segmentation": segmentation_loss(source, batch.source_labels), "own": feedback * own}
            if self.config.consistency != "none":
                terms["consistency"] = self.consistency(batch.target, target, number)
            terms |= self.fool("teacher", target)
            loss = sum(terms.values())
        self.descend("teacher", loss)
        terms |= self.judge("teacher", source, target)
        return {f"teacher_{name}": value for name, value in terms.items()}

    def consistency(self, images: Tensor, target: SegmentationOutput, number: int) -> Tensor:
        """UDA: cross-entropy of the teacher's answer to disturbed images against its answer to the images.

        "noise": Gaussian noise in a box of half of each image (the report); "cutmix": another image in that box.
        """
        key = (self.config.seed, distributed.rank(), number)
        goal, cut = target.logits.detach().float().softmax(1), boxes(len(images), images.shape[2:], key)
        if self.config.consistency == "cutmix":
            disturbed, goal = paste(images, cut), paste(goal, cut)
        else:
            generator = torch.Generator(images.device).manual_seed(np.random.SeedSequence(key).generate_state(1).item())
            noise = torch.randn(images.shape, generator=generator, device=images.device)
            deviation = NOISE / torch.tensor(IMAGENET_STD, device=images.device)  # images are normalised
            disturbed = images.clone()
            for i, (top, left, bottom, right) in enumerate(cut):
                inside = i, slice(None), slice(top, bottom), slice(left, right)
                disturbed[inside] += noise[inside] * deviation[:, None, None]
        with recorded(self.teacher, False):
            answer = self.teacher(disturbed).logits
        return -(goal * answer.float().log_softmax(1)).sum(1).mean()

    def fool(self, name: str, target: SegmentationOutput) -> dict[str, Tensor]:
        """λ_adv times Eq. 2 for one of the two networks, where there are discriminators."""
        if not self.adversaries:
            return {}
        return {"adversarial": self.config.lambda_adv * self.adversaries[name].fooled(target)}

    def judge(self, name: str, source: SegmentationOutput, target: SegmentationOutput) -> dict[str, Tensor]:
        """A step of that network's own discriminator (Eq. 3)."""
        if not self.adversaries:
            return {}
        return {"discriminator": self.adversaries[name].learn(source, target, self.autocast())}

    def descend(self, name: str, loss: Tensor) -> list[Tensor]:
        """One step of one of the two networks; its gradient, over all processes, which the next step overwrites."""
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()
        return [parameter.grad for parameter in self.networks[name].parameters()]

    def rate(self) -> float:
        """The student's learning rate, η."""
        return self.optimizers["model"].param_groups[0]["lr"]
