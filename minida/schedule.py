"""Crop schedules: small crops in large batches for a part of the training, which makes it shorter.

Source: Zhu et al., 2020 (the slides on self-training, "changing image size during training schedule" and Table 4). The
figure that defines the schedules is lost; read here: "coarse" is a small crop; "+" runs through the sizes several
times; the warm-up has the full crop. All schedules show a network as many images. A crop of half the area comes in a
batch of twice the size, so a step's work stays level and there are fewer of them: 350 instead of 600 at no warm-up.
"""

from typing import NamedTuple

from minida.config import Config

AREAS = 1 / 4, 1 / 2, 1  # of the full crop, from coarse to fine
CYCLES = 4  # of a "+" schedule
SIDE = 16  # sides of a crop are multiples of this


class Phase(NamedTuple):
    """Steps with one crop and one batch size."""

    size: tuple[int, int]
    batch_size: int
    steps: int
    shown: float  # where it begins and what each of its steps adds, in steps of the baseline: what the poly schedule
    pace: float  # of the learning rate goes by


def phases(config: Config) -> list[Phase]:
    """The phases of one round. The baseline's is one: `config.steps` full crops in batches of `config.batch_size`."""
    if config.crops == "baseline":
        return [Phase(config.size, config.batch_size, config.steps, 0.0, 1.0)]
    areas = AREAS[::-1] if config.crops.startswith("fine2coarse") else AREAS
    areas *= CYCLES if config.crops.endswith("+") else 1
    shares = [(1, config.warmup)] * (config.warmup > 0) + [(area, (1 - config.warmup) / len(areas)) for area in areas]
    found, shown = [], 0.0
    for area, share in shares:
        size = config.size if area == 1 else tuple(max(32, round(s * area**0.5 / SIDE) * SIDE) for s in config.size)
        steps = max(1, round(share * config.steps * area))
        pace = share * config.steps / steps
        found.append(Phase(size, round(config.batch_size / area), steps, shown, pace))
        shown += steps * pace
    return found


def phase_at(plan: list[Phase], step: int) -> tuple[Phase, int]:
    """The phase that step `step` of a round falls into, and how many of the phase's steps are before it."""
    for phase in plan:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    raise IndexError("the schedule ends before this step")
