"""ipywidgets wiring only: callbacks set state, a pure function paints it; all works by keyboard."""

from dataclasses import dataclass
from functools import lru_cache
from html import escape

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from traitlets import link

from minida.data import MiniCity
from minida.types import CITYSCAPES, IGNORE, ClassTable
from minida.viz.figures import gallery
from minida.viz.views import colorize, encode, one_class, outline, overlay, to_labels, to_rgb

VIEWS = ("image", "labels", "overlay", "one class")


@dataclass(frozen=True)
class StreetState:
    """What the explorer shows."""

    number: int = 0
    view: str = "overlay"
    class_id: int = 13
    gap: float = 1.0


def street_view(state: StreetState, image, labels, table: ClassTable = CITYSCAPES) -> np.ndarray:
    """(H, W, 3) uint8: one view of an image and its labels."""
    if state.view == "labels":
        return outline(colorize(labels, table.palette), labels)
    if state.view == "overlay":
        return overlay(image, labels, palette=table.palette)
    if state.view == "one class":
        return one_class(image, labels, state.class_id, table.palette)
    return to_rgb(image)


def dial(label: str, slider: type, box: type, **limits) -> widgets.HBox:
    """A slider with a visible label and a typed box beside it, kept equal."""
    look = {"style": {"description_width": "5em"}}
    bar = slider(**limits, description=label, readout=False, layout={"width": "27em"}, **look)
    typed = box(**limits, description=f"{label} =", layout={"width": "11em"}, **look)
    link((bar, "value"), (typed, "value"))
    return widgets.HBox([bar, typed])


class StreetExplorer(widgets.VBox):
    """Streets as image, labels, overlay or one class at a time, and the domain gap on a dial.

    `datasets` is None (MiniCity's real domain), one data set (no dial), or a function gap -> data set.
    """

    def __init__(self, datasets=None, size: tuple[int, int] = (256, 512)) -> None:
        self.has_gap = datasets is None or callable(datasets)
        painted = datasets or (lambda gap: MiniCity("real", size=size, gap=gap))
        opened = lru_cache(32)(painted if self.has_gap else lambda gap: datasets)
        self.pair = lru_cache(64)(lambda gap, number: opened(gap)[number])  # painted once
        self.table, self.count = opened(1.0).table, len(opened(1.0))
        last = self.count - 1
        numbers = dial("Image", widgets.IntSlider, widgets.BoundedIntText, min=0, max=last, value=0)
        gaps = dial("Gap", widgets.FloatSlider, widgets.BoundedFloatText, min=0, max=1, step=0.05, value=1)
        (self.number, _), (self.gap, _) = numbers.children, gaps.children
        # JupyterLab keeps the arrow keys from a closed dropdown, so the four views are buttons
        look = {"description": "View", "layout": {"width": "max-content"}}
        self.view = widgets.ToggleButtons(options=VIEWS, value="overlay", **look)
        self.view.style = {"description_width": "5em", "button_width": "6.5em"}
        names = [(name, index) for index, name in enumerate(self.table.names)]
        car = min(StreetState.class_id, len(names) - 1)
        self.one = widgets.Dropdown(options=names, value=car, description="Class")
        self.one.style.description_width = "5em"
        self.image = widgets.Image(layout={"align_self": "flex-start", "max_width": "100%", "height": "auto"})
        self.words = widgets.HTML()
        self.one.observe(lambda change: self.view.set_trait("value", "one class"), "value")
        for control in (self.number, self.gap, self.view, self.one):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        dials = [numbers, gaps] if self.has_gap else [numbers]
        super().__init__([*dials, self.view, self.one, self.image, self.words])

    def __repr__(self) -> str:
        return "StreetExplorer: run this cell to use the widget; the figure below says the same."

    @property
    def state(self) -> StreetState:
        """What the controls say."""
        return StreetState(self.number.value, self.view.value, self.one.value, round(self.gap.value, 2))

    def redraw(self) -> None:
        """Show the controls' state: the picture, and the picture in words."""
        state = self.state
        picture = street_view(state, *self.pair(state.gap, state.number), self.table)
        with self.image.hold_sync():
            self.image.format = "png" if state.view == "labels" else "jpeg"
            self.image.value = encode(picture, self.image.format)
            self.image.layout.width = f"{picture.shape[1]}px"
        self.words.value = self.describe(state)

    def describe(self, state: StreetState) -> str:
        """HTML: the alternative text that `ipywidgets.Image` cannot hold, with a legend by size."""
        names, labels = self.table.names, to_labels(self.pair(state.gap, state.number)[1])
        shares = np.bincount(labels[labels != IGNORE], minlength=len(names)) / max((labels != IGNORE).sum(), 1)
        present = [index for index in np.argsort(-shares, kind="stable") if shares[index]]
        what = state.view
        if what == "one class":
            what = f"only {names[state.class_id]}, {shares[state.class_id]:.1%} of the pixels"
        gap = f", gap {state.gap:.2f}" if self.has_gap else ""
        words = f"Image {state.number} of 0 to {self.count - 1}{gap}: {what}. It holds {len(present)} classes.<br>"
        box = "display:inline-block;width:1em;height:1em;border:1px solid #666;background:rgb"
        for index in present:
            swatch = f'<span style="{box}{tuple(map(int, self.table.palette[index]))}"></span>'
            share = f"{shares[index]:.1%}" if shares[index] >= 0.0005 else "below 0.1%"
            name = f"{swatch} {escape(names[index])} {share}"
            words += f'<span style="white-space:nowrap;margin-right:1em">{name}</span> '
        return f'<div role="status" aria-live="polite" style="max-width:62em">{words}</div>'

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run: gaps in rows, views in columns."""
        state, rows = self.state, []
        gaps = (0.0, 0.5, 1.0) if self.has_gap else (1.0,)
        for image, labels in (self.pair(gap, state.number) for gap in gaps):
            rows.append([image, labels, one_class(image, labels, state.class_id, self.table.palette)])
        titles = ("image", "labels", f"one class: {self.table.names[state.class_id]}")
        return gallery(rows, titles, self.table, [f"gap {gap:g}" for gap in gaps if self.has_gap])
