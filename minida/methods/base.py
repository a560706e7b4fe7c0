"""What a training method is: networks, optimisers and one complete update."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from minida.config import Config
from minida.models import BiSeNet
from minida.types import Batch

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}


def make_optimizer(config: Config, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the configuration names, over all of a network's parameters."""
    options = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        options["momentum"] = config.momentum
    return OPTIMIZERS[config.optimizer](network.parameters(), **options)


def poly(base: float, step: float, steps: int, power: float = 0.9) -> float:
    """The poly schedule: base * (1 - step / steps) ** power, for step 0 ... steps - 1."""
    return base * (1 - step / steps) ** power


class Method(ABC):
    """One way to train. A subclass builds its networks and optimisers, and its `step` is the whole update.

    `uses_target` says whether its batches hold target images. Whatever is put into `networks` and `optimizers`
    is moved to the device, scheduled, saved and resumed.
    """

    uses_target = False
    fills_crops = False  # whether a crop never reaches beyond its image: padding would tell a discriminator the domain
    options: tuple[str, ...] = ()  # fields of the configuration that not every method reads, and this one does

    def __init__(self, config: Config, model: BiSeNet):
        self.config = config
        self.model = model  # the network that is evaluated and kept
        self.networks: dict[str, nn.Module] = {"model": model}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.device = next(model.parameters()).device

    @classmethod
    def defaults(cls, protocol: str) -> dict[str, Any]:
        """What the configuration's defaults are for this method, where they differ."""
        return {}

    @staticmethod
    def rounds(config: Config) -> int:
        """How often the training runs through its steps and its schedule."""
        return 1

    def sees_target(self, number: int) -> bool:
        """Whether the batches of round `number`, from 0, hold target images."""
        return self.uses_target

    def progress(self, number: int) -> float | None:
        """Before round `number` the model labels the target: how far the training then is, 0 to 1; None: it does not.

        Such a method has `pseudo_labels` (see minida.methods.self_training), and its batches hold them.
        """
        return None

    def batch_sizes(self, number: int) -> tuple[int, int]:
        """Images of the source and of the target in a batch of round `number` (at the full crop)."""
        return self.config.batch_size, self.config.batch_size

    def augmentation_strength(self, number: int) -> float:
        """β of round `number`."""
        return 1.0

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of every network. Returns detached scalars by name; "loss" is the one the bar shows."""

    def record(self) -> dict[str, Any]:
        """What a record of results says of this method beside the common fields."""
        return {name: getattr(self.config, name) for name in self.options}

    def autocast(self) -> torch.autocast:
        """The precision that the configuration chose."""
        mixed = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=mixed)

    def schedule(self, step: float) -> None:
        """Set every optimiser's learning rate for `step` of `config.steps`; no state, so a resumed run agrees."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                base = group.setdefault("initial_lr", group["lr"])
                group["lr"] = poly(base, step, self.config.steps, self.config.power)

    def state_dict(self) -> dict[str, Any]:
        """All that decides the next update, besides the configuration and the step number."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
