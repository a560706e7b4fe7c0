"""What the runs of a ladder allow one to say: means, intervals, differences in pairs of equal seeds, costs.

A pair is a rung's run and its control's with the same seed, on the same device, in the same precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minida.compare.rungs import BASELINES, LADDERS

# Student's t at 97.5 % for 1, 2, … degrees of freedom; beyond, the normal distribution's.
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One rung over its seeds. Scores in %; an interval is half as wide as its 95 % (None: one seed has none)."""

    rung: str
    title: str
    seeds: int
    miou: float
    interval: float | None
    tail: float
    pixels: float
    iou: Mapping[str, float]  # by class, mean over the seeds
    control: str | None  # title of the rung that the difference is to
    difference: float | None  # mIoU, mean over the pairs
    spread: float | None  # the interval of the difference
    share: float | None  # uda: closed of the gap between baseline and oracle; ssl: of the oracle's mIoU
    minutes: float  # of training, all stages, mean over the seeds

    @property
    def verdict(self) -> str:
        """ "better" or "worse" only where the interval of the difference leaves out 0."""
        if self.spread is None or self.difference is None or abs(self.difference) <= self.spread:
            return ""
        return "better" if self.difference > 0 else "worse"


def alike(run: Mapping, control: Mapping) -> bool:
    """Whether two runs make a pair: on another device, arithmetic alone moves a short training by a point."""
    return (run["device"], run["precision"]) == (control["device"], control["precision"])


def interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % confidence interval of a mean, by Student's t; None for fewer than two values."""
    count = len(values)
    if count < 2:
        return None
    factor = T[count - 2] if count - 2 < len(T) else 1.96
    return float(factor * np.std(values, ddof=1) / np.sqrt(count))


def rows(runs: Sequence[Mapping], protocol: str, preset: str) -> list[Row]:
    """A row for each rung that has runs, from the bottom of the ladder to its top."""
    found: dict[str, dict[int, Mapping]] = {}
    for run in runs:
        if (run.get("ladder"), run.get("preset")) == (protocol, preset):
            found.setdefault(run["rung"], {})[run["seed"]] = run
    ladder = {name: rung for name, rung in LADDERS[protocol].items() if name in found}

    def mean(name: str, key: str) -> float:
        values = [run[key] for run in found.get(name, {}).values() if run[key] is not None]
        return 100 * float(np.mean(values)) if values else float("nan")

    bottom, top, said = mean(BASELINES[protocol], "miou"), mean("oracle", "miou"), []
    for name, rung in ladder.items():
        mine, miou = found[name], mean(name, "miou")
        other = found.get(rung.control, {})
        pairs = [(mine[seed], other[seed]) for seed in sorted(mine.keys() & other.keys())]
        gains = [100 * (run["miou"] - control["miou"]) for run, control in pairs if alike(run, control)]
        gap, part = (top - bottom, miou - bottom) if protocol == "uda" else (top, miou)
        share = part / gap if gap else float("nan")  # of no gap there is no share
        classes = dict.fromkeys(key for run in mine.values() for key in run["iou"])
        said.append(
            Row(
                rung=name,
                title=rung.title,
                seeds=len(mine),
                miou=miou,
                interval=interval([100 * run["miou"] for run in mine.values()]),
                tail=mean(name, "tail_miou"),
                pixels=mean(name, "pixel_accuracy"),
                iou={key: _over([run["iou"].get(key) for run in mine.values()]) for key in classes},
                control=ladder[rung.control].title if gains else None,
                difference=float(np.mean(gains)) if gains else None,
                spread=interval(gains),
                share=share if np.isfinite(share) else None,
                minutes=float(np.mean([run["total_seconds"] for run in mine.values()])) / 60,
            )
        )
    return said


def _over(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return 100 * float(np.mean(known)) if known else float("nan")


def plus_minus(value: float | None, half: float | None, sign: str = "") -> str:
    if value is None:
        return ""
    return f"{value:{sign}.1f}" + ("" if half is None else f" ± {half:.1f}")


def markdown(found: Sequence[Row], protocol: str, costs: Mapping[str, float] | None = None) -> str:
    """The table of a ladder. ± is half the 95 % interval, of the mean or of the mean difference.

    Costs are minutes, as they were taken, or by `costs`: rung -> its multiple of the baseline's training.
    """
    share = "of the gap closed" if protocol == "uda" else "of the oracle"
    spent = "cost" if costs else "minutes"
    lines = [f"| rung | mIoU | {share} | tail mIoU | pixels right | against its control | | {spent} | seeds |"]
    lines += ["|---" * 9 + "|"]
    for row in found:
        against = f"{plus_minus(row.difference, row.spread, '+')} ({row.control})" if row.control else ""
        part = "" if row.share is None else f"{100 * row.share:.0f} %"
        cost = f"{costs[row.rung]:.1f}×" if costs else f"{row.minutes:.1f}"
        lines.append(
            f"| {row.title} | {plus_minus(row.miou, row.interval)} | {part} | {row.tail:.1f} | {row.pixels:.1f} | "
            f"{against} | {row.verdict} | {cost} | {row.seeds} |"
        )
    return "\n".join(lines)
