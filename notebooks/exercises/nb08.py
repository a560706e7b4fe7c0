"""Notebook 08: the interval of a mean, a verdict from pairs, what picking an epoch adds, rungs worth their cost."""

from collections.abc import Callable, Mapping

import numpy as np

from minida.teach.checks import Exercise

T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t at 97.5 %, by the number of values


def _interval(ddof: int = 1, root: bool = True, factor: float | None = None, whole: bool = False) -> Callable:
    def interval(values: list[float]) -> tuple[float, float]:
        mean, count = np.mean(values), len(values)
        half = (factor or T[count]) * np.std(values, ddof=ddof) / (np.sqrt(count) if root else 1)
        return mean - half / (2 if whole else 1), mean + half / (2 if whole else 1)

    return interval


def _verdict(pairing: str = "seed", two_sided: bool = True, interval: bool = True, scale: float = 1) -> Callable:
    def verdict(mine: Mapping[int, float], control: Mapping[int, float]) -> int:
        if pairing == "order":
            gains = [a - b for a, b in zip(mine.values(), control.values(), strict=False)]
        else:
            gains = [mine[seed] - control[seed] for seed in mine.keys() & control.keys()]
        if len(gains) < 2:
            return 0 if interval or not gains else int(np.sign(gains[0]))
        half = scale * T[len(gains)] * np.std(gains, ddof=1) / np.sqrt(len(gains)) if interval else 0.0
        mean = np.mean(gains)
        if pairing == "none":  # two intervals that must not overlap
            spreads = [
                T[len(runs)] * np.std(list(runs.values()), ddof=1) / np.sqrt(len(runs)) for runs in (mine, control)
            ]
            mean, half = np.mean(list(mine.values())) - np.mean(list(control.values())), sum(spreads)
        if mean > half:
            return 1
        return -1 if two_sided and mean < -half else 0

    return verdict


def _picked(best: Callable = max, sign: int = 1, joint: bool = False, last: Callable = lambda run: run[-1]) -> Callable:
    def picked(histories: list[list[float]]) -> float:
        if joint:
            epoch = int(np.argmax(np.mean(histories, axis=0)))
            return float(np.mean([run[epoch] - run[-1] for run in histories]))
        return float(np.mean([sign * (best(run) - last(run)) for run in histories]))

    return picked


def _front(
    beats: Callable = lambda a, b: a[0] >= b[0] and a[1] <= b[1] and a != b, dominated: bool = False
) -> Callable:
    def front(rungs: list[tuple[float, float]]) -> list[int]:
        return [n for n, b in enumerate(rungs) if any(beats(a, b) for a in rungs) == dominated]

    return front


def _equal_beaten(rungs: list[tuple[float, float]]) -> list[int]:
    others = [rungs[:n] + rungs[n + 1 :] for n in range(len(rungs))]
    return [n for n, b in enumerate(rungs) if not any(a[0] >= b[0] and a[1] <= b[1] for a in others[n])]


_SCORES = {0: 38.1, 1: 37.4, 2: 39.0}
_RUNGS = [(38.0, 2.0), (37.0, 2.5), (39.0, 3.0), (35.0, 5.0), (40.0, 3.2)]

EXERCISES = {
    "08.interval": Exercise(
        "the 95 % interval of a mean",
        _interval(),
        [([38.0, 40.0, 39.0],), ([20.0, 20.5],), ([30.0, 31.0, 29.0, 30.5, 30.0],), ([1.0, 1.0, 1.0],)],
        {
            "the deviation of a sample divides by n - 1: ddof=1": _interval(ddof=0),
            "this is the spread of single runs; that of their mean is smaller by the square root of n": _interval(
                root=False
            ),
            "1.96 is for many runs; for few of them Student's t is larger": _interval(factor=1.96),
            "the half width goes to either side": _interval(whole=True),
            "both ends are wanted, low and high": lambda values: _interval()(values)[1] - np.mean(values),
        },
    ),
    "08.verdict": Exercise(
        "what pairs of equal seeds allow one to say",
        _verdict(),
        [
            (_SCORES, {0: 36.0, 1: 35.4, 2: 36.8}),
            (_SCORES, {0: 39.0, 1: 38.2, 2: 39.9}),
            (_SCORES, {0: 37.0, 1: 38.0, 2: 38.9}),
            (_SCORES, {2: 38.0, 0: 37.0, 1: 36.5}),
            ({0: 40.0, 1: 41.0, 3: 10.0}, {0: 38.0, 1: 38.9, 4: 50.0}),
            ({0: 40.0}, {0: 38.0}),
            ({0: 30.7, 1: 31.0, 2: 31.3}, {0: 30.0, 1: 30.0, 2: 30.0}),
            ({0: 40.0, 1: 41.0}, {0: 38.0, 1: 41.1}),
        ],
        {
            "a mean above 0 is not enough: its interval has to leave out 0": _verdict(interval=False),
            "pair by the seed, not by the order in which the runs stand": _verdict(pairing="order"),
            "take the differences first, pair by pair: what both runs of a seed share then drops out": _verdict(
                pairing="none"
            ),
            "it may also be worse": _verdict(two_sided=False),
            "the deviation of the mean is smaller by the square root of n": _verdict(scale=1.8),
        },
    ),
    "08.picked": Exercise(
        "what picking each run's best epoch adds",
        _picked(),
        [([[30.0, 34.0, 33.0], [31.0, 32.0, 33.0]],), ([[10.0, 20.0, 15.0, 18.0]],), ([[5.0, 4.0], [4.0, 5.0]],)],
        {
            "best minus last: picking cannot lower a score": _picked(sign=-1),
            "each run is picked by itself, so each has its own best epoch": _picked(joint=True),
            "the last evaluation is what an honest table has, not the first": _picked(last=lambda run: run[0]),
            "compare with the last evaluation, not with the mean of all": _picked(last=np.mean),
        },
    ),
    "08.front": Exercise(
        "the rungs that no other one beats in both",
        _front(),
        [
            (_RUNGS,),
            ([(30.0, 1.0), (30.0, 1.0), (31.0, 1.0)],),
            ([(30.0, 1.0), (29.0, 0.5), (28.0, 0.6)],),
            ([(30.0, 1.0), (30.0, 1.0)],),
        ],
        {
            "a higher cost is worse, not better": _front(lambda a, b: a[0] >= b[0] and a[1] >= b[1] and a != b),
            "a rung is beaten by one that is as good in one and better in the other, too": _front(
                lambda a, b: a[0] > b[0] and a[1] < b[1]
            ),
            "equal rungs do not beat each other": _equal_beaten,
            "these are the rungs that are beaten; the others are wanted": _front(dominated=True),
            "beaten means in both, not in one of them": _front(lambda a, b: a[0] > b[0] or a[1] < b[1]),
        },
    ),
}
