"""Make ladder-cost.json again: `python assets/results/ladder_cost.py` (an idle machine, about two minutes).

What a training step of each rung costs, as a multiple of a supervised one: whole steps of the preset `notebook` on a
batch that is there already, in turns, so that a noisy moment hits all alike. `training` is that of both stages against
two supervised ones. Labelling the unlabelled set (one evaluation of it a round) and reading images are not in it.
"""

from functools import partial
from pathlib import Path

import numpy as np
import stored
import torch

import minida  # before torch
from minida.compare import LADDERS
from minida.compare.rungs import configuration
from minida.device import describe_device, faster_in_bfloat16, versions
from minida.export import in_turns
from minida.methods import METHODS
from minida.types import Batch

DEVICE = torch.device("cpu")
PRECISION = "bfloat16" if faster_in_bfloat16(DEVICE) else "float32"


def step(protocol: str, name: str):
    """One step of a rung, ready to be called."""
    config = configuration(LADDERS[protocol][name], protocol, "notebook", 0, {"precision": PRECISION})
    kind, generator = METHODS[config.method], torch.Generator().manual_seed(0)
    images = torch.randn(2, config.batch_size, 3, *config.size, generator=generator)
    source, target = (part.contiguous(memory_format=torch.channels_last) for part in images)
    labels = torch.randint(0, 19, (config.batch_size, *config.size), generator=generator)
    model = minida.BiSeNet(19, config.backbone, None, kind.embedding(config)).to(memory_format=torch.channels_last)
    method = kind(config, model)
    batch = Batch(source, labels, target if kind.uses_target else None)
    if config.method in ("pseudo", "self-training", "dars"):
        batch = batch._replace(pseudo_labels=labels)
    return torch.inference_mode(False)(partial(method.step, batch))


def main() -> None:
    stored.options(__doc__).parse_args()
    torch.set_num_threads(1)
    places = [(protocol, name) for protocol, ladder in LADDERS.items() for name in ladder]
    ms = np.median(in_turns([step(*place) for place in places], DEVICE, seconds=40), axis=0)
    once = dict(zip(places, (ms / ms[places.index(("ssl", "supervised"))]).tolist(), strict=True))
    runs = [
        {"ladder": protocol, "rung": name, "step": round(once[protocol, name], 2),
         "training": round((once[protocol, rung.start] + once[protocol, name] / rung.updates) / 2, 2)}
        for (protocol, name) in places if (rung := LADDERS[protocol][name]).start
    ]  # fmt: skip
    content = {
        "command": "python assets/results/ladder_cost.py", "device": describe_device(DEVICE), "precision": PRECISION,
        "versions": versions(), "supervised_ms": round(float(ms[places.index(("ssl", "supervised"))]), 2), "runs": runs,
    }  # fmt: skip
    stored.write(Path(__file__).with_name("ladder-cost.json"), content)
    for run in runs:
        print(f"{run['ladder']:5}{run['rung']:16}{run['step']:6.2f} a step {run['training']:6.2f} in all")


if __name__ == "__main__":
    main()
