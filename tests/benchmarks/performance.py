"""Make performance.json: `python tests/benchmarks/performance.py [PART ...]` (an idle machine, ten minutes).

One table of ratios against what one would write first: training steps and inference against plain eager float32 (by
method and backbone), labelling, metrics and the contrastive term against loops, Meta Pseudo Labels against plain
pseudo-labels; the data pipeline, imports, the first trained step, memory, and growth with the number of images. Parts
(steps, inference, labelling, terms, data, startup) are measured in turns in one run each; a part alone replaces its own
rows. Exits with 1 where a target is missed.
"""

import minida  # noqa: I001 (before torch)

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import labeling
import pipeline
import startup
import steps as contrast
import supervised
import torch
import torch.nn.functional as F

from minida.device import describe_device, to_device, versions
from minida.latency import latency
from minida.methods import METHODS, configure
from minida.models import bisenet

RESULTS = Path(__file__).resolve().parents[2] / "assets" / "results" / "performance.json"
CPU = torch.device("cpu")
STEPS = {  # beside the plain supervised ones, all with ResNet-18
    "adversarial, FCD": ("adversarial", {"discriminator": "fcd"}),
    "adversarial, DSC": ("adversarial", {"discriminator": "dsc"}),
    "self-training": ("self-training", {}),
    "U2PL": ("u2pl", {}),
    "MPL, product": ("mpl", {"feedback": "product"}),
    "MPL, meta": ("mpl", {"feedback": "meta"}),
}


def row(what: str, plain: float, ours: float, unit: str, target: float | None = None, least: bool = True) -> dict:
    """A measurement beside its plain version; the ratio is to be at `least` the target, else at most."""
    ratio = plain / ours if least else ours / plain
    met = target is None or (ratio >= target if least else ratio <= target)
    return {
        "what": what, "plain": plain, "ours": ours, "unit": unit, "ratio": ratio,
        "target": target and f"{'≥' if least else '≤'} {target:g}", "met": met,
    }  # fmt: skip


def value(what: str, found: float, unit: str, most: float | None = None) -> dict:
    """A number that is a ratio already, or has no plain version."""
    met = most is None or found <= most
    return {"what": what, "value": found, "unit": unit, "target": most and f"≤ {most:g}", "met": met}


def turns(ways: dict[str, Callable], repeats: int) -> tuple[float, float]:
    """Milliseconds of "plain" and of "ours"."""
    found = supervised.medians(ways, repeats)
    return 1e3 * found["plain"], 1e3 * found["ours"]


def method_ways(method: str, options: dict) -> dict[str, Callable]:
    """A method's step as the trainer does it, and the same method with plain layers, losses and float32."""
    source, target = torch.randn(2, supervised.BATCH, 3, *supervised.SIZE)
    labels = torch.randint(0, 19, (supervised.BATCH, *supervised.SIZE))
    pseudo = labels if method == "self-training" else None
    learners = {}
    for name, precision in (("plain", "float32"), ("ours", "bfloat16")):
        config = configure(method, "cpu", precision=precision, target="minicity:real", **options)
        model = minida.BiSeNet(19, config.backbone, None, METHODS[method].embedding(config))
        learners[name] = METHODS[method](config, to_device(model, CPU) if name == "ours" else model)
        if METHODS[method].wants_frequency:
            learners[name].begin(torch.full((19,), 1 / 19).numpy())
    last = [part.contiguous(memory_format=torch.channels_last) for part in (source, target)]

    def plain() -> None:
        with (
            mock.patch.object(bisenet, "upsample", lambda x, h, w, dtype=None: supervised.plain_upsample(x, h, w)),
            mock.patch.object(minida.losses, "cross_entropy", lambda x, y: F.cross_entropy(x, y, ignore_index=255)),
        ):
            learners["plain"].step(minida.Batch(source, labels, target, pseudo))

    return {"plain": plain, "ours": lambda: learners["ours"].step(minida.Batch(*last[:1], labels, last[1], pseudo))}


def steps() -> list[dict]:
    case = f"{supervised.BATCH} x {supervised.SIZE[0]}x{supervised.SIZE[1]}"
    rows = []
    for backbone, repeats in (("slim", 15), ("resnet18", 11), ("resnet101", 5)):
        train, _ = supervised.network_ways(backbone)
        rows.append(row(f"training step, supervised, {backbone}, {case}", *turns(train, repeats), "ms", 1.7))
    for name, (method, options) in STEPS.items():
        case = f"training step, {name}, resnet18, {supervised.BATCH} of each domain"
        rows.append(row(case, *turns(method_ways(method, options), 5), "ms", 1.7))
    return rows


def inference() -> list[dict]:
    rows = []
    for backbone in ("slim", "resnet18", "resnet101"):
        model = minida.BiSeNet(19, backbone)
        for size, batch in (((96, 192), 1), ((96, 192), 8), ((512, 1024), 1)):
            found = latency(model, size, batch)
            what = f"inference, {backbone}, {batch} x {size[0]}x{size[1]}"
            rows.append(row(what, found.plain.ms, found.deployed.ms, "ms", 2.5))
    return rows


