"""ipywidgets wiring for pseudo-labels: what two strategies believe of a network's predictions, and what is right."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from math import isnan

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from minida.data import SegmentationDataset
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet
from minida.viz.label_judge import OPTIONS, LabelJudge
from minida.viz.label_views import VIEWS, label_view, quality_bars
from minida.viz.style import WIDTH
from minida.viz.views import encode
from minida.viz.widgets import dial

RULES = {  # what a strategy is called, and what it believes
    "st": ("ST", "the surest α of all pixels"),
    "mpt": ("MPT", "each class's surer half, all from the cap up"),
    "cbst": ("CBST", "the surest α of each class"),
    "da": ("DA", "α of all, shared out as in the labelled data"),
    "dars": ("DARS", "as DA, thinned at random to that share"),
    "entropy": ("Entropy", "all but the α₀ of highest entropy"),
}
BARS = "Coverage: the believed part of a class's pixels. Accuracy: the right part of the labels that name the class."


class LabelExplorer(widgets.VBox):
    """Two labelling strategies side by side, on the same predictions of one network.

    Args:
        model: predicts `count` images once; each strategy then observes all of them.
        dataset: a labelled one. Its labels only judge: no strategy sees them.
        prior: (C,) class frequencies of the *labelled* data, on any scale, for DA and DARS.
        count: images (default: as many as hold the pixels of 20 of 96 × 192, so that a change shows at once).

    Raises: ValueError, as LabelJudge.
    """

    def __init__(
        self, model: BiSeNet, dataset: SegmentationDataset, prior: Sequence[float], count: int | None = None
    ) -> None:
        self.judge, self.table = LabelJudge(model, dataset, prior, count), dataset.table
        self.chart = lru_cache(64)(lambda *choice: encode(self.bars_of(choice)))
        controls = self._controls()
        self.words, self.legend, note = (widgets.HTML(), widgets.HTML()), widgets.HTML(), widgets.HTML(BARS)
        fit = {"layout": {"width": "100%", "height": "auto"}, "format": "jpeg"}
        self.pictures, self.bars = ((widgets.Image(**fit), widgets.Image(**fit)) for _ in range(2))
        for control in (self.number, self.left, self.right, self.view, *self.sliders.values()):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        look = {
            "layout": {"flex": "1 1 360px", "max_width": "480px", "margin": "0 12px 0 0"}
        }  # narrow: one above another
        sides = [widgets.VBox(parts, **look) for parts in zip(self.words, self.pictures, self.bars, strict=True)]
        super().__init__([*controls, self.legend, widgets.HBox(sides, layout={"flex_flow": "row wrap"}), note])

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def _controls(self) -> list[widgets.Widget]:
        """Rows of controls. `number`, `left`, `right`, `view` and `sliders` are observed, `dials` switched off."""
        numbers = dial("Image", widgets.IntSlider, widgets.BoundedIntText, min=0, max=self.judge.count - 1, value=0)
        share = {"slider": widgets.FloatSlider, "box": widgets.BoundedFloatText, "min": 0, "max": 1, "step": 0.01}
        self.dials = {
            "ratio": dial("Ratio α", **share, value=0.2),
            "cap": dial("Cap", **share, value=0.9),
            "alpha0": dial("Drop α₀", **share, value=0.2),
            "temperature": dial("Temp.", **share | {"min": 0.5, "max": 4, "step": 0.1}, value=1),
        }
        for row in self.dials.values():
            row.children[0].layout.width = "19em"  # two rows beside one another
        self.number, self.sliders = numbers.children[0], {name: row.children[0] for name, row in self.dials.items()}
        look = {
            "layout": {"display": "flex", "margin": "3px 2px"},
            "style": {"description_width": "5em", "button_width": "9em"},
        }
        look["options"] = [(title, name) for name, (title, _) in RULES.items()]
        look["tooltips"] = [words for _, words in RULES.values()]
        self.left = widgets.ToggleButtons(value="st", description="Left", **look)
        self.right = widgets.ToggleButtons(value="dars", description="Right", **look)
        look |= {"options": list(VIEWS), "tooltips": list(VIEWS.values())}
        self.view = widgets.ToggleButtons(value="right or wrong", description="View", **look)
        dials = widgets.HBox(list(self.dials.values()), layout={"flex_flow": "row wrap"})
        return [numbers, self.left, self.right, self.view, dials]

    def redraw(self) -> None:
        """Show the controls' state: pictures, what they say in words, and bars."""
        names, n, view = (self.left.value, self.right.value), self.number.value, self.view.value
        for option, row in self.dials.items():
            for part in row.children:
                part.disabled = option not in {"temperature", *(OPTIONS[name] for name in names)}
        for name, picture, words, bars in zip(names, self.pictures, self.words, self.bars, strict=True):
            with picture.hold_sync():
                picture.format = "png" if view in ("truth", "prediction") else "jpeg"
                picture.value = encode(self.paint(view, name, n), picture.format)
            words.value = _status(": ".join(RULES[name]), self.describe(name, n), 4)
            bars.value = self.chart(*self.choice(name))
        self.legend.value = _status(f"Image {n} of 0 to {self.judge.count - 1}, {view}", VIEWS[view], 2)

    def choice(self, name: str) -> tuple[str, float, float]:
        """A strategy and what it reads of the dials."""
        return name, *(round(self.sliders[option].value, 4) for option in (OPTIONS[name], "temperature"))

    def paint(self, view: str, name: str, n: int) -> np.ndarray:
        """(h, w, 3) uint8, about 960 wide: one view of image `n` and of what a strategy believes there."""
        known = self.judge.images[n], self.judge.truth[n], self.judge.predictions(n)
        return label_view(view, *known, self.judge.labels(self.choice(name), n), self.table.palette)

    def bars_of(self, choice: tuple[str, float, float]) -> np.ndarray:
        """Coverage and accuracy of every class over all images, as a picture."""
        quality = self.judge.quality(choice)
        rows = [(shares.overall, *shares.per_class) for shares in (quality.coverage(), quality.accuracy())]
        return quality_bars((f"all {self.judge.count} images", *self.table.names), self.table.palette, *rows)

    def describe(self, name: str, n: int) -> str:
        """How much a strategy believes and how much of that is right, in image `n` and in all."""
        quality, here = (self.judge.quality(self.choice(name), number) for number in (None, n))
        given, kl = quality.shares(), quality.kl(quality.counts.sum(0)[:-1])
        if isnan(kl):
            return "It believes nothing."
        classes = f"{(given > 0).sum()} of {len(given)} classes, KL to the true shares {kl:.3f}"
        return f"Here: {_told(here)}.\nAll {self.judge.count} images: {_told(quality)}.\n{classes}."

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run: image and truth, then the two strategies."""
        n, (high, wide), chart = self.number.value, self.judge.truth.shape[1:], 0.4 * WIDTH
        height = WIDTH / 2 * high / wide
        figure = Figure((WIDTH, 2 * height + chart + 1.2), layout="constrained")
        axes = figure.subplots(3, 2, height_ratios=(height, height, chart))
        for column, (name, above) in enumerate(((self.left.value, "image"), (self.right.value, "truth"))):
            choice = self.choice(name)
            pictures = (*(self.paint(view, name, n) for view in (above, "right or wrong")), self.bars_of(choice))
            lines = self.describe(name, n).split("\n")
            titles = (f"{above} {n}", f"{RULES[name][0]}. {lines[0]}", lines[-1])
            for ax, picture, title in zip(axes[:, column], pictures, titles, strict=True):
                ax.imshow(picture, interpolation="antialiased")
                ax.set(title=title)
                ax.set_axis_off()
        figure.supxlabel(f"{VIEWS['right or wrong']}\n{BARS}", size=8.5, x=0.01, ha="left")
        return figure


def _told(quality: PseudoLabelQuality) -> str:
    right = quality.accuracy().overall
    return f"{quality.coverage().overall:.1%} believed" + ("" if isnan(right) else f", {right:.1%} of that right")


def _status(title: str, words: str, lines: int) -> str:
    style = f"line-height:1.5;min-height:{1.5 * lines}em;margin:4px 0;white-space:pre-line"
    return f'<div role="status" aria-live="polite" style="{style}"><b>{escape(title)}</b>\n{escape(words)}</div>'
