"""What `minida train` and `minida label` can be given: each option's type and its line of help."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from minida.config import CROPS, LEARNING_RATES, PRESETS
from minida.labeling import STRATEGIES
from minida.methods import METHODS


def size(text: str) -> tuple[int, int]:
    """ "96x192" -> (96, 192), height first."""
    try:
        height, width = map(int, text.lower().split("x"))
        if min(height, width) < 1:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected HEIGHTxWIDTH, such as 96x192") from None
    return height, width


def pair(text: str) -> tuple[float, float]:
    """ "0.5,2" -> (0.5, 2.0)."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range; expected LOW,HIGH, such as 0.5,2") from None
    return low, high


def shares(text: str) -> tuple[float, float]:
    """ "0.2,0.5" -> (0.2, 0.5); "0.5" -> (0.5, 0.5)."""
    return pair(text if "," in text else f"{text},{text}")


TRAIN: dict[str, tuple[Callable | None, str]] = {
    "source": (str, "labelled data set: minicity:game, minicity:real; gta5:, cityscapes:, camvid: or folder:DIR"),
    "target": (str, "unlabelled data set; the evaluation is on its val split, else on the source's"),
    "protocol": (str, "uda: source and target; ssl: a labelled share of the source, the rest without labels"),
    "labeled": (str, "share of the source whose labels are used, such as 1/8"),
    "backbone": (str, "resnet18, resnet101 or slim"),
    "weights": (str, "initial weights of the backbone: imagenet, or a state dict's file"),
    "init": (str, "initial weights of the whole segmentation network: a run folder or a model.safetensors"),
    "size": (size, "height and width of a crop and of an evaluated image, such as 96x192"),
    "steps": (int, "training steps"),
    "batch_size": (int, "images a step, of each domain, over all processes"),
    "optimizer": (str, ", ".join(LEARNING_RATES)),
    "lr": (float, "initial learning rate (default: the optimiser's own)"),
    "discriminator": (str, "fcd, or dsc: depthwise separable, 14 times lighter; none (self-training alone)"),
    "discriminator_width": (int, "channels of its first layer"),
    "discriminator_optimizer": (str, ", ".join(LEARNING_RATES)),
    "discriminator_lr": (float, "its initial learning rate (default: its optimiser's own)"),
    "lambda_adv": (float, "weight of the adversarial loss"),
    "batch_norm": (str, "target, source, separate or joint: whose images set batch norm's running averages"),
    "strategy": (str, f"which predictions to believe: {', '.join(STRATEGIES)}, or my_file.py:MyStrategy"),
    "ratio": (shares, "share of the pixels to label, such as 0.5, or of the first and the last round: 0.2,0.5"),
    "cap": (float, "confidence from which mpt believes whatever the median is"),
    "temperature": (float, "of the teacher's softmax; above 1 it is less sure"),
    "flip": (bool, "average the teacher's predictions over an image and its mirror image"),
    "rounds": (int, "times that the teacher labels and a student is trained"),
    "strength": (shares, "scales the augmentation, such as 1, or in the first and the last round: 1,1.5"),
    "mix": (float, "pseudo-labelled images for each labelled one, such as 3"),
    "teacher": (str, "a run folder or a model.safetensors that labels in the first round, of any backbone"),
    "student": (str, "a round's student starts from scratch, or continues the teacher; mpl's: scratch or adversarial"),
    "feedback": (str, "what mpl's student tells its teacher: meta, product or none"),
    "growth": (float, "mpl, product: its weight grows as progress to this power"),
    "consistency": (str, "mpl: noise, cutmix or none: what the teacher shall not mind"),
    "alpha": (shares, "share of the target's pixels that u2pl finds unreliable, at first and at last: 0.2,0"),
    "lambda_c": (float, "weight of u2pl's contrastive loss; 0 leaves unreliable pixels unused"),
    "embedding": (int, "width of the representations that it compares"),
    "bank": (int, "of those of each class, how many its memory bank holds"),
    "cutmix": (bool, "paste half of another target image into each one that u2pl's student sees"),
    "centroids": (float, "share of the labelled images drawn by centroid sampling, such as 0.5"),
    "crops": (str, ", ".join(CROPS) + ": the order of crop sizes"),
    "warmup": (float, "share of the images shown at the full crop before such a schedule"),
    "scale": (pair, "range of the random scale before the crop, such as 0.5,2"),
    "jitter": (float, "brightness, contrast and saturation change by up to this factor"),
    "blur": (float, "probability of a Gaussian blur"),
    "noise": (float, "largest deviation of Gaussian noise, as a share of the full range"),
    "seed": (int, "of the weights, the order of the images and every augmentation"),
    "precision": (str, "float32, bfloat16 or auto"),
    "device": (str, "cpu, cuda or auto"),
    "workers": (int, "processes that load data beside the training"),
    "eval_every": (int, "steps between two evaluations"),
}


LABEL: dict[str, tuple[Callable, str]] = {
    "ratio": (float, "share of the pixels to label, of st, cbst, da, dars, such as 0.2"),
    "threshold": (float, "confidence from which st believes, instead of a ratio"),
    "cap": (float, "confidence from which mpt believes whatever the median is"),
    "alpha0": (float, "share of the pixels that entropy drops"),
    "temperature": (float, "of the softmax; above 1 it is less sure"),
    "seed": (int, "of the random choice of dars"),
}


def add_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Let a verb take these of a training's options."""
    for name in names:
        kind, text = TRAIN[name]
        form = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        parser.add_argument("--" + name.replace("_", "-"), help=text, **form)


class _Strict(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise ValueError(" ".join(message.splitlines()))


def parse_training(words: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    """What stands behind `minida train`: method, preset (else "cpu"), and the options that were given.

    Raises: ValueError for words that it would not take.
    """
    parser = _Strict(add_help=False, allow_abbrev=False)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    add_options(parser, list(TRAIN))
    given = {key: value for key, value in vars(parser.parse_args(list(words))).items() if value is not None}
    return given.pop("method"), given.pop("preset"), given
