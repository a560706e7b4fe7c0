"""Adversarial adaptation: predictions on the target shall look like predictions on the source.

Source: the report, Eq. 1-4; Tsai et al., CVPR 2018, with one level of adaptation. Departures from the report: means
over pixels where it prints sums (its λ_adv = 0.001 belongs to means); source is class 0, target 1; Eq. 3 as a whole
is negative (a pair of brackets is missing in print); batch norm's running averages are the target's unless the
configuration says otherwise, because they decide more than λ does (the report does not say whose it took).

Source-only, to the last bit, is λ = 0 with batch_norm "source". Where the scale goes below 1, its crops are filled as
here: padding in one domain alone would give that domain away.
"""

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
        self.adversary = Adversary(config, model.num_classes, self.device)
        self.networks["discriminator"] = self.discriminator = self.adversary.network
        self.optimizers["model"] = make_optimizer(config, model)
        self.optimizers["discriminator"] = self.adversary.optimizer

    def step(self, batch: Batch) -> dict[str, Tensor]:
        self.model.train()
        self.optimizers["model"].zero_grad(set_to_none=True)
        with self.autocast():
            source, target = self.outputs(batch)
            segmentation = segmentation_loss(source, batch.source_labels)  # Eq. 1
            adversarial = self.adversary.fooled(target)  # Eq. 2
            more = self.target_terms(target, batch)
            loss = segmentation + self.config.lambda_adv * adversarial + sum(more.values())  # Eq. 4, 5
        loss.backward()
        self.optimizers["model"].step()
        guess = self.adversary.learn(source, target, self.autocast())  # Eq. 3
        terms = {"discriminator": guess, "adversarial": adversarial, "segmentation": segmentation, **more, "loss": loss}
        return {name: value.detach() for name, value in terms.items()}

    def target_terms(self, target: SegmentationOutput, batch: Batch) -> dict[str, Tensor]:
        """What else the target teaches, by name and weighted: pseudo-labels add theirs in a subclass (Eq. 5)."""
        return {}


class Adversary:
    """A discriminator and its optimiser: what one segmentation network plays against."""

    def __init__(self, config: Config, classes: int, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = DISCRIMINATORS[config.discriminator](classes, config.discriminator_width)
        self.network = to_device(network, device)
        self.optimizer = make_discriminator_optimizer(config, network)

    def fooled(self, target: SegmentationOutput) -> Tensor:
        """Eq. 2: the loss of a segmentation network whose target predictions shall be taken for source."""
        self.network.requires_grad_(False)  # the segmentation network learns from it, not it from this
        return domain_loss(self.network(target.logits.softmax(1)), SOURCE)

    def learn(self, source: SegmentationOutput, target: SegmentationOutput, precision: torch.autocast) -> Tensor:
        """One step on Eq. 3, whose value it returns; nothing reaches the segmentation network."""
        self.network.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        with precision:
            on_source = domain_loss(self.network(source.logits.detach().softmax(1)), SOURCE)
            on_target = domain_loss(self.network(target.logits.detach().softmax(1)), TARGET)
            guess = (on_source + on_target) / 2
        guess.backward()
        self.optimizer.step()
        return guess


def make_discriminator_optimizer(config: Config, network: nn.Module) -> torch.optim.Optimizer:
    """Adam with betas (0.9, 0.99) as Tsai et al., or what the report's Fig. 6 compares it with."""
    name, rate = config.discriminator_optimizer, config.discriminator_learning_rate
    options = {"adam": {"betas": (0.9, 0.99)}, "sgd": {"momentum": config.momentum}, "rmsprop": {}}[name]
    return OPTIMIZERS[name](network.parameters(), lr=rate, **options)
