"""What data cost a step, and what more images cost: `python tests/benchmarks/pipeline.py` (an idle machine).

Augmented images a second on one core; for each method, the share of a training's time that its steps wait for data, as
the trainer counts it (no worker processes); the bytes of every strategy's statistic, and the milliseconds that a batch
of TrainingBatches is chosen in, for 100 and for 100,000 images.
"""

import minida  # noqa: I001 (before torch)

import io
import json
import tempfile
import time
from itertools import islice

import numpy as np
import torch

from minida.config import make_config
from minida.data import Augmentation, TrainingBatches
from minida.data.loaders import _Stream
from minida.labeling import STRATEGIES, make_strategy
from minida.methods import configure
from minida.runs import RunFolder
from minida.trainer import Trainer

GAME, REAL = "minicity:game?n=64", "minicity:real?n=64"
METHODS = {
    "supervised": ("supervised", {}), "adversarial, DSC": ("adversarial", {"target": REAL}),
    "self-training, DARS": ("self-training", {"target": REAL}), "U2PL": ("u2pl", {"target": REAL}),
    "MPL, meta": ("mpl", {"target": REAL}),
}  # fmt: skip


def rates(batches: int = 30) -> dict[str, float]:
    """Augmented and normalised images a second, in batches of 8, on one core, by preset."""
    found = {}
    for preset in ("notebook", "cpu", "gpu"):
        config = make_config("supervised", preset)
        look = {name: getattr(config, name) for name in ("scale", "jitter", "blur", "noise")}
        city = minida.data.MiniCity("game", size=config.size, n=32)
        stream = iter(TrainingBatches(city, batch_size=8, augmentation=Augmentation(config.size, **look), seed=0))
        next(stream)
        start = time.perf_counter()
        list(islice(stream, batches))
        found[preset] = 8 * batches / (time.perf_counter() - start)
    return found


def waiting(preset: str, steps: int) -> dict[str, float]:
    """By method: the share of its steps' time that it waits for the next batch, after a quarter of them to warm up."""
    return {name: _waiting(*METHODS[name], preset, steps) for name in METHODS}


def workers(steps: int = 60, turns: int = 3) -> dict[int, tuple[float, float]]:
    """Supervised training, preset notebook, by worker processes that load: milliseconds a step, share of waiting.

    Medians of turns.
    """
    found = {0: [], 1: []}
    for _ in range(turns):
        for number, times in found.items():
            seconds, waited = _measured("supervised", {"workers": number}, "notebook", steps)
            times.append((1e3 * seconds / (steps - steps // 4), waited / seconds))
    return {number: tuple(np.median(times, axis=0).tolist()) for number, times in found.items()}


def _waiting(method: str, options: dict, preset: str, steps: int) -> float:
    seconds, waited = _measured(method, options, preset, steps)
    return waited / seconds


def _measured(method: str, options: dict, preset: str, steps: int) -> tuple[float, float]:
    """Seconds of a training's steps after its first quarter, and those of them that it waited for batches."""
    options = {"source": GAME, "eval_every": 10_000, "log_every": max(1, steps // 4), **options}
    config, marks = configure(method, preset, steps=steps, **options), []

    def mark(step: int, record: dict) -> None:
        marks.append((trainer.seconds, trainer.waited))

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, RunFolder(f"{folder}/run"), mark, progress=False)
        trainer.run()
    (began, idle), (ended, waited) = marks[-4], marks[-1]
    return ended - began, waited - idle


def statistics(images: int) -> dict[str, int]:
    """Bytes of each strategy's state after so many images of 16x32 pixels."""
    generator, found = torch.Generator().manual_seed(0), {}
    probs = torch.randn(50, 19, 16, 32, generator=generator).softmax(1)
    for name in STRATEGIES:
        strategy = make_strategy(name, num_classes=19, class_frequency=np.ones(19) / 19, ratio=0.5)
        for _ in range(images // len(probs)):
            strategy.observe(probs)
        kept = io.BytesIO()
        torch.save({key: torch.as_tensor(value) for key, value in arrays(strategy).items()}, kept)
        found[name] = kept.tell()
    return found


def arrays(part: object) -> dict[str, np.ndarray | torch.Tensor]:
    """Every array that an object holds, also in its parts."""
    found = {}
    for name, value in vars(part).items():
        if isinstance(value, np.ndarray | torch.Tensor):
            found[name] = value
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            found |= {f"{name}.{key}": each for key, each in arrays(value).items()}
    return found


class Many(torch.utils.data.Dataset):
    """So many images that are never looked at."""

    spec = name = "many"

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def prepare(self, labels: bool = True) -> None:
        pass


def choosing(images: int, batches: int = 200) -> float:
    """Milliseconds in which a batch of 8 is chosen among so many images."""
    stream = _Stream(Many(images), 8, (0, 0))
    start = time.perf_counter()
    for step in range(batches):
        stream.samples(step)
    return 1e3 * (time.perf_counter() - start) / batches


def main() -> None:
    torch.set_num_threads(1)
    few, many = statistics(100), statistics(100_000)
    found = {
        "images_per_second": rates(), "statistic_bytes": {name: [few[name], many[name]] for name in few},
        "choosing_ms": [choosing(100), choosing(100_000)],
    }  # fmt: skip
    torch.set_num_threads(2)
    found["waiting"] = {preset: waiting(preset, steps) for preset, steps in (("notebook", 40), ("cpu", 12))}
    found["ms_and_waiting_by_workers"] = workers()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