def labelling() -> list[dict]:
    sample, probs = [labeling.predictions(seed=seed) for seed in range(12)], labeling.predictions()
    frequency, rows = labeling.prior(sample), []
    for what, ways, given, repeats, target in (
        (
            "DARS against lists and a sort, 6 megapixels",
            (labeling.dars_in_lists, labeling.dars),
            (sample, frequency),
            1,
            5,
        ),
        ("MPT against masks and a sort, one image", (labeling.mpt_by_sorting, labeling.mpt), (probs,), 9, 5),
    ):
        plain, ours = ways
        ways = {"plain": lambda plain=plain, given=given: plain(*given), "ours": lambda o=ours, given=given: o(*given)}
        found = labeling.seconds(ways, repeats)
        rows.append(row(f"labelling, {what}", 1e3 * found["plain"], 1e3 * found["ours"], "ms", target))
    del sample
    _, grown = labeling.growth()
    if grown is not None:
        rows.append(value("labelling, growth of the process over a gigapixel", grown, "MB", 50))
    few, many = pipeline.statistics(100), pipeline.statistics(100_000)
    for name in few:
        what = f"labelling, state of {name} after 100,000 images beside after 100"
        rows.append(row(what, few[name], many[name], "bytes", 1, least=False))
    return rows


def terms() -> list[dict]:
    found = turns(supervised.confusion_ways(), 5)
    rows = [row("confusion matrix against a loop over classes, 8 x 512x1024", *found, "ms")]
    view = contrast.make_view()
    ways = {"ours": contrast.ours(view), "plain": contrast.Loop(view, True), "lean": contrast.Loop(view, False)}
    times = {name: 1e3 * one for name, one in contrast.seconds(ways, 5).items()}
    what = "contrastive term against a loop over classes, negatives of each"
    rows.append(row(f"{what} anchor", times["plain"], times["ours"], "ms", 5))
    rows.append(row(f"{what} class", times["lean"], times["ours"], "ms", 5))
    times = {name: 1e3 * one for name, one in contrast.seconds(contrast.steps(), 9).items()}
    for name, base, most in (
        ("u2pl", "supervised", 4), ("mpl, product", "pseudo-labels", 3), ("mpl, meta", "pseudo-labels", 3.3),
    ):  # fmt: skip
        what = f"step of {name} beside {base}, slim, one thread"
        rows.append(row(what, times[base], times[name], "ms", most, least=False))
    return rows


def data() -> list[dict]:
    rows = [
        value(f"augmented images a second on one core, preset {preset}", rate, "images/s")
        for preset, rate in pipeline.rates().items()
    ]
    few, many = pipeline.choosing(100), pipeline.choosing(100_000)
    rows.append(row("choosing a batch among 100,000 images beside among 100", few, many, "ms", least=False))
    for preset, steps in (("notebook", 40), ("cpu", 16)):
        for name, share in pipeline.waiting(preset, steps).items():
            rows.append(value(f"waiting for data, {name}, preset {preset}", share, "of the time", 0.05))
    (plain, _), (ours, share) = pipeline.workers().values()
    rows.append(value("waiting for data, supervised, preset notebook, workers=1", share, "of the time", 0.05))
    what = "step with its batch, supervised, preset notebook, workers=0 beside workers=1"
    rows.append(row(what, plain, ours, "ms"))
    return rows


def start() -> list[dict]:
    times = startup.imports()
    rows = [
        value("import torch", times["torch"], "s"),
        value("import torchvision adds", times["torch, torchvision"] - times["torch"], "s"),
        value("import minida adds to torch and torchvision", times["minida"] - times["torch, torchvision"], "s", 0.3),
    ]
    rows += [value(f"after the start of run.py lab: {what}", when, "s") for what, when in startup.first_step().items()]
    return rows + [value(f"resident memory, {what}", most, "MiB") for what, most in startup.memory().items()]


PARTS = {  # part: how, and on how many threads
    "steps": (steps, 2), "inference": (inference, 2), "labelling": (labelling, 1), "terms": (terms, 1),
    "data": (data, 2), "startup": (start, 2),
}  # fmt: skip


def shown(one: dict) -> str:
    numbers = f"{one['value']:.3g} {one['unit']}" if "value" in one else ""
    if "plain" in one:
        numbers = f"plain {one['plain']:,.1f}, ours {one['ours']:,.1f} {one['unit']}: {one['ratio']:.2f}"
    target = f" ({one['target']}{'' if one['met'] else ', MISSED'})" if one["target"] else ""
    return f"{one['what']}: {numbers}{target}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given, missed = parser.parse_args(), []
    stored = json.loads(given.results.read_text(encoding="utf-8")) if given.results.exists() else {"parts": {}}
    for name in given.parts or PARTS:
        measure, threads = PARTS[name]
        torch.set_num_threads(threads)
        rows = measure()
        print(*map(shown, rows), sep="\n", flush=True)
        missed += [one["what"] for one in rows if not one["met"]]
        place = {"device": describe_device(CPU), "versions": versions()}
        stored["parts"][name] = {**place, "rows": rows}
        stored |= {"command": "python tests/benchmarks/performance.py"}
        part = given.results.with_suffix(".part")
        part.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        part.replace(given.results)
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
