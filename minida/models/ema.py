"""The exponential moving average of a network: a teacher that follows its student slowly."""

import copy

import torch
from torch import nn


class EMA:
    """`model` is a copy of a network whose parameters and buffers follow it: θ' ← d θ' + (1 - d) θ.

    d = min(1 - 1 / (t + 1), decay) at update t = 0, 1, …: the first update copies, and until 1 - 1 / (t + 1) reaches
    `decay` the copy is the plain mean of all networks so far. Counters, such as batch norm's, are copied. The copy has
    storage of its own, needs no gradient and is in evaluation mode.

    Source: Wang et al., CVPR 2022 (U2PL), section 3.1 and their released configuration. Raises: ValueError for a
    decay outside [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay!r}; expected 0 or more and below 1, such as 0.99")
        self.model, self.decay, self.updates = copy.deepcopy(model).eval().requires_grad_(False), decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follow `model`, the network that the copy was made of, by one step."""
        decay = min(1 - 1 / (self.updates + 1), self.decay)
        pairs = zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        floating, others = [], []
        for pair in pairs:
            (floating if pair[0].is_floating_point() else others).append(pair)
        torch._foreach_lerp_(*map(list, zip(*floating, strict=True)), 1 - decay)
        for mine, new in others:
            mine.copy_(new)
        self.updates += 1

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint needs beside the weights of `model`."""
        return {"updates": self.updates}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if type(state["updates"]) is not int or not 0 <= state["updates"] < 2**31:
            raise ValueError(f"{state['updates']!r} updates of the average")
        self.updates = state["updates"]
