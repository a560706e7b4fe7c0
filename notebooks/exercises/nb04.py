"""Notebook 04: the crop around a centroid, draws in turn, what a schedule saves, what pseudo-labels weigh."""

from collections.abc import Callable

import torch
from torch import Tensor

from minida.teach.checks import Exercise


def _window(
    clip: str = "inside", middle: str = "mean", swap: bool = False, half: bool = True, whole_pixel: Callable = round
) -> Callable:
    """Top and left of a crop of `size` around the centroid of `mask`."""

    def window(mask: Tensor, size: tuple[int, int]) -> tuple[int, int]:
        places = mask.nonzero().double()  # (K, 2): rows and columns
        centre = {"mean": places.mean(0), "box": (places.amin(0) + places.amax(0)) / 2, "first": places[0],
                  "median": places.median(0).values}[middle]  # fmt: skip
        found = []
        for c, side, whole in zip(centre.tolist(), size, mask.shape, strict=True):
            start = whole_pixel(c) - (side // 2 if half else 0)
            last = {"inside": whole - side, "image": whole - 1, "none": 10**6}[clip]
            found.append(min(start if clip == "none" else max(start, 0), last))
        return tuple(found[::-1] if swap else found)

    return window


def _turn(kind: Callable, region: Callable) -> Callable:
    def turn(number: int, counts: list[int]) -> tuple[int, int]:
        c = kind(number, counts)
        return c, region(number, counts, c)

    return turn


def _queue(number: int, counts: list[int]) -> tuple[int, int]:
    """Through all regions of all classes, one class after the other."""
    number %= sum(counts)
    for c, count in enumerate(counts):
        if number < count:
            return c, number
        number -= count
    raise AssertionError("unreachable")


def _left_out(number: int, counts: list[int]) -> tuple[int, int]:
    """Each region once: a class that has run out is passed over."""
    order = [(c, region) for region in range(max(counts)) for c, count in enumerate(counts) if region < count]
    return order[number % len(order)]


def _in_turn(number: int, counts: list[int]) -> int:
    return number % len(counts)


def _saving(work: Callable = lambda area: area, warm: bool = True, inverse: bool = False, alike: str = "images"):
    """How many times faster than full crops: equally many images at every area, after a share of full crops."""

    def saving(areas: list[float], warmup: float) -> float:
        mean = sum(map(work, areas)) / len(areas)
        if alike == "steps":  # a step's work is level, and small crops come in larger batches
            mean = len(areas) / sum(1 / area for area in areas)
        time = warmup + (1 - warmup) * mean if warm else mean
        return time if inverse else 1 / time

    return saving


def _weight(total: Callable = lambda k, c: k * c / (1 + k * c)) -> Callable:
    def pseudo_share(ratio: float, coverage: float) -> float:
        return total(ratio, coverage)

    return pseudo_share


def _mask(high: int, wide: int, *boxes: tuple[int, int, int, int]) -> Tensor:
    mask = torch.zeros(high, wide, dtype=torch.bool)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


_CROPS = [
    (_mask(40, 80, (18, 30, 5, 7)), (20, 30)),  # in the middle of the image
    (_mask(40, 80, (1, 70, 5, 9)), (20, 30)),  # near the upper right corner
    (_mask(40, 80, (33, 2, 5, 3)), (16, 24)),  # near the lower left one
    (_mask(40, 80, (10, 20, 3, 3), (20, 40, 9, 9)), (12, 18)),  # two parts of unlike size
]
_COUNTS = [5, 2, 1]
_AREAS = [1 / 4, 4 / 9, 1.0]

EXERCISES = {
    "04.window": Exercise(
        "the crop around a centroid",
        _window(),
        _CROPS,
        {
            "the crop leaves the image: move it until it lies inside": _window(clip="none"),
            "the last top is height - crop height, not height - 1: the crop leaves the image below": _window("image"),
            "first the top, then the left: rows before columns": _window(swap=True),
            "this is the centroid itself; the crop begins half its size before it": _window(half=False),
            "the middle of the bounding box; the centroid is the mean of all pixels of the mask": _window(middle="box"),
            "round the mean, do not cut its decimals off": _window(whole_pixel=int),
            "the first pixel of the mask; the centroid is the mean of all its pixels": _window(middle="first"),
            "the median; the centroid is the mean of the mask's rows and columns": _window(middle="median"),
        },
    ),
    "04.turn": Exercise(
        "the draws, class by class in turn",
        _turn(_in_turn, lambda number, counts, c: number // len(counts) % counts[c]),
        [(number, _COUNTS) for number in (0, 1, 4, 5, 6, 9, 14, 15, 17)] + [(23, [3, 7]), (40, [4, 1, 6, 2])],
        {
            "a class moves on once a cycle: its draws so far are number // classes, not number": _turn(
                _in_turn, lambda number, counts, c: number % counts[c]
            ),
            "regions run out: begin again at 0 after the last of the class": _turn(
                _in_turn, lambda number, counts, c: number // len(counts)
            ),
            "all classes begin again together; each has its own number of regions": _turn(
                _in_turn, lambda number, counts, c: number // len(counts) % min(counts)
            ),
            "a region beyond a class's last: take the remainder by its own count, not by the largest": _turn(
                _in_turn, lambda number, counts, c: number // len(counts) % max(counts)
            ),
            "always the class's first region": _turn(_in_turn, lambda number, counts, c: 0),
            "one class after the other: the common ones then fill the epoch; take them in turn": _queue,
            "a class that has run out begins again; it is not left out": _left_out,
            "first the class, then its region": lambda number, counts: _turn(
                _in_turn, lambda number, counts, c: number // len(counts) % counts[c]
            )(number, counts)[::-1],
            "the class is the remainder of the number by the classes, not the quotient": _turn(
                lambda number, counts: number // len(counts) % len(counts),
                lambda number, counts, c: number // len(counts) % counts[c],
            ),
        },
    ),
    "04.saving": Exercise(
        "what a crop schedule saves",
        _saving(),
        [(_AREAS, 0.0), (_AREAS, 0.25), ([1 / 4, 1 / 4, 1.0, 1.0], 0.1), ([1.0], 0.5)],
        {
            "that is the time; how many times faster is its inverse": _saving(inverse=True),
            "the work grows with the area, which is given; not with its root, the side": _saving(lambda a: a**0.5),
            "areas are given already: do not square them": _saving(lambda a: a * a),
            "the warm-up shows full crops, at full price": _saving(warm=False),
            "equally many images at each crop, not equally many steps": _saving(alike="steps"),
            "the rest of the images is 1 - warmup of them": lambda areas, warmup: (
                1 / (warmup + sum(areas) / len(areas))
            ),
            "how many times faster, not the share of the time that is saved": lambda areas, warmup: (
                1 - 1 / _saving()(areas, warmup)
            ),
            "the mean of the speeds is not the speed of the mean: add up times first": lambda areas, warmup: (
                warmup + (1 - warmup) * sum(1 / a for a in areas) / len(areas)
            ),
        },
    ),
    "04.share": Exercise(
        "the weight of pseudo-labels in a mixed batch",
        _weight(),
        [(1, 0.5), (3, 0.5), (7, 0.2), (1, 1.0), (2, 0.0)],
        {
            "unbelieved pixels are in no loss: count the believed ones alone": _weight(lambda k, c: k / (1 + k)),
            "pseudo-labelled to labelled is a ratio; the share is of both together": _weight(lambda k, c: k * c),
            "this is the share of the true labels": _weight(lambda k, c: 1 / (1 + k * c)),
            "the coverage belongs to the pseudo-labelled images alone": _weight(lambda k, c: c * k / (1 + k)),
            "the ratio is pseudo-labelled to labelled images, not the other way round": _weight(
                lambda k, c: c / (k + c)
            ),
            "there are k pseudo-labelled images for each labelled one, not one": _weight(lambda k, c: c / (1 + c)),
            "shares from 0 to 1 are wanted, not percent": _weight(lambda k, c: 100 * k * c / (1 + k * c)),
        },
    ),
}
