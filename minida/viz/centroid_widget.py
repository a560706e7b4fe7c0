"""ipywidgets wiring for centroid sampling: what is drawn, and what that does to the shares of the classes."""

from functools import lru_cache
from html import escape

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from minida.data import SegmentationDataset
from minida.data.centroids import Centroids
from minida.data.transforms import around
from minida.types import IGNORE
from minida.viz.label_views import Bars, bars
from minida.viz.style import WIDTH
from minida.viz.views import encode, one_class, overlay, to_rgb
from minida.viz.widgets import dial

_FRAME, _LEAST = (255, 200, 0), 1e-4
Window = tuple[int, int, int, int]  # top, left, height, width


def window_view(image, labels, kind: int, window: Window, points: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8, about 960 wide: class `kind` over the image, its regions' `points` (y, x), a crop's frame."""
    picture = one_class(image, labels, kind, palette)
    zoom = max(1, round(960 / picture.shape[1]))
    canvas = Image.fromarray(picture.repeat(zoom, 0).repeat(zoom, 1))
    draw = ImageDraw.Draw(canvas)
    for y, x in (points + 0.5) * zoom:
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), "white", "black", 3)
    top, left, height, width = (zoom * side for side in window)
    frame = (left, top, left + width - 1, top + height - 1)
    draw.rectangle(frame, None, "black", 8)
    draw.rectangle(tuple(side + inset for side, inset in zip(frame, (2, 2, -2, -2), strict=True)), None, _FRAME, 4)
    return np.asarray(canvas)


class CentroidExplorer(widgets.VBox):
    """Crops as centroid sampling draws them from a labelled data set, and the shares of the classes in them.

    Args:
        dataset: a labelled or pseudo-labelled one.
        draws: crops that the shares are measured over, of each kind.

    Raises: ValueError where no pixel has a label.
    """

    def __init__(self, dataset: SegmentationDataset, draws: int = 190) -> None:
        self.dataset, self.table, self.count = dataset, dataset.table, draws
        self.index, self.pair = Centroids.of(dataset), lru_cache(4)(dataset.__getitem__)
        self.labels = lru_cache(512)(lambda index: dataset.training_labels(index).byte().numpy())
        self.shares = lru_cache(64)(self._shares)
        numbers = dial("Draw", widgets.IntSlider, widgets.BoundedIntText, min=0, max=draws - 1, value=0)
        zooms = dial("Scale", widgets.FloatSlider, widgets.BoundedFloatText, min=1, max=4, step=0.1, value=1.6)
        parts = dial("Share", widgets.FloatSlider, widgets.BoundedFloatText, min=0, max=1, step=0.05, value=0.5)
        self.number, self.zoom, self.part = (row.children[0] for row in (numbers, zooms, parts))
        fit = {"layout": {"width": "100%", "height": "auto"}, "format": "jpeg"}
        self.where, self.crop, self.bars = (widgets.Image(**fit) for _ in range(3))
        self.words, note = widgets.HTML(), widgets.HTML("Bars have a logarithmic scale, from 0.01 % to 100 %.")
        for control in (self.number, self.zoom, self.part):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        half = {"layout": {"flex": "1 1 360px", "max_width": "480px", "margin": "0 12px 0 0"}}
        sides = [widgets.VBox([self.where, self.crop], **half), widgets.VBox([self.bars, note], **half)]
        row = widgets.HBox(sides, layout={"flex_flow": "row wrap"})
        super().__init__([numbers, zooms, parts, self.words, row])

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def window(self, centre: tuple[int, int], zoom: float) -> Window:
        """The part of an image that a crop around `centre` shows at a random scale of `zoom`."""
        size = tuple(max(1, round(side / zoom)) for side in self.dataset.size)
        return *around(centre, size, self.dataset.size), *size

    def _counts(self, index: int, window: Window) -> np.ndarray:
        """(C,) pixels of each class in a window."""
        top, left, height, width = window
        labels = self.labels(index)[top : top + height, left : left + width]
        return np.bincount(labels[labels != IGNORE], minlength=len(self.table.names))

    def _shares(self, zoom: float) -> tuple[np.ndarray, np.ndarray]:
        """(C,) shares of the classes in random crops, and in crops drawn by centroids."""
        rng, size = np.random.default_rng(0), self.window((0, 0), zoom)[2:]
        corners = [
            [rng.integers(h - w + 1) for h, w in zip(self.dataset.size, size, strict=True)] for _ in range(self.count)
        ]
        places = [(n % len(self.dataset), (*corner, *size)) for n, corner in enumerate(corners)]
        draws = map(self.index.draw, range(self.count))
        drawn = [(draw.index, self.window((draw.y, draw.x), zoom)) for draw in draws]
        kinds = (sum(self._counts(i, window) for i, window in kind) for kind in (places, drawn))
        return tuple(counts / max(counts.sum(), 1) for counts in kinds)

    def mixed(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the classes without centroid sampling, and with the share of it that the control says."""
        plain, drawn = self.shares(round(self.zoom.value, 2))
        return plain, (1 - self.part.value) * plain + self.part.value * drawn

    def paint(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The drawn image with its crop's frame, the crop with its classes, and the bars."""
        draw = self.index.draw(self.number.value)
        image, labels = self.pair(draw.index)
        top, left, height, width = window = self.window((draw.y, draw.x), self.zoom.value)
        rows = self.index.table[(self.index.table[:, 0] == draw.index) & (self.index.table[:, 1] == draw.kind)]
        where = window_view(image, labels, draw.kind, window, rows[:, 3:], self.table.palette)
        inside = np.ix_(range(top, top + height), range(left, left + width))
        crop = overlay(to_rgb(image)[inside], labels.numpy()[inside], palette=self.table.palette)
        grown = np.asarray(Image.fromarray(crop).resize((where.shape[1], where.shape[0]), Image.Resampling.NEAREST))
        plain, with_centroids = self.mixed()
        columns = (
            Bars("random crops", plain, (107, 107, 107), least=_LEAST),
            Bars(f"{self.part.value:.0%} by centroids", with_centroids, (0, 114, 178), least=_LEAST),
        )
        return where, grown, bars(self.table.names, self.table.palette, columns)

    def redraw(self) -> None:
        """Show the controls' state: pictures, and what they say in words."""
        for widget, picture in zip((self.where, self.crop, self.bars), self.paint(), strict=True):
            widget.value = encode(picture)
        style = "line-height:1.5;min-height:3em;margin:4px 0;white-space:pre-line"
        self.words.value = f'<div role="status" aria-live="polite" style="{style}">{escape(self.describe())}</div>'

    def describe(self) -> str:
        """What was drawn, and how it changes the share of its class."""
        draw, names = self.index.draw(self.number.value), self.table.names
        regions, (plain, mixed) = len(self.index.rows[draw.kind]), self.mixed()
        before, after = plain[draw.kind], mixed[draw.kind]
        name, where = names[draw.kind], f"around row {draw.y}, column {draw.x} of image {draw.index}"
        return (
            f"Draw {self.number.value}: {name}, {where}; one of the {regions} regions of its class.\n"
            f"{name} has {before:.2%} of the pixels in random crops, {after:.2%} with this share of centroids."
        )

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run."""
        where, crop, chart = self.paint()
        fig = Figure((WIDTH, 4.6), layout="constrained")
        grid = fig.add_gridspec(2, 2, width_ratios=(1, 1.05))
        draw = self.index.draw(self.number.value)
        for place, picture, title in (
            (grid[0, 0], where, f"drawn: {self.table.names[draw.kind]}"),
            (grid[1, 0], crop, "its crop, with its classes"),
            (grid[:, 1], chart, "shares of the pixels, logarithmic"),
        ):
            ax = fig.add_subplot(place)
            ax.imshow(picture, interpolation="antialiased")
            ax.set(title=title)
            ax.set_axis_off()
        return fig
