"""One frozen configuration a run, and the presets that fill it."""

import dataclasses
import difflib
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any, get_args, get_origin


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result. Stored with the run as `config.json`."""

    method: str = "supervised"  # a name of minida.methods.METHODS
    preset: str = "cpu"  # a name of PRESETS, which filled the fields below
    protocol: str = "uda"  # uda: labelled source, unlabelled target; ssl: a labelled fraction of the source
    source: str = "minicity:game"  # data set with labels, as minida.data.open takes it
    target: str | None = None  # data set without labels; evaluation is on it, else on the source
    labeled: str | float = "1"  # share of the source whose labels are used, such as 1/8
    seed: int = 0  # decides the initial weights, the order of the images and every augmentation

    backbone: str = "resnet18"  # resnet18, resnet101 or slim
    weights: str | None = None  # the backbone's initial weights: None, "imagenet" or a file
    init: str | None = None  # a run folder or model file whose weights the segmentation network starts from
    size: tuple[int, int] = (96, 192)  # height and width of a training crop and of an evaluated image
    steps: int = 1500  # training steps; self-training takes as many for its teacher and for every round
    batch_size: int = 8  # images a step, of each domain, over all processes

    optimizer: str = "sgd"  # sgd, adam or rmsprop
    lr: float | None = None  # initial learning rate; None takes the optimiser's own (see learning_rate)
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # on every parameter
    power: float = 0.9  # of the poly schedule: lr * (1 - step / steps) ** power, a step at a time

    discriminator: str = "dsc"  # fcd (convolutions), dsc (depthwise separable ones), or none in self-training
    discriminator_width: int = 64  # channels of its first layer
    discriminator_optimizer: str = "adam"  # sgd, adam or rmsprop
    discriminator_lr: float | None = None  # its initial learning rate; None takes its optimiser's own
    lambda_adv: float = 1e-3  # weight of the adversarial loss (the report, Eq. 4)
    batch_norm: str = "target"  # joint: one pass for both domains; else one each, and running averages of both
    # (separate), of the target alone, or of the source alone

    strategy: str = "dars"  # which predictions to believe: a name of minida.labeling.STRATEGIES, or FILE.py:CLASS
    ratio: tuple[float, float] = (0.5, 0.5)  # α: share of the pixels that st, cbst, da, dars label; first, last round
    cap: float = 0.9  # confidence from which mpt believes whatever the median is
    temperature: float = 1.0  # of the teacher's softmax
    flip: bool = False  # average the teacher's predictions over an image and its mirror image
    rounds: int = 1  # times that the teacher labels and a student is trained; each takes `steps`
    strength: tuple[float, float] = (1.0, 1.0)  # β: scales the augmentation below, in the first and the last round
    mix: float = 1.0  # pseudo-labelled images for each labelled one; 2 * batch_size a step, rounded to whole images
    teacher: str | None = None  # a run folder or model file that labels in the first round, of any backbone
    student: str = "continue"  # a round's student starts from the teacher's weights, or from scratch: the initial ones;
    # mpl's only one from scratch, or as "adversarial": from init, where its teacher starts too

    alpha: tuple[float, float] = (0.2, 0.0)  # u2pl: share of the target's pixels that is unreliable; at first, at last
    lambda_c: float = 0.1  # weight of U2PL's contrastive loss; 0 leaves its unreliable pixels unused
    embedding: int = 64  # width of the representations that it compares
    bank: int = 2000  # of those of each class, how many its memory bank holds
    cutmix: bool = True  # paste half of another target image into each one that the student sees

    feedback: str = "meta"  # mpl: what the student tells its teacher, its labelled loss's change; product, or none
    growth: float = 1.0  # of "product": α = progress ** growth, from 0 to 1
    consistency: str = "noise"  # mpl: how images are disturbed that the teacher shall not mind; cutmix, or none

    centroids: float = 0.0  # share of the labelled and pseudo-labelled images drawn by centroid sampling
    crops: str = "baseline"  # coarse2fine, fine2coarse, or one with "+": smaller crops in larger batches, fewer steps
    warmup: float = 0.0  # share of the images that such a schedule shows at the full crop first
    scale: tuple[float, float] = (1.0, 1.6)  # range of the random scale before the crop
    jitter: float = 0.25  # brightness, contrast and saturation change by up to this factor
    blur: float = 0.1  # probability of a Gaussian blur
    noise: float = 0.0  # largest deviation of Gaussian noise, as a share of the full range

    precision: str = "auto"  # float32, bfloat16 (autocast), or auto: bfloat16 where the processor is faster with it
    device: str = "auto"  # cpu, cuda, or auto: a GPU where there is one
    workers: int = 0  # processes that load data beside the training
    log_every: int = 10  # steps between two records of history.jsonl
    eval_every: int = 500  # steps between two evaluations on the val split (never used to choose a model)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not _is_a(field.type, getattr(self, field.name)):
                said = " ".join(repr(getattr(self, field.name)).split())[:200]
                raise ValueError(f"{field.name} is {said}; expected {getattr(field.type, '__name__', field.type)}")
        checks = (
            ("protocol", self.protocol in ("uda", "ssl"), "uda or ssl"),
            ("optimizer", self.optimizer in LEARNING_RATES, "one of " + ", ".join(LEARNING_RATES)),
            ("precision", self.precision in ("auto", "float32", "bfloat16"), "auto, float32 or bfloat16"),
            ("size", len(self.size) == 2 and min(self.size) >= 32, "height and width, at least 32 each"),
            ("seed", self.seed >= 0, "a whole number from 0 up"),
            ("steps", self.steps >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 2, "2 or more (batch norm)"),
            ("momentum", 0 <= self.momentum < 1, "a number from 0 to below 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("power", self.power >= 0, "0 or more"),
            ("discriminator", self.discriminator in ("fcd", "dsc", "none"), "fcd or dsc (or none in self-training)"),
            ("discriminator_width", self.discriminator_width >= 1, "1 or more"),
            ("discriminator_optimizer", self.discriminator_optimizer in DISCRIMINATOR_RATES, "sgd, adam or rmsprop"),
            ("discriminator_lr", self.discriminator_lr is None or self.discriminator_lr > 0, "a positive number"),
            ("lambda_adv", 0 <= self.lambda_adv < float("inf"), "0 or more, and finite"),
            ("batch_norm", self.batch_norm in BATCH_NORMS, ", ".join(BATCH_NORMS)),
            ("ratio", len(self.ratio) == 2 and 0 <= min(self.ratio) <= max(self.ratio) <= 1, "shares, such as 0.2,0.5"),
            ("cap", 0 <= self.cap <= 1, "a confidence from 0 to 1"),
            ("temperature", 0 < self.temperature < float("inf"), "a positive number"),
            ("rounds", self.rounds >= 1, "1 or more"),
            ("rounds", self.rounds <= 1000, "1000 or fewer"),
            ("strength", len(self.strength) == 2 and min(self.strength) >= 0, "0 or more, or two such as 1,1.5"),
            ("mix", 0 < self.mix < float("inf"), "a positive number, such as 3"),
            ("scale", len(self.scale) == 2 and 0 < min(self.scale) <= max(self.scale), "two positive numbers: 0.5,2"),
            ("centroids", 0 <= self.centroids <= 1, "a share from 0 to 1"),
            ("crops", self.crops in CROPS, ", ".join(CROPS)),
            ("warmup", 0 <= self.warmup < 1, "a share, from 0 to below 1"),
            ("warmup", not self.warmup or self.crops != "baseline", "0 without a crop schedule: give crops too"),
            ("alpha", len(self.alpha) == 2 and 0 <= min(self.alpha) <= max(self.alpha) <= 1, "shares, such as 0.2,0"),
            ("lambda_c", 0 <= self.lambda_c < float("inf"), "0 or more, and finite"),
            ("embedding", self.embedding >= 1, "1 or more"),
            ("bank", self.bank >= 1, "1 or more"),
            ("student", self.student in ("scratch", "continue", "adversarial"), "scratch or continue"),
            ("feedback", self.feedback in ("meta", "product", "none"), "meta, product or none"),
            ("growth", 0 < self.growth < float("inf"), "a positive number"),
            ("consistency", self.consistency in ("noise", "cutmix", "none"), "noise, cutmix or none"),
            ("lr", self.lr is None or self.lr > 0, "a positive number"),
            ("workers", self.workers >= 0, "0 or more"),
            ("log_every", self.log_every >= 1, "1 or more"),
            ("eval_every", self.eval_every >= 1, "1 or more"),
            ("init", self.init is None or self.weights is None, "None where weights are given: choose one of both"),
            ("target", self.target is None or self.protocol == "uda", "none: ssl takes the rest of the source"),
            ("labeled", 0 < self.labeled_fraction <= 1, "a share in (0, 1], such as 1/8"),
        )
        for name, fine, expected in checks:
            if not fine:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected {expected}")
        for field in dataclasses.fields(self):
            if not _is_finite(getattr(self, field.name)):
                raise ValueError(f"{field.name} is {getattr(self, field.name)!r}; expected finite numbers")
        if self.protocol == "ssl" and self.labeled_fraction == 1:
            raise ValueError("protocol ssl leaves no unlabelled image with labeled='1'; give a share such as 1/8")

    @property
    def learning_rate(self) -> float:
        """The initial learning rate: what was given, else the optimiser's own."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def discriminator_learning_rate(self) -> float:
        """The discriminator's initial learning rate: what was given, else its optimiser's own."""
        own = DISCRIMINATOR_RATES[self.discriminator_optimizer]
        return own if self.discriminator_lr is None else self.discriminator_lr

    @property
    def labeled_fraction(self) -> float:
        try:
            return float(Fraction(str(self.labeled)))
        except (ValueError, ArithmeticError):
            raise ValueError(f"labeled is {self.labeled!r}; expected a share such as 1/8 or 0.125") from None

    @property
    def evaluated(self) -> str:
        """The data set that evaluation is on: the target, where there is one."""
        return self.target or self.source


