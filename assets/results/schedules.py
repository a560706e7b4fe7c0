"""Make schedules.json again: `python assets/results/schedules.py` (an idle machine, about two minutes).

What the crop schedules of self-training cost: a whole training step, from reading the images to the update, is timed
with each crop and its batch, in turns; a schedule's time is the sum over its steps. Preset `notebook`, one eighth of
`real` labelled, as many pseudo-labelled images, half of all drawn by centroids. (Labelling the unlabelled set, the same
for all schedules, is not in it.)
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import stored

import minida
from minida import data
from minida.config import CROPS
from minida.data import Augmentation, TrainingBatches, labeled_split
from minida.data.pseudo import PseudoLabelled
from minida.device import describe_device, resolve_device
from minida.methods import SelfTraining, configure
from minida.schedule import Phase, phases

TURNS = 25  # and one more, that warms up
OPTIONS = {"protocol": "ssl", "source": "minicity:real", "labeled": "1/8", "centroids": 0.5, "precision": "float32"}


def seconds(kinds: list[Phase], folder: Path) -> np.ndarray:
    """(turns, kinds): how long a step of each kind of phase took."""
    config = configure("self-training", "notebook", **OPTIONS)
    labelled, rest = labeled_split(data.open(config.source, "train", config.size), 1 / 8, 0)
    rest.prepare()
    np.save(folder / "labels.npy", np.stack([rest.labels(n).byte().numpy() for n in range(len(rest))]))
    believed = PseudoLabelled(rest, folder / "labels.npy")  # which labels they are makes no difference to the time
    method, batches = SelfTraining(config, minida.BiSeNet(19, config.backbone)), []
    for kind in kinds:
        augmentation = Augmentation(kind.size, config.scale, jitter=config.jitter, blur=config.blur)
        sizes = (kind.batch_size, kind.batch_size)
        batches.append(
            TrainingBatches(labelled, believed, batch_size=sizes, augmentation=augmentation, seed=0, centroids=0.5)
        )
    spent = np.zeros((TURNS + 1, len(kinds)))
    for turn in range(TURNS + 1):
        for place, source in enumerate(batches):
            begun = time.perf_counter()
            method.step(source[turn])
            spent[turn, place] = time.perf_counter() - begun
    return spent[1:]


def plan(crops: str, warmup: float) -> list[Phase]:
    return phases(configure("self-training", "notebook", crops=crops, warmup=warmup, **OPTIONS))


if __name__ == "__main__":
    kinds = {(phase.size, phase.batch_size): phase for phase in plan("coarse2fine", 0)}
    with tempfile.TemporaryDirectory() as folder:
        spent = seconds(list(kinds.values()), Path(folder))
    step = dict(zip(kinds, np.median(spent, 0), strict=True))
    cases, records = [("baseline", 0.0), *((crops, warmup) for crops in CROPS[1:] for warmup in (0.0, 0.1))], []
    for crops, warmup in cases:
        parts = plan(crops, warmup)
        total = sum(phase.steps * step[phase.size, phase.batch_size] for phase in parts)
        first = records[0]["seconds"] if records else total
        steps = sum(phase.steps for phase in parts)
        records.append(
            {"crops": crops, "warmup": warmup, "steps": steps, "seconds": round(total, 1), "faster": first / total}
        )
    told = {
        "command": "python assets/results/schedules.py", "device": describe_device(resolve_device("cpu")),
        "turns": TURNS, "precision": OPTIONS["precision"],
        "step_ms": {f"{h}x{w}, batch {b}": round(1e3 * value, 1) for ((h, w), b), value in step.items()},
        "runs": records,
    }  # fmt: skip
    stored.write(Path(__file__).with_suffix(".json"), told)
    for record in records:
        print(f"{record['crops']:14}{record['warmup']:5}{record['steps']:6} steps{record['faster']:8.2f} times faster")
