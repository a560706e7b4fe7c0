"""Figures and tables: arrays in, matplotlib Figures or text out. Show them with `minida.teach.figure`."""

from collections.abc import Mapping, Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.figure import Figure

from minida.types import CITYSCAPES, CLASSES, PALETTE, TAIL, ClassTable
from minida.viz.style import HATCHES, INK, QUIET, WIDTH, class_legend, ink_on, styles_of, text_colour
from minida.viz.views import colorize, outline, to_array, to_labels, to_rgb


def _label_map(ax, labels: np.ndarray, table: ClassTable, width: int) -> None:
    """Outlined classes, each large one's name written where a box of its pixels is purest and no name stands."""
    # close to the size on screen: lines of one pixel are neither dropped later nor fat
    labels = to_labels(labels, (round(labels.shape[0] * width / labels.shape[1]), width))
    ax.imshow(outline(colorize(labels, table.palette), labels), interpolation="nearest")
    halo, free = [effects.withStroke(linewidth=1.6, foreground="#000000c0")], np.ones(labels.shape, bool)
    for index in np.unique(labels[labels < len(table.names)]):
        high, wide = 12, 7 * len(table.names[index])  # pixels of the words
        total = np.pad((free & (labels == index)).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        box = total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
        y, x = np.unravel_index(box.argmax(), box.shape) if box.size else (0, 0)
        if box.size and box[y, x] > 0.75 * high * wide:
            free[y : y + high, x : x + wide] = False
            words = {"color": "white", "ha": "center", "va": "center", "path_effects": halo, "size": 8}
            ax.text(x + wide / 2, y + high / 2, table.names[index], **words)


def gallery(
    rows: Sequence[Sequence], titles: Sequence = (), table: ClassTable = CITYSCAPES, row_names: Sequence = ()
) -> Figure:
    """Images (three channels) and label maps (two dimensions) in a grid, with a legend of the classes."""
    columns = max(map(len, rows))
    first = to_array(rows[0][0])
    height, width = first.shape if first.ndim == 2 else to_rgb(rows[0][0]).shape[:2]
    fig = Figure((WIDTH, len(rows) * (0.97 * WIDTH / columns * height / width + 0.05) + 0.8), layout="constrained")
    fig.get_layout_engine().set(hspace=0.01, wspace=0.01)
    axes = fig.subplots(len(rows), columns, squeeze=False)
    present = set()
    for (i, j), ax in np.ndenumerate(axes):
        ax.set_axis_off()
        if j < len(rows[i]) and to_array(rows[i][j]).ndim == 2:
            labels = to_labels(rows[i][j])
            present |= set(np.unique(labels).tolist())
            _label_map(ax, labels, table, round(100 * WIDTH / columns))
        elif j < len(rows[i]):
            ax.imshow(to_rgb(rows[i][j]), interpolation="antialiased")
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, pad=6)
    for ax, name in zip(axes[:, 0], row_names, strict=False):
        ax.text(-0.03, 0.5, name, rotation=90, ha="right", va="center", transform=ax.transAxes)
    if present:
        class_legend(fig, sorted(present), table)
    return fig


def class_bars(
    values: Mapping[str, Sequence],
    names=CLASSES,
    tail=TAIL,
    log: bool = False,
    xlabel: str = "share of pixels",
    ax=None,
) -> Figure:
    """Bars (in %) of (C,) fractions, a group for each class; tail classes have a star and a grey band.

    Drawn on `ax` if there is one; several of one figure share one legend.
    """
    if ax is None:
        ax = Figure((WIDTH, 0.8 + len(names) * (0.12 + 0.11 * len(values))), layout="constrained").subplots()
    centres, thickness = np.arange(len(names)), 0.8 / len(values)
    for number, (label, look) in enumerate(styles_of(values).items()):
        places = centres + (number - (len(values) - 1) / 2) * thickness
        shares = 100 * np.nan_to_num(to_array(values[label]).astype(float))
        bar = {"facecolor": look["color"], "edgecolor": "white", "hatch": HATCHES[number % 5], "linewidth": 0.4}
        ax.barh(places, shares, 0.92 * thickness, label=label, **bar)
    for index in tail:
        ax.axhspan(index - 0.5, index + 0.5, color="#f3f3f3", zorder=0)
    ax.set_yticks(centres, [f"{name} *" if index in tail else name for index, name in enumerate(names)])
    ax.tick_params("y", length=0, pad=16)
    swatches = [PALETTE[CLASSES.index(name)] / 255 if name in CLASSES else (1, 1, 1) for name in names]
    on_axis = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    ax.scatter([-0.013] * len(names), centres, 50, swatches, marker="s", edgecolors=QUIET, linewidths=0.5, **on_axis)
    ax.set(ylim=(len(names) - 0.4, -0.6), xscale="log" if log else "linear")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.grid(False, axis="y")
    ax.grid(True, axis="x")
    ax.set_xlabel(f"{xlabel} in %{', logarithmic' if log else ''}{' (* tail class)' if len(tail) else ''}")
    if len(values) > 1 and not ax.figure.legends:
        ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=len(values))
    return ax.figure


