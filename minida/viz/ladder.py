"""Figures of `minida compare`: what a rung reaches and costs, and what it does to each class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minida.types import CLASSES, TAIL
from minida.viz.style import INK, LINES, QUIET, WIDTH, ink_on, text_colour

MARKS = {  # by what the interval of the difference to the control allows
    "better": ("green", "^", "better than its control"), "worse": ("vermillion", "v", "worse than its control"),
    "": ("blue", "o", "the seeds leave it open"), "alone": ("black", "D", "has no control"),
}  # fmt: skip


def cost_figure(rows: Sequence, costs: Mapping[str, float] | None = None) -> Figure:
    """mIoU with its 95 % interval against the cost of training, a mark and a name for each minida.compare.Row.

    The cost is in minutes, as they were taken, or by `costs`: rung -> its multiple of the baseline's training.
    """
    fig = Figure((WIDTH, 1.2 + 0.28 * max(10, len(rows))), layout="constrained")
    ax = fig.subplots()
    order = sorted(rows, key=lambda row: row.miou)
    kinds = ["alone" if row.control is None else row.verdict for row in order]
    spent = [costs[row.rung] if costs else row.minutes for row in order]
    for row, kind, cost in zip(order, kinds, spent, strict=True):
        hue, mark, _ = MARKS[kind]
        look = {"color": LINES[hue], "marker": mark, "markersize": 6 if mark == "D" else 7}
        ax.errorbar(cost, row.miou, row.interval, **look, capsize=3, linewidth=1)
    line = {"arrowstyle": "-", "relpos": (0, 0.5), "color": "#8c8c8c", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 6}
    for row, kind, cost, spot in zip(order, kinds, spent, _spots(order, *ax.get_ylim()), strict=True):
        ax.annotate(
            f"{row.title} {row.miou:.1f}",
            (cost, row.miou),
            (1.03, spot),
            textcoords="axes fraction",
            va="center",
            size=9,
            color=text_colour(LINES[MARKS[kind][0]]) if row.verdict else INK,
            arrowprops=line,
            annotation_clip=False,
        )
    for hue, mark, words in (MARKS[kind] for kind in MARKS if kind in kinds):
        ax.plot([], [], mark, color=LINES[hue], label=words)
    fig.legend(loc="outside lower left", ncols=4)
    axis = "cost of both stages, in trainings of the baseline" if costs else "minutes of training, all stages"
    ax.set(xlabel=axis, title="mIoU in %, with the 95 % interval of its mean")
    return fig


def _spots(order: Sequence, low: float, high: float) -> np.ndarray:
    """Heights of the names, 0 to 1, in the rows' order: near the points, with a line's height of distance."""
    steps = 0.052 * np.arange(len(order)) * 14 / max(14, len(order))
    wanted = np.array([(row.miou - low) / (high - low) for row in order]) - steps
    up, down = np.maximum.accumulate(wanted), np.minimum.accumulate(wanted[::-1])[::-1]
    return np.clip((up + down) / 2, 0.0, 0.99 - steps[-1]) + steps


def class_figure(rows: Sequence, names: Sequence[str] = CLASSES, tail: Sequence[int] = TAIL) -> Figure:
    """IoU in % of each class (columns, tail classes starred) on each rung (rows); a dash where a class is absent."""
    known = [name for name in names if any(name in row.iou for row in rows)]
    table = np.array([[row.iou.get(name, np.nan) for name in known] for row in rows])
    fig = Figure((WIDTH, 0.3 * len(rows) + 1.5), layout="constrained")
    ax = fig.subplots()
    ground = ax.imshow(table, cmap="Blues", vmin=0, vmax=100, aspect="auto").to_rgba(np.nan_to_num(table))
    for i, j in np.ndindex(*table.shape):
        text = "–" if np.isnan(table[i, j]) else f"{table[i, j]:.0f}"
        ax.text(j, i, text, ha="center", va="center", size=8, color=ink_on(ground[i, j]))
    stars = [f"{name} *" if name in {names[index] for index in tail} else name for name in known]
    ax.set_xticks(range(len(known)), stars, rotation=55, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), [row.title for row in rows])
    ax.set_title("IoU in %, mean over the seeds (* tail class)")
    ax.grid(False)
    ax.tick_params(length=0, colors=QUIET, labelcolor=INK)
    return fig
