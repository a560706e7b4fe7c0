"""Crop schedules: small crops in large batches for a part of the training, which makes it shorter.

Source: Zhu et al., 2020 (the slides on self-training, "changing image size during training schedule" and Table 4). The
figure that defines the schedules is lost; read here: "coarse" is a small crop; "+" runs through the sizes several
times; the warm-up has the full crop. All schedules show a network as many images. A crop of half the area comes in a
batch of twice the size, so a step's work stays level and there are fewer of them: 350 instead of 600 at no warm-up.
"""

from collections.abc import Callable
from typing import NamedTuple

from minida import distributed
from minida.config import Config
from minida.data.base import SegmentationDataset
from minida.data.loaders import check_enough

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


class Stage(NamedTuple):
    """A phase of one round of a run."""

    number: int  # of the round
    phase: Phase
    start: int  # the step it begins at, over all rounds
    batch_sizes: tuple[int, int]  # images of the source and of the target a step
    first: int  # where the order of the images begins anew: at the last step at which batch sizes changed
    drawn: tuple[int, int]  # images that centroid sampling drew before that, of the source and of the target


def stages(config: Config, rounds: int, batch_sizes: Callable[[int], tuple[int, int]]) -> list[Stage]:
    """All that a run goes through. `batch_sizes` says what a batch of `config.batch_size` is in a round."""
    found: list[Stage] = []
    start, first, drawn = 0, 0, (0, 0)
    for number in range(rounds):
        for phase in phases(config):
            sizes = tuple(size * (phase.batch_size // config.batch_size) for size in batch_sizes(number))
            if found and sizes != found[-1].batch_sizes:
                shares = (round(config.centroids * size) for size in found[-1].batch_sizes)
                drawn = tuple(n + (start - first) * share for n, share in zip(drawn, shares, strict=True))
                first = start
            found.append(Stage(number, phase, start, sizes, first, drawn))
            start += phase.steps
    return found


def stage_at(plan: list[Stage], step: int) -> Stage:
    """The stage that step `step` falls into."""
    return next(stage for stage in reversed(plan) if stage.start <= step)


def check_batches(
    config: Config, stage: Stage, source: SegmentationDataset, target: SegmentationDataset | None
) -> None:
    """Raises ValueError where the processes cannot share a stage's batches, or a data set is too small for them."""
    why = f" (batch_size={config.batch_size}, mix={config.mix:g}, crops={config.crops})"
    for dataset, size in zip((source, target), stage.batch_sizes, strict=True):
        if dataset is not None:
            distributed.check_batch_size(size, why)
            check_enough(dataset, size, why)
            if config.centroids and not round(config.centroids * size):
                raise ValueError(f"centroids={config.centroids:g} of a batch of {size} is no image{why}; give more")
