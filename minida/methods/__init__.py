"""Training methods by name. A new method is one new file and one line here."""

import dataclasses
from typing import Any

from minida.config import Config, make_config
from minida.methods.adversarial import Adversarial
from minida.methods.base import Method
from minida.methods.meta import MetaPseudoLabels
from minida.methods.self_training import AlignedSelfTraining, PseudoLabels, SelfTraining
from minida.methods.supervised import Supervised
from minida.methods.u2pl import U2PL

METHODS: dict[str, type[Method]] = {
    "supervised": Supervised, "adversarial": Adversarial,
    "pseudo": PseudoLabels, "self-training": SelfTraining, "dars": AlignedSelfTraining,
    "u2pl": U2PL, "mpl": MetaPseudoLabels,
}  # fmt: skip

__all__ = [
    "METHODS", "U2PL", "Adversarial", "AlignedSelfTraining", "MetaPseudoLabels", "Method", "PseudoLabels",
    "SelfTraining", "Supervised", "configure",
]  # fmt: skip


def configure(name: str, preset: str = "cpu", **overrides: Any) -> Config:
    """The configuration of a run: the preset, the method's own defaults, what is given; None is "not given".

    Raises: ValueError for an unknown method, preset or option, or an option of another method.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of: {', '.join(METHODS)}")
    for option in sorted({option for method in METHODS.values() for option in method.options}):
        if overrides.get(option) is not None and option not in METHODS[name].options:
            raise ValueError(f"{option} is {overrides[option]!r}, but {name} does not use it; leave it out")
    given = {key: value for key, value in overrides.items() if value is not None}
    config = make_config(name, preset, **{**METHODS[name].defaults(given.get("protocol", Config.protocol)), **given})
    if METHODS[name].uses_target and (config.protocol, config.source, config.target) == ("uda", "minicity:game", None):
        config = dataclasses.replace(config, target="minicity:real")
    return config