def curves(series: Mapping[str, tuple], xlabel: str = "step", ylabel: str = "loss", ax=None) -> Figure:
    """Lines {name: (x, y)}, each with its name at its end; drawn on `ax` if there is one."""
    ax = ax or Figure((WIDTH, 3.6), layout="constrained").subplots()
    ends = []
    for name, look in styles_of(series).items():
        x, y = (to_array(values).astype(float) for values in series[name])
        ax.plot(x, y, markevery=max(1, len(x) // 8), **look)
        ends.extend([(y[np.isfinite(y)][-1], name, look["color"])] if np.isfinite(y).any() else [])
    low, high = ax.get_ylim()
    wanted = np.array([(end[0] - low) / (high - low) for end in sorted(ends)])
    steps = 0.07 * np.arange(len(wanted))  # labels keep a line's height of distance
    spots = np.maximum.accumulate(wanted - steps) + steps
    for spot, (_, name, colour) in zip(spots - (spots - wanted).mean() if ends else (), sorted(ends), strict=True):
        where = {"xycoords": "axes fraction", "xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(name, (1, spot), color=text_colour(colour), annotation_clip=False, **where)
    ax.set(xlabel=xlabel, title=ylabel)
    return ax.figure


def confusion_figure(counts, names: Sequence[str] = CLASSES) -> Figure:
    """Confusion matrix (C, C), rows: true class, in % of its row; shares above 1 % stand in their cells."""
    counts = to_array(counts).astype(float)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    fig = Figure((WIDTH, 0.36 * len(names) + 1.4), layout="constrained")
    ax = fig.subplots()
    ground = ax.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto").to_rgba(shares)
    for i, j in np.argwhere(shares >= 1):
        ax.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", size=8, color=ink_on(ground[i, j]))
    ax.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="predicted class", ylabel="true class", title="Share of the true class's pixels, in %")
    ax.grid(False)
    ax.tick_params(length=0, colors=QUIET, labelcolor=INK)
    return fig


def iou_table(reports: Mapping[str, object]) -> str:
    """Text of what `minida.evaluate` reports: each class's IoU in % (tail starred), then the summaries."""

    def row(label: str, values: Sequence[float | None]) -> str:
        missing = [value is None or not np.isfinite(value) for value in values]
        cells = ("-" if gone else f"{100 * v:.1f}" for v, gone in zip(values, missing, strict=True))
        return f"{label:<16}" + "".join(f"{c:>{len(n) + 2}}" for c, n in zip(cells, columns, strict=True))

    columns = [f"{name:>5}" for name in reports]
    fields = [report if isinstance(report, Mapping) else vars(report) for report in reports.values()]
    tail = {CLASSES[index] for index in TAIL}
    lines = [f"{'IoU in %':<16}" + "".join(f"  {name}" for name in columns)]
    for name in dict.fromkeys(name for field in fields for name in field["iou"]):
        lines.append(row(name + " *" * (name in tail), [field["iou"].get(name) for field in fields]))
    for label, key in (("mIoU", "miou"), ("tail mIoU (*)", "tail_miou"), ("pixel accuracy", "pixel_accuracy")):
        lines.append(row(label, [field[key] for field in fields]))
    return "\n".join(lines)