def _is_a(kind: Any, value: Any) -> bool:
    """Whether a value is of a field's type; a whole number is a number too, and a pair may have any length here."""
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_a(get_args(kind)[0], item) for item in value)
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return not {int, float}.isdisjoint(kinds) and abs(value) < 2**63
    return isinstance(value, kinds)


def _is_finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or isfinite(value)


LEARNING_RATES = {"sgd": 8e-2, "adam": 1e-2, "rmsprop": 1e-2}  # from scratch; the best tried on the tune split
# Also tried there, at λ = 0.01 and with one seed, where they differed by less than seeds do.
DISCRIMINATOR_RATES = {"sgd": 1.0, "adam": 1e-3, "rmsprop": 1e-3}
CROPS = "baseline", "coarse2fine", "fine2coarse", "coarse2fine+", "fine2coarse+"  # see minida.schedule
BATCH_NORMS = "joint", "separate", "source", "target"  # see minida.methods.base.Method.outputs

_PHOTO = {"scale": (0.5, 2.0), "jitter": 0.4, "blur": 0.2, "noise": 0.03}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"backbone": "slim", "size": (64, 128), "steps": 4, "batch_size": 2, "log_every": 1, "eval_every": 4},
    "notebook": {"backbone": "slim", "size": (96, 192), "steps": 600, "eval_every": 200},
    "cpu": {},
    "gpu": {  # the report's protocol: 50 epochs of 500 images in batches of 4 at 1024x512
        "size": (512, 1024), "steps": 6250, "batch_size": 4, "lr": 2.5e-2,
        "discriminator_lr": 1e-4, "batch_norm": "separate", "student": "scratch",
        "embedding": 256, "bank": 30000, "workers": 8, "log_every": 25, "eval_every": 1250,
        **_PHOTO,
    },
}  # fmt: skip


