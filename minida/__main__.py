"""The command line: `python -m minida VERB …`, also installed as `minida`."""

import argparse
import dataclasses
import difflib
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import minida
from minida.config import LEARNING_RATES, PRESETS
from minida.data import inspect
from minida.data import open as open_data
from minida.device import describe_device, faster_in_bfloat16, resolve_device, to_device
from minida.inference import list_images, predict_files
from minida.methods import METHODS
from minida.storage import read_metadata, to_json


class Parser(argparse.ArgumentParser):
    """argparse that answers a mistyped option with the nearest one."""

    def error(self, message: str) -> None:
        unknown = [word for word in message.split() if word.startswith("--")]
        if message.startswith("unrecognized") and unknown:
            known = [option for parser in _family(self) for option in parser._option_string_actions]
            close = difflib.get_close_matches(unknown[0], known, n=1)
            message += f"; did you mean {close[0]}?" if close else f"; see {self.prog} --help"
        self.exit(2, f"{self.prog}: {message}\n")


def _family(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its verbs: what a verb does not know is reported by the parser above it."""
    tables = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(verb for table in tables for verb in table.values())]


def size(text: str) -> tuple[int, int]:
    """ "96x192" -> (96, 192), height first."""
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected HEIGHTxWIDTH, such as 96x192") from None
    return height, width


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train a method into a run folder."""
    given = {key: value for key, value in vars(options).items() if key in TRAIN and value is not None}
    preset = options.preset or ("gpu" if resolve_device(options.device or "auto").type == "cuda" else "cpu")
    result = minida.train(
        options.method, preset, out=options.out, resume=options.resume, progress=not options.json, **given
    )
    print(f"{result.report}\nrun folder: {result.folder}", file=sys.stderr if options.json else sys.stdout)
    return json.loads((result.folder / "result.json").read_text(encoding="utf-8"))


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Score a model on a labelled data set."""
    metadata = read_metadata(options.model)
    dataset = open_data(options.data, options.split, options.size or metadata.size)
    model = to_device(minida.load(options.model), resolve_device("auto"))
    report = minida.evaluate(model, dataset, progress=not options.json)
    if not options.json:
        print(report)
        for name, value in report.iou.items():
            print(f"  {name:14s} {100 * value:5.1f}")
    return dataclasses.asdict(report)


def predict(options: argparse.Namespace) -> dict[str, Any]:
    """Label images: palette PNGs and overlays."""
    metadata = read_metadata(options.model)
    model = to_device(minida.load(options.model), resolve_device("auto"))
    files = list_images(options.images)
    written = predict_files(model, files, Path(options.out), options.size or metadata.size, not options.json)
    if not options.json:
        print(f"{len(written)} label maps and overlays in {options.out}")
    return {"images": len(written), "out": str(options.out), "size": options.size or metadata.size}


def info(options: argparse.Namespace) -> dict[str, Any]:
    """Say what is installed and, with --data, all that is wrong with a data set."""
    device = resolve_device("auto")
    found: dict[str, Any] = {"python": sys.version.split()[0]}
    for package in ("minida", "torch", "torchvision", "numpy", "pillow", "matplotlib", "ipywidgets", "jupyterlab"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["device"] = describe_device(device)
    found["bfloat16"] = "yes" if faster_in_bfloat16(device) else "no, float32"
    found["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "not set")
    if options.data:
        found["data"], found["problems"] = options.data, inspect(options.data)
        if not found["problems"]:
            dataset = open_data(options.data, options.split)
            found["images"] = f"{len(dataset)} in {options.split}"
            found["classes"] = ", ".join(dataset.table.names[c] for c in dataset.classes)
    if not options.json:
        for name, value in found.items():
            lines = value if isinstance(value, list) else [value]
            print(f"{name:16s} {lines[0] if lines else 'none'}", *lines[1:], sep="\n" + 17 * " " if lines[1:] else " ")
    return found


def pair(text: str) -> tuple[float, float]:
    """ "0.5,2" -> (0.5, 2.0)."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range; expected LOW,HIGH, such as 0.5,2") from None
    return low, high


TRAIN: dict[str, tuple[Callable | None, str]] = {
    "source": (str, "labelled data set: minicity:game, minicity:real, camvid:DIR, folder:DIR"),
    "target": (str, "unlabelled data set; the evaluation is on its val split, else on the source's"),
    "protocol": (str, "uda: source and target; ssl: a labelled share of the source, the rest without labels"),
    "labeled": (str, "share of the source whose labels are used, such as 1/8"),
    "backbone": (str, "resnet18, resnet101 or slim"),
    "weights": (str, "initial weights of the backbone: imagenet, or a state dict's file"),
    "size": (size, "height and width of a crop and of an evaluated image, such as 96x192"),
    "steps": (int, "training steps"),
    "batch_size": (int, "images a step"),
    "optimizer": (str, ", ".join(LEARNING_RATES)),
    "lr": (float, "initial learning rate (default: the optimiser's own)"),
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


def parser() -> argparse.ArgumentParser:
    """The whole command line: one sub-parser a verb, each with an example."""
    top = Parser(prog="minida", description=minida.__doc__)
    top.add_argument("--version", action="version", version=minida.__version__)
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=Parser)

    def verb(run: Callable, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            run.__name__, allow_abbrev=False, help=run.__doc__, description=run.__doc__, epilog=f"example: {example}"
        )
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print one JSON object, for machines")
        return sub

    sub = verb(train, "minida train supervised --source minicity:real --out runs/oracle")
    sub.add_argument("method", choices=METHODS, metavar="METHOD", help=", ".join(METHODS))
    sub.add_argument("--preset", choices=PRESETS, help="default: gpu where there is one, else cpu")
    for name, (kind, text) in TRAIN.items():
        sub.add_argument("--" + name.replace("_", "-"), type=kind, help=text)
    sub.add_argument("--out", help="run folder; default: a new one under runs/")
    sub.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")

    sub = verb(evaluate, "minida evaluate runs/oracle --data minicity:real")
    sub.add_argument("model", metavar="MODEL", help="a run folder or a model.safetensors")
    sub.add_argument("--data", required=True, metavar="SPEC")
    sub.add_argument("--split", default="val")
    sub.add_argument("--size", type=size, help="default: the size it was trained at")

    sub = verb(predict, "minida predict runs/oracle photos/ --out predictions")
    sub.add_argument("model", metavar="MODEL", help="a run folder or a model.safetensors")
    sub.add_argument("images", nargs="+", metavar="IMAGE|FOLDER")
    sub.add_argument("--out", required=True, metavar="DIR")
    sub.add_argument("--size", type=size, help="size the network sees; default: the size it was trained at")

    sub = verb(info, "minida info --data camvid:DIR")
    sub.add_argument("--data", metavar="SPEC")
    sub.add_argument("--split", default="train")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 when it did its work, 2 for a user's mistake, 130 when stopped."""
    options = parser().parse_args(arguments)
    try:
        answer = options.run(options)
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"minida: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"minida: {stop or 'stopped'}", file=sys.stderr)
        return 130
    if options.json:
        print(to_json(answer))
    return 1 if answer.get("problems") else 0


if __name__ == "__main__":
    sys.exit(main())
