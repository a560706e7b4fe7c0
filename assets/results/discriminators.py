"""Make discriminators.json again: `python assets/results/discriminators.py`, on an idle machine, about two minutes.

The report's Table II in both conventions, measured times, and a whole training step with either discriminator.
"""

from pathlib import Path

import numpy as np
import stored
import torch

from minida import Batch, BiSeNet, methods
from minida.config import make_config
from minida.device import faster_in_bfloat16, resolve_device, to_device
from minida.export import in_turns
from minida.latency import discriminator_costs


def training_steps(preset: str, device: torch.device) -> list[dict]:
    """Median milliseconds of `step` for source-only and both discriminators, in turns, on made-up batches."""
    cases = {"source-only": ("supervised", {}), "dsc": ("adversarial", {}), "fcd": ("adversarial", {})}
    precision, ways = "bfloat16" if faster_in_bfloat16(device) else "float32", []
    for name, (method, options) in cases.items():
        chosen = {"discriminator": name} if method == "adversarial" else options
        config = make_config(method, preset, precision=precision, **chosen)
        learner = methods.METHODS[method](config, to_device(BiSeNet(19, config.backbone), device))
        images = torch.randn(config.batch_size, 3, *config.size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 19, (config.batch_size, *config.size), device=device)
        batch = Batch(images, labels, images + 1)

        def step(learner: methods.Method = learner, batch: Batch = batch) -> None:
            with torch.inference_mode(False):
                learner.step(batch)

        ways.append(step)
    medians = np.median(in_turns(ways, device, seconds=12), axis=0).tolist()
    shared = {"preset": preset, "batch": config.batch_size, "size": config.size, "precision": precision}
    return [{"training": name, **shared, "ms": ms} for name, ms in zip(cases, medians, strict=True)]


if __name__ == "__main__":
    device = resolve_device("auto")
    records = discriminator_costs((512, 1024), 1, device) + discriminator_costs((96, 192), 8, device)
    steps = training_steps("notebook", device) + training_steps("cpu", device)
    content = {"command": "python assets/results/discriminators.py", "records": records, "steps": steps}
    stored.write(Path(__file__).with_suffix(".json"), content)
