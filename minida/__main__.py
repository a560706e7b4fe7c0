"""The command line: `python -m minida VERB …`, also installed as `minida`."""

import argparse
import dataclasses
import difflib
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import minida
from minida import distributed
from minida.config import LEARNING_RATES, PRESETS
from minida.data import inspect
from minida.data import open as open_data
from minida.device import describe_device, faster_in_bfloat16, resolve_device, to_device
from minida.export import for_inference, write_onnx
from minida.inference import list_files, predict_files, read_pictures, refuse_overwriting
from minida.latency import MEASURED, latency, table
from minida.methods import METHODS
from minida.models.bisenet import BACKBONES
from minida.storage import read_metadata, to_json


class Parser(argparse.ArgumentParser):
    """argparse that answers a mistyped option with the nearest one."""

    def error(self, message: str) -> None:
        unknown = [word for word in message.split() if word.startswith("--")]
        if message.startswith("unrecognized") and unknown:
            known = [option for parser in _family(self) for option in parser._option_string_actions]
            close = difflib.get_close_matches(unknown[0], known, n=1)
            message += f"; did you mean {close[0]}?" if close else f"; see {self.prog} --help"
        first = os.environ.get("RANK", "0") == "0"  # of several processes that torchrun started, all with this mistake
        self.exit(2, f"{self.prog}: {message}\n" if first else None)


