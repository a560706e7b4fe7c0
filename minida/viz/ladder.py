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
_COST = "#8a8a8a"


def cost_figure(rows: Sequence, costs: Mapping[str, float] | None = None) -> Figure:
    """A line for each minida.compare.Row, best on top: mIoU with its 95 % interval, and beside it the cost of training.

    The cost is in minutes, as they were taken, or by `costs`: rung -> its multiple of the baseline's training.
    """
    order = sorted(rows, key=lambda row: row.miou)
    kinds = ["alone" if row.control is None else row.verdict for row in order]
    places = range(len(order))
    fig = Figure((WIDTH, 1.5 + 0.29 * len(order)), layout="constrained")
    scores, spent = fig.subplots(1, 2, sharey=True, width_ratios=(2.4, 1))
    for place, row, kind in zip(places, order, kinds, strict=True):
        hue, mark, _ = MARKS[kind]
        look = {"color": LINES[hue], "marker": mark, "markersize": {"D": 6.5, "o": 8}.get(mark, 9), "linewidth": 1.6}
        scores.errorbar(row.miou, place, xerr=row.interval, markeredgecolor="white", **look)
    scores.set_yticks(places, [f"{row.title}   {row.miou:.1f}" for row in order])
    for name, row, kind in zip(scores.get_yticklabels(), order, kinds, strict=True):
        name.set_color(text_colour(LINES[MARKS[kind][0]]) if row.verdict else INK)
    cost = [costs[row.rung] if costs else row.minutes for row in order]
    bars = spent.barh(places, cost, 0.42, color=_COST)
    spent.bar_label(bars, [f"{value:.1f}{'×' if costs else ''}" for value in cost], padding=4, color=INK)
    spent.grid(False)
    scores.grid(False, axis="x")
    scores.grid(True, axis="y")
    for ax in (scores, spent):
        ax.tick_params("y", length=0)
        ax.spines.left.set_visible(False)
    scores.set(ylim=(-0.7, len(order) - 0.3), title="mIoU in %, with the 95 % interval of its mean")
    spent.set(xticks=(), xlim=(0, 1.25 * max(cost)), title="cost, all stages")
    spent.set_xlabel("in trainings of the baseline" if costs else "in minutes", loc="left")
    spent.spines.bottom.set_visible(False)
    for hue, mark, words in (MARKS[kind] for kind in MARKS if kind in kinds):
        scores.plot([], [], mark, color=LINES[hue], label=words)
    fig.legend(loc="outside lower left", ncols=4)
    return fig


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
