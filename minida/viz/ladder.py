"""Figures of `minida compare`: what a rung reaches and costs, and what it does to each class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minida.types import CLASSES, TAIL
from minida.viz.style import INK, OKABE_ITO, QUIET, WIDTH

MARKS = {"better": ("green", "^"), "worse": ("vermillion", "v"), "": ("blue", "o")}  # by what the interval allows


def cost_figure(rows: Sequence, costs: Mapping[str, float] | None = None) -> Figure:
    """mIoU with its 95 % interval against the cost of training, a mark and a name for each minida.compare.Row.

    The cost is in minutes, as they were taken, or by `costs`: rung -> its multiple of the baseline's training.
    """
    fig = Figure((WIDTH, 1.2 + 0.28 * max(10, len(rows))), layout="constrained")
    ax = fig.subplots()
    shown, spent = set(), {row.rung: costs[row.rung] if costs else row.minutes for row in rows}
    for row in rows:
        hue, mark = MARKS[row.verdict]
        ax.errorbar(
            spent[row.rung],
            row.miou,
            row.interval,
            color=OKABE_ITO[hue],
            marker=mark,
            markersize=7,
            capsize=3,
            linewidth=1,
        )
        shown.add(row.verdict)
    low, high = ax.get_ylim()
    order = sorted(rows, key=lambda row: row.miou)
    wanted = np.array([(row.miou - low) / (high - low) for row in order])
    steps = 0.052 * np.arange(len(order)) * 14 / max(14, len(order))  # names keep a line's height of distance
    spots = np.maximum.accumulate(wanted - steps) + steps
    spots -= max(0.0, spots[-1] - 0.99) * np.linspace(0.0, 1.0, len(order))
    for row, spot in zip(order, spots, strict=True):
        ax.annotate(
            f"{row.title} {row.miou:.1f}",
            (spent[row.rung], row.miou),
            (1.03, spot),
            textcoords="axes fraction",
            va="center",
            size=9,
            color=OKABE_ITO[MARKS[row.verdict][0]] if row.verdict else INK,
            arrowprops={"arrowstyle": "-", "color": "#c4c4c4", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 6},
            annotation_clip=False,
        )
    names = {"better": "better than its control", "worse": "worse than its control", "": "the seeds leave it open"}
    for verdict in sorted(shown, reverse=True):
        hue, mark = MARKS[verdict]
        ax.plot([], [], mark, color=OKABE_ITO[hue], label=names[verdict])
    fig.legend(loc="outside lower left", ncols=3)
    axis = "cost of both stages, in trainings of the baseline" if costs else "minutes of training, all stages"
    ax.set(xlabel=axis, title="mIoU in %, with the 95 % interval of its mean")
    return fig


def class_figure(rows: Sequence, names: Sequence[str] = CLASSES, tail: Sequence[int] = TAIL) -> Figure:
    """IoU in % of each class (columns, tail classes starred) on each rung (rows); a dash where a class is absent."""
    known = [name for name in names if any(name in row.iou for row in rows)]
    table = np.array([[row.iou.get(name, np.nan) for name in known] for row in rows])
    fig = Figure((WIDTH, 0.3 * len(rows) + 1.5), layout="constrained")
    ax = fig.subplots()
    ax.imshow(table, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for i, j in np.ndindex(*table.shape):
        value, text = table[i, j], "–" if np.isnan(table[i, j]) else f"{table[i, j]:.0f}"
        ax.text(j, i, text, ha="center", va="center", size=8, color="white" if value > 55 else INK)
    stars = [f"{name} *" if name in {names[index] for index in tail} else name for name in known]
    ax.set_xticks(range(len(known)), stars, rotation=55, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), [row.title for row in rows])
    ax.set_title("IoU in %, mean over the seeds (* tail class)")
    ax.grid(False)
    ax.tick_params(length=0, colors=QUIET, labelcolor=INK)
    return fig