def _family(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its verbs: what a verb does not know is reported by the parser above it."""
    tables = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(verb for table in tables for verb in table.values())]


def size(text: str) -> tuple[int, int]:
    """ "96x192" -> (96, 192), height first."""
    try:
        height, width = map(int, text.lower().split("x"))
        if min(height, width) < 1:
            raise ValueError
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
    if distributed.rank() > 0:  # the first process speaks
        return {}
    print(f"{result.report}\nrun folder: {result.folder}", file=sys.stderr if options.json else sys.stdout)
    return json.loads((result.folder / "result.json").read_text(encoding="utf-8"))


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Score a model on a labelled data set."""
    metadata = read_metadata(options.model)
    dataset = open_data(options.data, options.split, options.size or metadata.size)
    model = to_device(minida.load(options.model), resolve_device("auto"))
    report = minida.evaluate(model, dataset, progress=not options.json)
    if not options.json and distributed.rank() == 0:
        print(report)
        for name, value in report.iou.items():
            print(f"  {name:14s} {100 * value:5.1f}")
    return dataclasses.asdict(report)


def predict(options: argparse.Namespace) -> dict[str, Any]:
    """Label images and videos: palette PNGs and overlays."""
    shown, files = options.size or read_metadata(options.model).size, list_files(options.images)
    refuse_overwriting(files, Path(options.out))
    model = for_inference(minida.load(options.model), resolve_device("auto"))
    found = predict_files(model, read_pictures(files), Path(options.out), shown, not options.json)
    if not options.json:
        rates = (
            f"{found['images_per_second']:.1f} images a second, {found['network_per_second']:.1f} by the network alone"
        )
        print(f"{found['images']} label maps and overlays in {options.out}: {rates}")
    return {**found, "out": str(options.out), "size": shown}


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """Time networks here, as they are deployed and as plain PyTorch, and say what work and memory they are."""
    unknown = [name for name in options.networks if name not in BACKBONES and not Path(name).exists()]
    if unknown:
        raise ValueError(f"{unknown[0]}: no such network; expected a run folder, a file, or {', '.join(BACKBONES)}")
    models = {name: minida.BiSeNet(19, name) if name in BACKBONES else minida.load(name) for name in options.networks}
    device, rows = resolve_device("auto"), []
    cases = list(itertools.product(models, options.size, options.batch))
    for name, shown, batch in tqdm(cases, "bench", unit="row", leave=False, disable=options.json):
        trained = None if name in BACKBONES else name
        rows.append(dataclasses.asdict(latency(models[name], shown, batch, options.repeats, device, trained)))
    if not options.json:
        print(table(rows), "", MEASURED, sep="\n")
    sizes = " ".join(f"{height}x{width}" for height, width in options.size)
    command = f"minida bench {' '.join(options.networks)} --size {sizes} --batch {' '.join(map(str, options.batch))}"
    return {"command": command, "measured": MEASURED, "records": rows}


def export(options: argparse.Namespace) -> dict[str, Any]:
    """Write a network as an ONNX file; where onnxruntime is installed, only if it gives PyTorch's labels."""
    metadata, model = read_metadata(options.model), minida.load(options.model)
    shown, image = options.size or metadata.size, None
    if options.image:
        image = next(read_pictures(list_files([options.image])))[1]
    found = write_onnx(model, metadata, Path(options.onnx), shown, image)
    if not options.json:
        print(f"{options.onnx}: {found['bytes'] / 1e6:.1f} MB, for images of {shown[0]}x{shown[1]}")
        if labels := found["labels"]:
            print("{differ} of {pixels} labels differ from PyTorch's ({near_ties} near ties)".format(**labels))
            print("a pass takes", ", ".join(f"{ms:.1f} ms {form}" for form, ms in found["ms"].items()))
        else:
            print("NOT CHECKED: onnxruntime is not installed (pip install onnxruntime)")
    return {"file": options.onnx, "size": shown, **found}


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
    "discriminator": (str, "fcd, or dsc: depthwise separable, 14 times lighter"),
    "discriminator_width": (int, "channels of its first layer"),
    "discriminator_optimizer": (str, ", ".join(LEARNING_RATES)),
    "discriminator_lr": (float, "its initial learning rate (default: its optimiser's own)"),
    "lambda_adv": (float, "weight of the adversarial loss"),
    "batch_norm": (str, "target, source, separate or joint: whose images set batch norm's running averages"),
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

    sub = verb(predict, "minida predict runs/oracle photos/ drive.mp4 --out predictions")
    sub.add_argument("model", metavar="MODEL", help="a run folder or a model.safetensors")
    sub.add_argument("images", nargs="+", metavar="IMAGE|FOLDER|VIDEO")
    sub.add_argument("--out", required=True, metavar="DIR")
    sub.add_argument("--size", type=size, help="size the network sees; default: the size it was trained at")

    sub = verb(bench, "minida bench runs/oracle resnet18 --size 96x192 512x1024")
    sub.add_argument("networks", nargs="+", metavar="MODEL|BACKBONE", help=f"a run folder, or {', '.join(BACKBONES)}")
    sub.add_argument("--size", type=size, nargs="+", default=[(512, 1024)], help="sizes to time; default: 512x1024")
    sub.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="images a pass; default: 1 8")
    sub.add_argument("--repeats", type=int, default=30, help="runs of a row at most; 5 at least")

    sub = verb(export, "minida export runs/oracle --onnx oracle.onnx")
    sub.add_argument("model", metavar="MODEL", help="a run folder or a model.safetensors")
    sub.add_argument("--onnx", required=True, metavar="FILE")
    sub.add_argument("--size", type=size, help="size of every image; default: the size it was trained at")
    sub.add_argument("--image", metavar="FILE", help="to check it on; default: a street of MiniCity")

    sub = verb(info, "minida info --data camvid:DIR")
    sub.add_argument("--data", metavar="SPEC")
    sub.add_argument("--split", default="train")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 when it did its work, 2 for a user's mistake, 130 when stopped."""
    options = parser().parse_args(arguments)
    try:
        with distributed.process_group():
            answer = options.run(options)
            if options.json and distributed.rank() == 0:
                print(to_json(answer))
    except (ValueError, FloatingPointError, OSError) as error:
        print("minida:", error, *getattr(error, "__notes__", []), file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # CPU and GPU have words of their own
            raise
        print("minida: not enough memory; choose a smaller --batch-size or --size", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"minida: {stop or 'stopped'}", file=sys.stderr)
        return 130
    return 1 if answer.get("problems") else 0


if __name__ == "__main__":
    sys.exit(main())
