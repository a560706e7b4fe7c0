"""ipywidgets wiring for predictions: a street, the truth, and what trained networks make of it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from minida.data import SegmentationDataset
from minida.inference import predict_image
from minida.types import IGNORE
from minida.viz.figures import gallery
from minida.viz.views import colorize, encode, error_map, outline, to_labels, to_rgb
from minida.viz.widgets import dial

VIEWS = ("image", "truth", "prediction", "errors")


class PredictionExplorer(widgets.VBox):
    """The images of a labelled data set as each of several BiSeNets, given by name, sees them."""

    def __init__(self, networks: Mapping[str, object], dataset: SegmentationDataset) -> None:
        self.networks, self.dataset = dict(networks), dataset
        self.predict = lru_cache(64)(lambda name, n: predict_image(networks[name], dataset[n][0], dataset.size))
        numbers = dial("Image", widgets.IntSlider, widgets.BoundedIntText, min=0, max=len(dataset) - 1, value=0)
        look = {"layout": {"width": "max-content"}, "style": {"description_width": "5em", "button_width": "7em"}}
        self.number, _ = numbers.children
        self.network = widgets.ToggleButtons(options=list(networks), description="Network", **look)
        self.view = widgets.ToggleButtons(options=VIEWS, value="prediction", description="View", **look)
        self.image = widgets.Image(layout={"align_self": "flex-start", "max_width": "100%", "height": "auto"})
        self.words = widgets.HTML()
        for control in (self.number, self.network, self.view):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        super().__init__([numbers, self.network, self.view, self.image, self.words])

    def __repr__(self) -> str:
        return "PredictionExplorer: run this cell to use the widget; the figure beside it says the same."

    def redraw(self) -> None:
        """Show the controls' state: the picture, and the picture in words."""
        image, labels = self.dataset[self.number.value]
        predictions, labels = self.predict(self.network.value, self.number.value), to_labels(labels)
        picture = error_map(labels, predictions) if self.view.value == "errors" else to_rgb(image)
        if self.view.value in ("truth", "prediction"):
            shown = labels if self.view.value == "truth" else predictions
            picture = outline(colorize(shown, self.dataset.table.palette), shown)
        zoom = max(1, 640 // picture.shape[1])  # whole pixels, so that small pictures are large and not smeared
        with self.image.hold_sync():
            self.image.format = "jpeg" if self.view.value == "image" else "png"
            self.image.value = encode(picture.repeat(zoom, 0).repeat(zoom, 1), self.image.format)
            self.image.layout.width = f"{zoom * picture.shape[1]}px"
        self.words.value = self.describe(labels, predictions)

    def describe(self, labels: np.ndarray, predictions: np.ndarray) -> str:
        """HTML: what is shown, how much of it is right, and the largest confusion."""
        names, valid = self.dataset.table.names, labels != IGNORE
        pairs = np.bincount(labels[valid] * len(names) + predictions[valid], minlength=len(names) ** 2)
        counts = pairs.reshape(len(names), -1) / max(valid.sum(), 1)
        words = f"Image {self.number.value}, {self.view.value}. {self.network.value}: {np.trace(counts):.1%} right."
        true, guess = np.unravel_index((wrong := counts - np.diag(np.diag(counts))).argmax(), counts.shape)
        words += f" Largest mistake: {names[true]} taken for {names[guess]}, {wrong[true, guess]:.1%} of the pixels."
        return f'<div role="status" aria-live="polite">{escape(words)}</div>'

    def static(self, numbers: Sequence[int] = (0, 1, 2)) -> Figure:
        """The same in a figure: images in rows; image, truth and every network's prediction in columns."""
        rows = [[*self.dataset[n], *(self.predict(name, n) for name in self.networks)] for n in numbers]
        return gallery(rows, ["image", "truth", *self.networks], self.dataset.table, [f"image {n}" for n in numbers])
