"""Make gpu.json: `python assets/results/gpu.py [--steps 60]`, on a machine with one GPU (about five minutes).

For each backbone, a supervised step and a prediction without data, in turns: plain eager float32, and as the trainer
does it. Then every method at the preset `gpu` on MiniCity (512x1024), some steps of each with its real batches:
training images a second and the share of the time that a step waits for data, both over the second half of the steps
of the last round; the most memory that PyTorch held; the share of one image's labels that its model file gives
otherwise on the CPU, in float32. `--preset smoke` proves it on a CPU. Run folders are kept in runs/gpu.
"""

import argparse
import shutil
import traceback
from pathlib import Path

import numpy as np
import stored
import torch

import minida  # before torch
from minida.data import normalise
from minida.device import describe_device, move, resolve_device, to_device, versions
from minida.export import in_turns
from minida.methods import METHODS, Supervised, configure
from minida.runs import RunFolder
from minida.trainer import Trainer
from minida.types import Batch

WAYS = {  # name: method and what it is told
    "supervised": ("supervised", {}),
    "supervised, ResNet-101": ("supervised", {"backbone": "resnet101"}),
    "source-only + batch norm (λ = 0)": ("adversarial", {"lambda_adv": 0.0}),
    "adversarial, FCD": ("adversarial", {"discriminator": "fcd"}),
    "adversarial, DSC": ("adversarial", {"discriminator": "dsc"}),
    "self-training, MPT": ("self-training", {"strategy": "mpt"}),
    "self-training, DARS": ("self-training", {"strategy": "dars"}),
    "DSC + DARS, centroids, coarse2fine+": (
        "self-training", {"discriminator": "dsc", "centroids": 0.5, "crops": "coarse2fine+"},
    ),
    "U2PL": ("u2pl", {}),
    "MPL, meta": ("mpl", {"feedback": "meta"}),
    "MPL, product": ("mpl", {"feedback": "product"}),
}  # fmt: skip


def measure(name: str, preset: str, steps: int, settings: dict, folder: Path) -> dict:
    """One method: its record, the rate and the waiting of its steady steps."""
    method, own = WAYS[name]
    every = max(1, steps // 10)
    if METHODS[method].uses_target:
        settings = settings | {"target": "minicity:real"}
    config = configure(method, preset, steps=steps, log_every=every, eval_every=steps, **settings, **own)
    shutil.rmtree(folder, ignore_errors=True)
    marks, device = [], resolve_device("auto")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(config, RunFolder(folder), lambda step, _: marks.append((step, trainer.seconds, trainer.waited)),
                      progress=False)  # fmt: skip
    result = trainer.run()
    last = marks[-1][0]
    (begin, started, idle), (end, ended, waited) = next(m for m in marks if m[0] >= last - steps // 2), marks[-1]
    sizes = trainer.stages[-1].batch_sizes
    seconds, shown = ended - started, sum(sizes) if METHODS[method].uses_target else sizes[0]
    image = normalise(trainer.data.evaluation.image(0)[None])
    read, kept = minida.load(folder), result.model  # on the CPU, in float32
    differ = (read.probs(image).argmax(1) != kept.probs(image.to(device)).argmax(1).cpu()).float().mean()
    return {
        "method": method, "options": own, "backbone": config.backbone, "precision": trainer.config.precision,
        "batch": int(shown), "size": list(trainer.stages[-1].phase.size), "steps": end - begin,
        "ms": 1e3 * seconds / (end - begin), "images_per_second": float(shown * (end - begin) / seconds),
        "waiting": (waited - idle) / seconds,
        "memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
        "miou": result.report.miou, "labels_differ_on_cpu": float(differ),
    }  # fmt: skip


def steps_and_predictions(preset: str) -> list[dict]:
    """Milliseconds of each backbone's step and prediction, as the trainer does them and in plain float32."""
    device, rows = resolve_device("auto"), []
    for backbone in ("slim", "resnet18", "resnet101"):
        config = configure("supervised", preset, precision="bfloat16", backbone=backbone)
        images = normalise(torch.randint(0, 256, (config.batch_size, 3, *config.size), dtype=torch.uint8))
        batch = Batch(images.to(device), torch.randint(0, 19, (config.batch_size, *config.size), device=device), None)
        fast = Supervised(config, to_device(minida.BiSeNet(19, backbone), device))
        plain = Supervised(configure("supervised", preset, precision="float32", backbone=backbone),
                           minida.BiSeNet(19, backbone).to(device))  # fmt: skip
        ours = Batch(*(move(part, device) for part in batch[:3]))

        def tuned(fast=fast, ours=ours):
            with torch.backends.cudnn.flags(enabled=True, benchmark=True):
                fast.step(ours)

        steps = (lambda p=plain, b=batch: p.step(b), lambda f=fast, b=ours: f.step(b), tuned)
        train = in_turns([torch.inference_mode(False)(step) for step in steps], device)

        def predict(method, images):
            with method.autocast():
                return method.model(images).logits

        for method in (plain, fast):
            method.model.eval()
        passes = [lambda p=plain, b=batch: predict(p, b[0]), lambda f=fast, b=ours: predict(f, b[0])]
        infer = in_turns(passes, device)
        (slow, quick, tuned_ms), (slow_pass, quick_pass) = np.median(train, 0), np.median(infer, 0)
        rows.append({
            "backbone": backbone, "batch": config.batch_size, "size": list(config.size),
            "step": {"plain_ms": slow, "ours_ms": quick, "ours_cudnn_benchmark_ms": tuned_ms, "ratio": slow / quick},
            "prediction": {"plain_ms": slow_pass, "ours_ms": quick_pass, "ratio": slow_pass / quick_pass},
        })  # fmt: skip
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--preset", default="gpu")
    parser.add_argument("--source", default="minicity:game")
    parser.add_argument("--workers", type=int, help="processes that load data; default: the preset's")
    parser.add_argument("--only", nargs="*", default=list(WAYS), help="names of methods, as they are listed")
    parser.add_argument("--out", type=Path, default=stored.ROOT / "runs" / "gpu")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("gpu.json"))
    given = parser.parse_args(arguments)
    settings = {"source": given.source, "workers": given.workers}
    content = {
        "command": "python assets/results/gpu.py", "device": describe_device(resolve_device("auto")),
        "versions": versions(), "backbones": steps_and_predictions(given.preset), "methods": {}, "failed": {},
    }  # fmt: skip
    for row in content["backbones"]:
        print(row)
    for number, name in enumerate(given.only):
        try:
            content["methods"][name] = row = measure(name, given.preset, given.steps, settings, given.out / f"{number}")
            print(f"{name}: {row['images_per_second']:.0f} images/s, {row['waiting']:.1%} waiting, {row['ms']:.1f} ms")
        except Exception as error:  # the others are to be measured all the same
            content["failed"][name] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        stored.write(given.results, content)


if __name__ == "__main__":
    main()
