"""Make ladder-gpu.json: `python assets/results/ladder_gpu.py [--minutes 14] [--seeds 1]`, on a machine with one GPU.

As much of the ladder as the time allows, the most telling rungs first, at the preset `gpu` on MiniCity (512x1024, as
the report's protocol). What is finished is not run again, and a run that the clock stops goes on the next time: start
it as often as wanted. Beside each run: training images a second (evaluation and labelling included) and the share of
the time that it waited for data. And once: what share of the chip's measured matrix rate a training step of the
BiSeNet reaches. `--preset smoke` proves it on a CPU. Run folders are kept in runs/ladder-gpu.
"""

import argparse
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import stored
import torch
from torch.utils.flop_counter import FlopCounterMode

import minida  # before torch
from minida import compare
from minida.data import normalise
from minida.device import describe_device, move, resolve_device, to_device, versions
from minida.export import in_turns
from minida.methods import METHODS, Supervised, configure
from minida.types import Batch

TELLING = (  # first what every later rung is read against
    ("uda", ("dsc",)), ("uda", ("dsc-mpt", "dsc-dars")), ("ssl", ("dars", "u2pl")), ("uda", ("mpl-meta", "u2pl")),
    ("ssl", ()), ("uda", ()),
)  # fmt: skip


def step_rate(preset: str) -> dict:
    """A supervised step's share of what the chip reaches in one large matrix product, in the step's precision."""
    device = resolve_device("auto")
    config = configure("supervised", preset, precision="bfloat16", source="minicity:real")
    side = 8192 if device.type == "cuda" else 1024
    factor = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    torch.manual_seed(0)
    method = Supervised(config, to_device(minida.BiSeNet(19, config.backbone), device))
    images = torch.randint(0, 256, (config.batch_size, 3, *config.size), dtype=torch.uint8)
    labels = torch.randint(0, 19, (config.batch_size, *config.size))
    batch = Batch(*(move(part, device) for part in (normalise(images), labels, None)))
    with FlopCounterMode(display=False) as counter:  # forward and backward
        method.step(batch)
    ways = (lambda: factor @ factor, torch.inference_mode(False)(lambda: method.step(batch)))
    product, seconds = (np.median(in_turns(ways, device), axis=0) / 1e3).tolist()
    rate, matrix = counter.get_total_flops() / seconds, 2 * side**3 / product
    return {
        "backbone": config.backbone, "size": list(config.size), "batch_size": config.batch_size,
        "precision": config.precision, "ms": 1e3 * seconds, "images_per_second": config.batch_size / seconds,
        "tflops": rate / 1e12, "matrix_tflops": matrix / 1e12, "share": rate / matrix,
    }  # fmt: skip


def judged(record: dict) -> dict:
    """The record with its training images a second."""
    domains = 2 if METHODS[record["method"]].uses_target else 1
    images = domains * record["batch_size"] * record["steps"] * record.get("rounds", 1)
    return record | {"images_per_second": images / record["seconds"]}


def evaluations(out: Path) -> dict[str, list[dict]]:
    """Of each network that was trained, its evaluations on the val split: what a rung that is not whole has reached."""
    found = {}
    for file in sorted(out.rglob("history.jsonl")):
        records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        kept = ("step", "miou", "pixel_accuracy", "seconds")
        found[file.parent.name] = [{key: one[key] for key in kept} for one in records if "miou" in one]
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--preset", default="gpu")
    parser.add_argument("--target", default="minicity:real")
    parser.add_argument("--source", default="minicity:game")
    parser.add_argument("--workers", type=int, help="processes that load data; default: the preset's")
    parser.add_argument("--out", type=Path, default=stored.ROOT / "runs" / "ladder-gpu")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("ladder-gpu.json"))
    given = parser.parse_args(arguments)
    settings = {"source": given.source, "target": given.target, "workers": given.workers}
    order = {  # by name: the first mention counts
        one.name: one
        for seed in range(given.seeds)
        for protocol, rungs in TELLING
        for one in compare.plan(rungs, [protocol], given.seeds, given.preset, settings)
        if one.config.seed == seed
    }
    begun, step = time.perf_counter(), step_rate(given.preset)
    left = max(1.0, 60 * given.minutes - (time.perf_counter() - begun))
    clock = threading.Timer(left, os.kill, (os.getpid(), signal.SIGINT))  # a run stops with a checkpoint
    clock.daemon = True
    clock.start()
    stopped = False
    try:
        compare.climb(list(order.values()), given.out, command="python assets/results/ladder_gpu.py")
    except KeyboardInterrupt as stop:
        stopped = True
        print(stop or "stopped")
    clock.cancel()
    runs = compare.read_runs(given.out / "results.json") if (given.out / "results.json").exists() else []
    content = {
        "command": "python assets/results/ladder_gpu.py", "device": describe_device(resolve_device("auto")),
        "versions": versions(), "step": step, "whole": not stopped, "runs": [judged(run) for run in runs],
        "evaluations": evaluations(given.out),
    }  # fmt: skip
    stored.write(given.results, content)
    print(json.dumps(step))
    for run in content["runs"]:
        words = f"{run['images_per_second']:.0f} images/s, {100 * run.get('waiting', 0):.1f} % waiting"
        print(f"{run['name']}: {100 * run['miou']:.1f} mIoU, {words}")


if __name__ == "__main__":
    main()
