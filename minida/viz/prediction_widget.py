"""ipywidgets wiring for predictions: a street, the truth, and what trained networks make of it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from minida.data import SegmentationDataset
from minida.inference import predict_image
from minida.models import BiSeNet
from minida.types import IGNORE
from minida.viz.figures import gallery
from minida.viz.views import colorize, encode, error_map, outline, to_labels, to_rgb
from minida.viz.widgets import dial


class PredictionExplorer(widgets.VBox):
    """The images of a labelled data set, or of several by name, as each of some named BiSeNets sees them."""

    views = ("image", "truth", "prediction", "errors")

    def __init__(
        self, networks: Mapping[str, BiSeNet], datasets: SegmentationDataset | Mapping[str, SegmentationDataset]
    ) -> None:
        self.networks = dict(networks)
        self.datasets = dict(datasets) if isinstance(datasets, Mapping) else {"": datasets}
        self.pair = lru_cache(8)(lambda domain, n: self.datasets[domain][n])
        self.predict = lru_cache(64)(
            lambda name, domain, n: predict_image(networks[name], self.pair(domain, n)[0], self.datasets[domain].size)
        )
        last = min(map(len, self.datasets.values())) - 1
        numbers = dial("Image", widgets.IntSlider, widgets.BoundedIntText, min=0, max=last, value=0)
        look = {"layout": {"width": "max-content"}, "style": {"description_width": "5em", "button_width": "9em"}}
        self.number, _ = numbers.children
        self.network = widgets.ToggleButtons(options=list(networks), description="Network", **look)
        self.domain = widgets.ToggleButtons(options=list(self.datasets), description="Domain", **look)
        self.view = widgets.ToggleButtons(options=self.views, value="prediction", description="View", **look)
        self.image = widgets.Image(layout={"align_self": "flex-start", "max_width": "100%", "height": "auto"})
        self.words = widgets.HTML()
        for control in (self.number, self.network, self.domain, self.view):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        domains = [self.domain] if len(self.datasets) > 1 else []
        super().__init__([numbers, self.network, *domains, self.view, self.image, self.words])

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def redraw(self) -> None:
        """Show the controls' state: the picture, and the picture in words."""
        place = self.network.value, self.domain.value, self.number.value
        picture = self.paint(self.view.value, *place)
        with self.image.hold_sync():
            self.image.format = "jpeg" if self.view.value == "image" else "png"
            self.image.value = encode(picture, self.image.format)
            self.image.layout.width = f"{picture.shape[1]}px"
        self.words.value = f'<div role="status" aria-live="polite">{escape(self.describe(*place))}</div>'

    def paint(self, view: str, name: str, domain: str, n: int) -> np.ndarray:
        """(H, W, 3) uint8: one view of image `n` and of what a network makes of it."""
        (image, labels), predictions = self.pair(domain, n), self.predict(name, domain, n)
        picture = error_map(labels, predictions) if view == "errors" else to_rgb(image)
        if view in ("truth", "prediction"):
            shown = labels if view == "truth" else predictions
            picture = outline(colorize(shown, self.datasets[domain].table.palette), shown)
        zoom = max(1, 640 // picture.shape[1])  # whole pixels, so that small pictures are large and not smeared
        return picture.repeat(zoom, 0).repeat(zoom, 1)

    def describe(self, name: str, domain: str, n: int) -> str:
        """What is shown, how much of it is right, and the largest confusion."""
        names, labels = self.datasets[domain].table.names, to_labels(self.pair(domain, n)[1])
        predictions, valid = self.predict(name, domain, n), labels != IGNORE
        pairs = np.bincount(labels[valid] * len(names) + predictions[valid], minlength=len(names) ** 2)
        counts = pairs.reshape(len(names), -1) / max(valid.sum(), 1)
        true, guess = np.unravel_index((wrong := counts - np.diag(np.diag(counts))).argmax(), counts.shape)
        shown = ", ".join(filter(None, (f"Image {n}", domain, self.view.value)))
        mistake = f"{names[true]} taken for {names[guess]}, {wrong[true, guess]:.1%} of the pixels"
        return f"{shown}. {name}: {np.trace(counts):.1%} right. Largest mistake: {mistake}."

    def static(self, numbers: Sequence[int] = (0, 1, 2)) -> Figure:
        """The same in a figure: images in rows; image, truth and every network's prediction in columns."""
        places = [(domain, n) for domain in self.datasets for n in numbers]
        rows = [[*self.pair(*place), *(self.cell(name, *place) for name in self.networks)] for place in places]
        table = next(iter(self.datasets.values())).table
        return gallery(rows, ["image", "truth", *self.networks], table, [f"{d or 'image'} {n}" for d, n in places])

    def cell(self, name: str, domain: str, n: int) -> np.ndarray:
        """What stands in a network's column of the figure: labels or a picture."""
        return self.predict(name, domain, n)