def _suggest(what: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "choose one of: " + ", ".join(known)
    return f"unknown {what} {name!r}; {hint}"


def make_config(method: str, preset: str = "cpu", **overrides: Any) -> Config:
    """A preset with some fields replaced. `None` stands for "not given", except where a field's default is None.

    Raises:
        ValueError: an unknown preset or field (with the nearest known name), or a value out of range.
    """
    if preset not in PRESETS:
        raise ValueError(_suggest("preset", preset, list(PRESETS)))
    known = [field.name for field in dataclasses.fields(Config)]
    for name in overrides:
        if name not in known:
            raise ValueError(_suggest("option", name, known))
    given = {key: value for key, value in overrides.items() if value is not None}
    given |= {key: str(value) for key, value in given.items() if isinstance(value, Path)}
    values = {**PRESETS[preset], **given}
    for optimizer, rate in (("optimizer", "lr"), ("discriminator_optimizer", "discriminator_lr")):
        if rate not in given and values.get(optimizer, getattr(Config, optimizer)) != getattr(Config, optimizer):
            values.pop(rate, None)  # a preset's rate is its own optimiser's
    for pair in ("size", "scale", "ratio", "strength", "alpha"):
        if pair in values:
            value = values[pair]
            values[pair] = (value, value) if isinstance(value, int | float) else value
            values[pair] = tuple(values[pair]) if isinstance(values[pair], list) else values[pair]
    return Config(method=method, preset=preset, **values)
