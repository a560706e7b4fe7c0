"""What a training method is: networks, optimisers and one complete update."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from minida.config import Config
from minida.models import BiSeNet
from minida.types import Batch, SegmentationOutput

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
    is moved to the device, scheduled, saved and resumed; `memory` is resumed, but is no part of the result.
    """

    uses_target = False
    fills_crops = False  # whether a crop never reaches beyond its image: padding would tell a discriminator the domain
    wants_frequency = False  # whether `begin` is to be called first, with the class frequencies of the labelled set
    options: tuple[str, ...] = ()  # fields of the configuration that not every method reads, and this one does

    def __init__(self, config: Config, model: BiSeNet):
        self.config = config
        self.model = model  # the network that is evaluated and kept
        self.networks: dict[str, nn.Module] = {"model": model}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.memory: dict[str, Any] = {}  # what else decides an update; has state_dict and load_state_dict
        self.device = next(model.parameters()).device

    @classmethod
    def defaults(cls, protocol: str) -> dict[str, Any]:
        """What the configuration's defaults are for this method, where they differ."""
        return {}

    @staticmethod
    def embedding(config: Config) -> int | None:
        """Width of the representation head that the segmentation network gets, if this method wants one."""
        return None

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
        said = {name: getattr(self.config, name) for name in self.options}
        if "discriminator" in self.networks:
            return said | {"discriminator_lr": self.config.discriminator_learning_rate}
        return {name: value for name, value in said.items() if not name.startswith(("discriminator_", "lambda_adv"))}

    def autocast(self) -> torch.autocast:
        """The precision that the configuration chose."""
        mixed = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=mixed)

    def outputs(self, batch: Batch, network: BiSeNet | None = None) -> tuple[SegmentationOutput, SegmentationOutput]:
        """Both domains through the model, or `network`; `batch_norm` of the configuration says whose statistics."""
        network = network or self.model
        if self.config.batch_norm == "joint":  # normalised together
            return split(network(torch.cat((batch.source, batch.target))), len(batch.source))
        with recorded(network, self.config.batch_norm != "target"):  # each domain normalised by itself;
            source = network(batch.source)
        with recorded(network, self.config.batch_norm != "source"):  # the running averages see both, or one
            target = network(batch.target)
        return source, target

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
            "memory": {name: part.state_dict() for name, part in self.memory.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
            if not all(value.isfinite().all() for value in network.state_dict().values()):
                raise ValueError(f"weights of the {name} are no numbers")
        for name, optimizer in self.optimizers.items():  # what is not learnt is the configuration's
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state["optimizers"][name]["state"]})
            for parameter, kept in optimizer.state.items():
                if any(value.ndim and value.shape != parameter.shape for value in kept.values()):
                    raise ValueError(f"the optimiser of the {name} is another's")
                if not all(value.isfinite().all() for value in kept.values()):
                    raise ValueError(f"the optimiser of the {name} holds what is no number")
        for name, part in self.memory.items():
            part.load_state_dict(state["memory"][name])


def split(output: SegmentationOutput, count: int) -> tuple[SegmentationOutput, SegmentationOutput]:
    """The first `count` images of a joint pass, and the rest."""

    def parts(tensor: Tensor) -> tuple[Tensor, Tensor]:  # the gradient of two slices would be two full-size zeros more
        return tensor.split((count, len(tensor) - count))

    aux = list(zip(*map(parts, output.aux), strict=True)) or [(), ()]
    embedding = (None, None) if output.embedding is None else parts(output.embedding)
    return tuple(map(SegmentationOutput, parts(output.logits), aux, embedding))


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
