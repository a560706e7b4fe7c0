"""The rungs of the ladder: which training each is, what it goes on from, and which rung it is measured against."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from minida.config import Config
from minida.methods import configure


@dataclass(frozen=True)
class Rung:
    """One method of the ladder: the training, the rung whose network it goes on from, and what it is measured by."""

    title: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None  # a first stage, or None: this is one
    control: str | None = None  # its gain is over this rung
    on_target: bool = False  # learns from labels of the evaluated domain, all of them
    rounds: int = 1  # of labelling; each takes its share of the steps
    updates: int = 1  # of the student in one step: with two it takes half as many steps


IT = {"strategy": "dars", "ratio": (0.5, 0.8), "strength": (0.5, 1.0), "rounds": 2}
CENTROIDS = {"strategy": "cbst", "ratio": 0.5, "centroids": 0.5}
META = {"feedback": "meta", "student": "adversarial"}
PRODUCT = {"feedback": "product", "student": "adversarial"}
NO_DISCRIMINATOR = {"discriminator": "none"}
UDA = {
    "source-only-1": Rung("source-only", "supervised"),
    "batch-norm-1": Rung("batch norm (λ = 0)", "adversarial", {"lambda_adv": 0.0}),
    "fcd-1": Rung("FCD", "adversarial", {"discriminator": "fcd"}),
    "dsc-1": Rung("DSC", "adversarial", {"discriminator": "dsc"}),
    "oracle-1": Rung("oracle", "supervised", on_target=True),
    "source-only": Rung("source-only", "supervised", start="source-only-1"),
    "batch-norm": Rung("batch norm (λ = 0)", "adversarial", {"lambda_adv": 0.0}, "batch-norm-1", "source-only"),
    "fcd": Rung("adversarial, FCD", "adversarial", {"discriminator": "fcd"}, "fcd-1", "batch-norm"),
    "dsc": Rung("adversarial, DSC", "adversarial", {"discriminator": "dsc"}, "dsc-1", "batch-norm"),
    "mpt": Rung("MPT", "pseudo", NO_DISCRIMINATOR, "source-only-1", "source-only"),
    "dsc-mpt": Rung("DSC + MPT", "pseudo", {}, "dsc-1", "dsc"),
    "dsc-st": Rung("DSC + ST", "pseudo", {"strategy": "st"}, "dsc-1", "dsc"),
    "dsc-cbst": Rung("DSC + CBST", "pseudo", {"strategy": "cbst"}, "dsc-1", "dsc"),
    "dsc-dars": Rung("DSC + DARS", "pseudo", {"strategy": "dars"}, "dsc-1", "dsc"),
    "dsc-dars-it": Rung("DSC + DARS + IT", "pseudo", IT, "dsc-1", "dsc", rounds=2),
    "dsc-centroids": Rung("DSC, then centroid sampling", "self-training", CENTROIDS, "dsc-1", "dsc"),
    "u2pl": Rung("DSC, then U2PL", "u2pl", {}, "dsc-1", "dsc"),
    "mpl-product": Rung("DSC + MPL, product", "mpl", PRODUCT, "dsc-1", "dsc"),
    "mpl-meta": Rung("DSC + MPL, meta", "mpl", META, "dsc-1", "dsc", updates=2),
    "oracle": Rung("oracle", "supervised", start="oracle-1", on_target=True),
}
SSL = {
    "supervised-1": Rung("supervised", "supervised"),
    "oracle-1": UDA["oracle-1"],
    "supervised": Rung("supervised on that share", "supervised", start="supervised-1"),
    "mpt": Rung("MPT", "pseudo", NO_DISCRIMINATOR, "supervised-1", "supervised"),
    "st": Rung("ST", "self-training", {"strategy": "st"}, "supervised-1", "supervised"),
    "cbst": Rung("CBST", "self-training", {"strategy": "cbst"}, "supervised-1", "supervised"),
    "dars": Rung("DARS", "dars", {}, "supervised-1", "supervised"),
    "dars-it": Rung("DARS + IT", "self-training", IT, "supervised-1", "supervised", rounds=2),
    "centroids": Rung("centroid sampling", "self-training", CENTROIDS, "supervised-1", "supervised"),
    "u2pl": Rung("U2PL", "u2pl", {}, "supervised-1", "supervised"),
    "mpl-meta": Rung("MPL, meta", "mpl", META, "supervised-1", "supervised", updates=2),
    "oracle": replace(UDA["oracle"], title="oracle: all labels"),
}
LADDERS = {"uda": UDA, "ssl": SSL}
BASELINES = {"uda": "source-only", "ssl": "supervised"}


def configuration(rung: Rung, protocol: str, preset: str, seed: int, settings: Mapping[str, Any]) -> Config:
    """What `minida train` does for a rung, but for `init`; of `settings` a rung takes what its method has."""
    given = dict(settings)
    source, target = given.pop("source", "minicity:game"), given.pop("target", "minicity:real")
    labeled = given.pop("labeled", "1/8")
    steps = configure("supervised", preset, **given).steps
    if rung.start is not None:
        given.pop("weights", None)  # the first stage began with them
    if rung.on_target:
        data = {"source": target}
    elif protocol == "ssl":
        data = {"protocol": "ssl", "source": target, "labeled": labeled}
    else:
        data = {"source": source, "target": target}
    given |= {**data, **rung.options, "seed": seed, "steps": max(1, steps // (rung.rounds * rung.updates))}
    return configure(rung.method, preset, **given)
