"""ipywidgets wiring for U2PL: which pixels are reliable, and what the others say a pixel is not."""

from functools import lru_cache
from html import escape

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from minida.data import SegmentationDataset, normalise
from minida.labeling import EntropyPartition
from minida.models import BiSeNet
from minida.types import IGNORE
from minida.viz.label_views import WIDTH as SHOWN
from minida.viz.label_views import Bars, bars, believed_map, verdict_map
from minida.viz.style import WIDTH
from minida.viz.views import encode
from minida.viz.widgets import dial

_NOT, _IS = 0, 1  # whether a pixel is of the chosen class


class PartitionExplorer(widgets.VBox):
    """α and the ranks on dials: a network's reliable pixels, and those that become negatives of one class.

    Args:
        model: predicts the first `count` images once; γ is taken over all of them.
        dataset: a labelled one. Its labels only judge.

    Raises: ValueError for a data set without labels, or with another number of classes than the model.
    """

    def __init__(self, model: BiSeNet, dataset: SegmentationDataset, count: int = 20) -> None:
        self.table, classes = dataset.table, len(dataset.table.names)
        if not dataset.has_labels:
            raise ValueError(f"{dataset.spec} has no labels to judge the partition by; open a labelled data set")
        if model.num_classes != classes:
            raise ValueError(f"the model has {model.num_classes} classes but {dataset.spec} {classes}")
        self.count = min(count, len(dataset))
        self._predict(model, dataset)
        self.judged = lru_cache(64)(self._judged)
        controls = self._controls(classes)
        fit = {"layout": {"width": "100%", "height": "auto"}, "format": "jpeg"}
        self.reliable, self.negatives, self.bars = (widgets.Image(**fit) for _ in range(3))
        self.words = widgets.HTML()
        titles = (
            "Reliable pixels in their class's colour; pale: unreliable.",
            "Negatives of the class (rank r_l to below r_h). Blue: right. Orange with stripes: of it after all.",
            "Over all images, of a class's own pixels: reliable; and, of the unreliable, negatives of their own class.",
        )
        notes = [widgets.HTML(text) for text in titles]
        for control in (self.number, self.alpha, self.kind, self.low, self.high):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        half = {"layout": {"flex": "1 1 360px", "max_width": "480px", "margin": "0 12px 0 0"}}
        pictures = widgets.VBox([self.reliable, notes[0], self.negatives, notes[1]], **half)
        row = widgets.HBox([pictures, widgets.VBox([self.bars, notes[2]], **half)], layout={"flex_flow": "row wrap"})
        super().__init__([*controls, self.words, row])

    def _controls(self, classes: int) -> list[widgets.Widget]:
        whole, share = (widgets.IntSlider, widgets.BoundedIntText), (widgets.FloatSlider, widgets.BoundedFloatText)
        rows = (
            dial("Image", *whole, min=0, max=self.count - 1, value=0),
            dial("α", *share, min=0, max=1, step=0.01, value=0.2),
            dial("r_l", *whole, min=0, max=classes, value=min(3, classes)),
            dial("r_h", *whole, min=0, max=classes, value=classes),
        )
        self.number, self.alpha, self.low, self.high = (row.children[0] for row in rows)
        look = {"style": {"description_width": "5em"}, "layout": {"width": "27em"}}
        names = [(name, index) for index, name in enumerate(self.table.names)]
        self.kind = widgets.SelectionSlider(options=names, description="Class", value=min(13, classes - 1), **look)
        return [*rows[:2], self.kind, *rows[2:]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def _predict(self, model: BiSeNet, dataset: SegmentationDataset) -> None:
        device, whole, found = next(model.parameters()).device, EntropyPartition(model.num_classes), []
        for n in range(self.count):
            image, truth = dataset[n]
            probs = model.probs(normalise(image[None].to(device))).cpu()
            whole.observe(probs)
            ranks = probs[0].argsort(dim=0, descending=True, stable=True).argsort(dim=0).to(torch.uint8)  # (C, H, W)
            found.append((image, truth.numpy(), whole.scored(probs)[0][0].numpy(), ranks.numpy()))
        self.images, truth, entropy, ranks = zip(*found, strict=True)
        self.truth, self.entropy, self.ranks = np.stack(truth), np.stack(entropy), np.stack(ranks)  # (N, …)
        self.counts, self.known = whole.counts, self.truth != IGNORE
        own = np.where(self.known, self.truth, 0)[:, None]
        self.own = np.take_along_axis(self.ranks, own, 1)[:, 0]  # (N, H, W): rank of each pixel's true class

    def gamma(self, alpha: float) -> float:
        """γ, in nats: the entropy below which a pixel is reliable, where the share `alpha` shall not be."""
        partition = EntropyPartition(len(self.table.names), alpha)
        partition.counts = self.counts
        return float(partition.fit().score[0])

    def _judged(self, alpha: float, low: int, high: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
        """(C,) reliable share of each class's pixels; (C,) share of its unreliable ones that are its own negatives;
        the share of all pixels that is reliable, and of these and the others, the share predicted right."""
        reliable = self.entropy < self.gamma(alpha)
        mistaken = ~reliable & (self.own >= low) & (self.own < high)
        amount, sure, wrong = (
            np.bincount(self.truth[mask & self.known], minlength=len(self.table.names))
            for mask in (self.known, reliable, mistaken)
        )
        with np.errstate(invalid="ignore"):
            shares = sure / amount, wrong / (amount - sure)
            right = [float(np.mean(self.own[mask & self.known] == 0)) if (mask & self.known).any() else np.nan
                     for mask in (reliable, ~reliable)]  # fmt: skip
        return *shares, (float(reliable.mean()), *right)

    def state(self) -> tuple[float, int, int]:
        """α and the two ranks, as the controls say."""
        return round(self.alpha.value, 2), self.low.value, self.high.value

    def negative_mask(self) -> np.ndarray:
        """(H, W) bool: the image's pixels that become negatives of the class."""
        alpha, low, high = self.state()
        rank = self.ranks[self.number.value, self.kind.value]
        return (self.entropy[self.number.value] >= self.gamma(alpha)) & (rank >= low) & (rank < high)

    def paint(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The reliable pixels, the negatives of the class, and the bars."""
        n, (alpha, low, high) = self.number.value, self.state()
        guess = self.ranks[n].argmin(0)
        pseudo = np.where(self.entropy[n] < self.gamma(alpha), guess, IGNORE)
        truth = np.where(self.known[n], self.truth[n] == self.kind.value, IGNORE)
        pictures = (
            believed_map(self.images[n], pseudo, self.table.palette),
            verdict_map(self.images[n], np.where(self.negative_mask(), _NOT, IGNORE), truth),
        )
        zoom = max(1, round(SHOWN / pictures[0].shape[1]))
        sure, mistaken, _ = self.judged(alpha, low, high)
        columns = Bars("reliable", sure, (0, 114, 178)), Bars("own negatives", mistaken, (213, 94, 0))
        chart = bars(self.table.names, self.table.palette, columns)
        return *(picture.repeat(zoom, 0).repeat(zoom, 1) for picture in pictures), chart

    def redraw(self) -> None:
        """Show the controls' state: pictures, and what they say in words."""
        for widget, picture in zip((self.reliable, self.negatives, self.bars), self.paint(), strict=True):
            widget.value = encode(picture)
        style = "line-height:1.5;min-height:4.5em;margin:4px 0;white-space:pre-line"
        self.words.value = f'<div role="status" aria-live="polite" style="{style}">{escape(self.describe())}</div>'

    def describe(self) -> str:
        """The partition over all images, and the negatives of the class in this one."""
        alpha, low, high = self.state()
        kept, sure, unsure = self.judged(alpha, low, high)[2]
        mask, name, n = self.negative_mask(), self.table.names[self.kind.value], self.number.value
        mistaken = int((mask & (self.truth[n] == self.kind.value)).sum())
        return (
            f"α = {alpha:.0%}: γ = {self.gamma(alpha):.2f} nats; {kept:.1%} of the pixels are reliable.\n"
            f"The first guess is right on {_percent(sure)} of the reliable and {_percent(unsure)} of the others.\n"
            f"Negatives of {name} in image {n}: {mask.sum():,} pixels; {mistaken:,} of them are {name}."
        )

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run."""
        reliable, negatives, chart = self.paint()
        fig = Figure((WIDTH, 4.6), layout="constrained")
        grid = fig.add_gridspec(2, 2, width_ratios=(1, 1.05))
        for place, picture, title in (
            (grid[0, 0], reliable, f"reliable at α = {self.state()[0]:.0%}"),
            (grid[1, 0], negatives, f"negatives of {self.table.names[self.kind.value]}"),
            (grid[:, 1], chart, "of each class's own pixels"),
        ):
            ax = fig.add_subplot(place)
            ax.imshow(picture, interpolation="antialiased")
            ax.set(title=title)
            ax.set_axis_off()
        return fig


def _percent(share: float) -> str:
    return "none" if np.isnan(share) else f"{share:.1%}"
