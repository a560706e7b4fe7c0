"""Adversarial adaptation: predictions on the target shall look like predictions on the source.

Source: the report, Eq. 1-4; Tsai et al., CVPR 2018, with one level of adaptation. Departures from the report: means
over pixels where it prints sums (its λ_adv = 0.001 belongs to means); source is class 0, target 1; Eq. 3 as a whole
is negative (a pair of brackets is missing in print).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from minida.config import Config
from minida.device import to_device
from minida.losses import SOURCE, TARGET, domain_loss, segmentation_loss
from minida.methods.base import Method, make_optimizer
from minida.models import DISCRIMINATORS, BiSeNet
from minida.types import Batch, SegmentationOutput


class Adversarial(Method):
    """Two updates a step: the segmentation network against a frozen discriminator, then the discriminator."""

    uses_target = True

    def __init__(self, config: Config, model: BiSeNet):
        super().__init__(config, model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = DISCRIMINATORS[config.discriminator](model.num_classes, config.discriminator_width)
        self.networks["discriminator"] = self.discriminator = to_device(network, self.device)
        self.optimizers["model"] = make_optimizer(config, model)
        self.optimizers["discriminator"] = make_discriminator_optimizer(config, network)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        self.model.train()
        self.discriminator.requires_grad_(False)  # the segmentation network learns from it, not it from this
        self.optimizers["model"].zero_grad(set_to_none=True)
        with self.autocast():
            source, target = self.outputs(batch)
            segmentation = segmentation_loss(source, batch.source_labels)  # Eq. 1
            shown = probs(target)  # (B, C, H, W)
            adversarial = domain_loss(self.discriminator(shown), SOURCE)  # Eq. 2: to be taken for source
            loss = segmentation + self.config.lambda_adv * adversarial + self.target_loss(target, batch)  # Eq. 4, 5
        loss.backward()
        self.optimizers["model"].step()

        self.discriminator.requires_grad_(True)
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        with self.autocast():  # the predictions are detached: nothing reaches the segmentation network
            on_source = domain_loss(self.discriminator(probs(source).detach()), SOURCE)
            on_target = domain_loss(self.discriminator(shown.detach()), TARGET)
            guess = (on_source + on_target) / 2  # Eq. 3
        guess.backward()
        self.optimizers["discriminator"].step()
        terms = {"loss": loss, "segmentation": segmentation, "adversarial": adversarial, "discriminator": guess}
        return {name: value.detach() for name, value in terms.items()}

    def options(self) -> dict[str, Any]:
        names = "discriminator", "discriminator_width", "discriminator_optimizer", "lambda_adv", "batch_norm"
        fields = {name: getattr(self.config, name) for name in names}
        return {**fields, "discriminator_lr": self.config.discriminator_learning_rate}

    def target_loss(self, target: SegmentationOutput, batch: Batch) -> Tensor | float:
        """What else the target teaches: nothing here; pseudo-labels add their loss in a subclass (Eq. 5)."""
        return 0.0

    def outputs(self, batch: Batch) -> tuple[SegmentationOutput, SegmentationOutput]:
        """Both domains through the network; `batch_norm` of the configuration says whose statistics it sees."""
        if self.config.batch_norm == "joint":  # normalised together
            return split(self.model(torch.cat((batch.source, batch.target))), len(batch.source))
        with recorded(self.model, self.config.batch_norm != "target"):  # each domain normalised by itself;
            source = self.model(batch.source)
        with recorded(self.model, self.config.batch_norm != "source"):  # the running averages see both, or one
            target = self.model(batch.target)
        return source, target


def make_discriminator_optimizer(config: Config, network: nn.Module) -> torch.optim.Optimizer:
    """Adam with betas (0.9, 0.99) as Tsai et al., or what the report's Fig. 6 compares it with."""
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}
    options = {"adam": {"betas": (0.9, 0.99)}, "sgd": {"momentum": 0.9}, "rmsprop": {}}[config.discriminator_optimizer]
    return kinds[config.discriminator_optimizer](network.parameters(), lr=config.discriminator_learning_rate, **options)


def probs(output: SegmentationOutput) -> Tensor:
    """What a discriminator sees: the softmax (B, C, H, W), in float32."""
    return output.logits.float().softmax(dim=1)


def split(output: SegmentationOutput, count: int) -> tuple[SegmentationOutput, SegmentationOutput]:
    """The first `count` images of a joint pass, and the rest."""
    logits = output.logits.split((count, len(output.logits) - count))
    aux = zip(*(part.split((count, len(part) - count)) for part in output.aux), strict=True)
    return tuple(SegmentationOutput(main, heads) for main, heads in zip(logits, aux, strict=True))


@contextmanager
def recorded(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Whether batch norms add what they see to their running averages; they normalise with the batch either way."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.track_running_stats = wanted
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
