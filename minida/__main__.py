"""The command line: `python -m minida VERB …`, also installed as `minida`."""

import argparse
import dataclasses
import difflib
import itertools
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import minida
from minida import compare as ladder
from minida import distributed
from minida.config import PRESETS
from minida.data import inspect
from minida.data import open as open_data
from minida.device import describe_device, faster_in_bfloat16, resolve_device, to_device
from minida.export import for_inference, write_onnx
from minida.inference import label_dataset, list_files, predict_files, read_pictures, refuse_overwriting
from minida.labeling import STRATEGIES, make_strategy
from minida.latency import MEASURED, latency, table
from minida.methods import METHODS
from minida.models.bisenet import BACKBONES
from minida.options import LABEL, TRAIN, add_options, size
from minida.storage import read_metadata, to_json

LADDER = (  # what `compare` passes on to every training
    "source", "target", "labeled", "backbone", "weights", "size", "steps", "batch_size", "workers", "precision",
    "device",
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """argparse that answers a mistyped option with the nearest one."""

    def error(self, message: str) -> None:
        unknown = [word for word in message.split() if word.startswith("--")]
        if message.startswith("unrecognized") and unknown:
            known = [option for parser in _family(self) for option in parser._option_string_actions]
            close = difflib.get_close_matches(unknown[0], known, n=1)
            message += f"; did you mean {close[0]}?" if close else f"; see {self.prog} --help"
        message = " ".join(message.splitlines())  # a word may hold a newline
        first = os.environ.get("RANK", "0") == "0"  # of several processes that torchrun started, all with this mistake
        self.exit(2, f"{self.prog}: {message}\n" if first else None)


def _family(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its verbs: what a verb does not know is reported by the parser above it."""
    tables = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(verb for table in tables for verb in table.values())]


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


def label(options: argparse.Namespace) -> dict[str, Any]:
    """Label a data set with what a network is sure of, by a strategy, and say how good that is."""
    metadata = read_metadata(options.model)
    wanted = [(options.data, options.split), (options.prior, "train")][: 1 + bool(options.prior)]
    dataset, *labelled = (open_data(spec, split, options.size or metadata.size) for spec, split in wanted)
    for opened in (dataset, *labelled):
        if opened.table.names != metadata.class_names:
            raise ValueError(f"{opened.spec} has other classes than {options.model}; expected the same names")
    prior = labelled[0].class_frequency() if labelled else metadata.class_frequency
    given = {key: getattr(options, key) for key in LABEL if getattr(options, key) is not None}
    asked = {"num_classes": metadata.num_classes, "class_frequency": prior, **given}
    strategy = make_strategy(options.strategy, frozenset(given), **asked)
    model, out = to_device(minida.load(options.model), resolve_device("auto")), Path(options.out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} is no empty folder; choose another --out")
    found = label_dataset(model, strategy, dataset, prior, out, options.flip, not options.json)
    if not options.json and distributed.rank() == 0:
        right = f", {100 * found['accuracy']:.1f} % of those right" if "accuracy" in found else ""
        words = f"{100 * found['coverage']:.1f} % of the pixels labelled{right}; KL {found['kl']:.3f} to the prior"
        print(f"{found['images']} label maps and quality.json in {out}: {words}")
        for name, row in found["classes"].items():
            print(f"  {name:14s}", *(f"{key} {100 * value:5.1f}" for key, value in row.items()))
    return found


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


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train all methods under one protocol over seeds; a table with intervals, and figures. Finished runs are kept."""
    from minida.compare.pictures import save  # matplotlib: no other verb waits for it

    settings = {key: getattr(options, key) for key in LADDER if getattr(options, key) is not None}
    protocols = [options.protocol] if options.protocol else list(ladder.LADDERS)
    preset = options.preset or ("gpu" if resolve_device(options.device or "auto").type == "cuda" else "cpu")
    planned = ladder.plan(options.methods, protocols, options.seeds, preset, settings)
    if options.plan:
        known = ladder.open_store(options.out, options.known).records
        found = [{"name": one.name, "known": one.key in known, "command": one.command} for one in planned]
        if not options.json:
            print(*(f"{'known  ' if row['known'] else 'to run '} {row['command']}" for row in found), sep="\n")
        return {"runs": found}
    command = shlex.join(["minida", "compare", *options.words])
    records, store = ladder.climb(planned, options.out, options.known, not options.json, command)
    files = save(planned, records, store, options.out)
    if not options.json:
        tables = (f"{name}\n\n{ladder.markdown(ladder.rows(records, name, preset), name)}\n" for name in protocols)
        print(*tables, *(f"written: {file}" for file in files), sep="\n")
    return {"out": str(options.out), "files": [str(file) for file in files], "runs": records}


def assignment(options: argparse.Namespace) -> dict[str, Any]:
    """Release, check or grade an assignment, or write its feedback."""
    from minida.classroom.command import run  # with Jupyter's packages

    return run(options)


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
    add_options(sub, list(TRAIN))
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

    sub = verb(label, "minida label runs/oracle --data camvid:DIR --strategy dars --ratio 0.2 --out pseudo")
    sub.add_argument("model", metavar="MODEL", help="a run folder or a model.safetensors")
    sub.add_argument("--data", required=True, metavar="SPEC")
    sub.add_argument("--split", default="train")
    sub.add_argument("--strategy", required=True, help=f"{', '.join(STRATEGIES)}, or my_file.py:MyStrategy")
    for name, (kind, text) in LABEL.items():
        sub.add_argument("--" + name, type=kind, help=text)
    sub.add_argument("--flip", action="store_true", help="average over an image and its mirror image")
    sub.add_argument("--prior", metavar="SPEC", help="labelled data of dars; default: what the model was trained on")
    sub.add_argument("--size", type=size, help="default: the size it was trained at")
    sub.add_argument("--out", required=True, metavar="DIR")

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

    sub = verb(compare, "minida compare --preset notebook --protocol uda --methods dsc dsc-dars u2pl --out runs/ladder")
    rungs = {kind: [n for n, rung in found.items() if rung.start] for kind, found in ladder.LADDERS.items()}
    words = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in rungs.items())
    sub.add_argument("--methods", nargs="+", default=[], metavar="RUNG", help=f"default: all. {words}")
    sub.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, …; default: 3")
    sub.add_argument("--preset", choices=PRESETS, help="default: gpu where there is one, else cpu")
    sub.add_argument("--protocol", choices=list(ladder.LADDERS), help="default: both")
    add_options(sub, LADDER)
    sub.add_argument("--known", nargs="+", default=[], metavar="PATH", help="results files and folders of run folders")
    sub.add_argument("--out", default="runs/ladder", metavar="DIR", help="default: runs/ladder")
    sub.add_argument("--plan", action="store_true", help="say what would be trained, and train nothing")

    sub = verb(assignment, "minida assignment grade 03-pseudo-labels --submissions handed-in --out marks")
    sub.add_argument(
        "task", choices=("release", "check", "grade", "feedback"), help="release and grade are a teacher's"
    )
    sub.add_argument("name", metavar="NAME|FILE", help="an assignment; for check, the notebook to look at")
    sub.add_argument("--source", metavar="DIR", help="the assignments' sources; default: this project's")
    sub.add_argument("--submissions", metavar="DIR", help="DIR/STUDENT/NAME/NAME.ipynb or DIR/STUDENT.ipynb")
    sub.add_argument("--out", metavar="DIR", help="default: build/release, or build/marks/NAME")
    sub.add_argument("--seconds", type=int, default=60, help="of one cell or one answer; default: 60")

    sub = verb(info, "minida info --data camvid:DIR")
    sub.add_argument("--data", metavar="SPEC")
    sub.add_argument("--split", default="train")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 when it did its work, 2 for a user's mistake, 130 when stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words)
    options.words = words[1:]  # as they were typed
    try:
        with distributed.process_group():
            answer = options.run(options)
            if options.json and distributed.rank() == 0:
                print(to_json(answer))
    except (ValueError, FloatingPointError, OSError) as error:
        said = (str(error), *getattr(error, "__notes__", []))
        print("minida:", *(line for text in said for line in text.splitlines()), file=sys.stderr)
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
