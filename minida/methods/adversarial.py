"""Adversarial adaptation: predictions on the target shall look like predictions on the source.

Source: the report, Eq. 1-4; Tsai et al., CVPR 2018, with one level of adaptation. Departures from the report: means
over pixels where it prints sums (its λ_adv = 0.001 belongs to means); source is class 0, target 1; Eq. 3 as a whole
is negative (a pair of brackets is missing in print); batch norm's running averages are the target's unless the
configuration says otherwise, because they decide more than λ does (the report does not say whose it took).

Source-only, to the last bit, is λ = 0 with batch_norm "source". Where the scale goes below 1, its crops are filled as
here: padding in one domain alone would give that domain away.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from minida.config import Config
from minida.device import to_device
from minida.losses import SOURCE, TARGET, domain_loss, segmentation_loss
from minida.methods.base import OPTIMIZERS, Method, make_optimizer
from minida.models import DISCRIMINATORS, BiSeNet
from minida.types import Batch, SegmentationOutput


class Adversarial(Method):
    """Two updates a step: the segmentation network against a frozen discriminator, then the discriminator."""

    uses_target = fills_crops = True
    options = (
        "discriminator", "discriminator_width", "discriminator_optimizer", "discriminator_lr", "lambda_adv",
        "batch_norm",
    )  # fmt: skip

    def __init__(self, config: Config, model: BiSeNet):
        super().__init__(config, model)
        if config.discriminator == "none":
            raise ValueError("discriminator is 'none'; adversarial needs fcd or dsc")
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
            shown = source.logits.softmax(1), target.logits.softmax(1)  # (B, C, H, W) each
            segmentation = segmentation_loss(source, batch.source_labels)  # Eq. 1
            adversarial = domain_loss(self.discriminator(shown[1]), SOURCE)  # Eq. 2: to be taken for source
            more = self.target_terms(target, batch)
            loss = segmentation + self.config.lambda_adv * adversarial + sum(more.values())  # Eq. 4, 5
        loss.backward()
        self.optimizers["model"].step()

        self.discriminator.requires_grad_(True)
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        with self.autocast():  # the predictions are detached: nothing reaches the segmentation network
            on_source = domain_loss(self.discriminator(shown[0].detach()), SOURCE)
            on_target = domain_loss(self.discriminator(shown[1].detach()), TARGET)
            guess = (on_source + on_target) / 2  # Eq. 3
        guess.backward()
        self.optimizers["discriminator"].step()
        terms = {"discriminator": guess, "adversarial": adversarial, "segmentation": segmentation, **more, "loss": loss}
        return {name: value.detach() for name, value in terms.items()}

    def target_terms(self, target: SegmentationOutput, batch: Batch) -> dict[str, Tensor]:
        """What else the target teaches, by name and weighted: pseudo-labels add theirs in a subclass (Eq. 5)."""
        return {}

    def record(self) -> dict[str, Any]:
        return {**super().record(), "discriminator_lr": self.config.discriminator_learning_rate}

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
    name, rate = config.discriminator_optimizer, config.discriminator_learning_rate
    options = {"adam": {"betas": (0.9, 0.99)}, "sgd": {"momentum": config.momentum}, "rmsprop": {}}[name]
    return OPTIMIZERS[name](network.parameters(), lr=rate, **options)


def split(output: SegmentationOutput, count: int) -> tuple[SegmentationOutput, SegmentationOutput]:
    """The first `count` images of a joint pass, and the rest."""
    logits = output.logits.split((count, len(output.logits) - count))
    aux = list(zip(*(part.split((count, len(part) - count)) for part in output.aux), strict=True)) or [(), ()]
    return tuple(SegmentationOutput(main, heads) for main, heads in zip(logits, aux, strict=True))


@contextmanager
def recorded(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Whether batch norms add what they see to their running averages; they normalise with the batch either way."""
    kinds = nn.modules.batchnorm._BatchNorm
    norms = [part for part in network.modules() if isinstance(part, kinds) and part.track_running_stats]
    for norm in norms:
        norm.track_running_stats = wanted
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
