"""ipywidgets wiring for pseudo-labels: what two strategies believe of a network's predictions, and what is right."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from html import escape
from math import isfinite, isnan
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from traitlets import TraitError

from minida.data import SegmentationDataset
from minida.labeling import LabelingStrategy
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet
from minida.storage import write_atomically
from minida.types import IGNORE
from minida.viz.label_judge import LabelJudge, Pixel
from minida.viz.label_views import VIEWS, crosshair, label_view, quality_bars, share_bars
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
BARS = {  # and what they say
    "quality": "Coverage: the believed part of a class's pixels. "
    "Accuracy: the right part of the labels that name the class.",
    "shares": "What part of the pseudo-labels names a class, and of the labels in the labelled set; "
    "each step of the bars is the same factor.",
}


class LabelExplorer(widgets.VBox):
    """Two labelling strategies side by side, on the same predictions of one network.

    Args:
        model: predicts `count` images once; each strategy then observes all of them. Several networks by name, such
            as Meta Pseudo Labels' teacher and student, are chosen among with buttons.
        dataset: a labelled one. Its labels only judge: no strategy sees them.
        prior: (C,) class frequencies of the *labelled* data, on any scale, for DA and DARS.
        count: images (default: as many as hold the pixels of 20 of 96 × 192, so that a change shows at once).
        strategies: others, of one's own, by name: subclasses of LabelingStrategy.

    Raises: ValueError, as LabelJudge.
    """

    def __init__(
        self, model: BiSeNet | Mapping[str, BiSeNet], dataset: SegmentationDataset, prior: Sequence[float],
        count: int | None = None, strategies: Mapping[str, type[LabelingStrategy]] | None = None,
    ) -> None:  # fmt: skip
        networks = model if isinstance(model, Mapping) else {"": model}
        self.judges = {name: LabelJudge(one, dataset, prior, count, strategies) for name, one in networks.items()}
        self.table, self.drawing = dataset.table, True
        self.rules = RULES | {name: (name, _first_line(kind)) for name, kind in (strategies or {}).items()}
        self.chart = lru_cache(64)(lambda network, kind, *choice: encode(self.bars_of(choice)))
        controls = self._controls(list(networks))
        self.words, self.pixel_words = (tuple(widgets.HTML() for _ in range(2)) for _ in range(2))
        self.legend, self.note, self.code, self.saved = (widgets.HTML() for _ in range(4))
        fit = {"layout": {"width": "100%", "height": "auto"}, "format": "jpeg"}
        self.pictures, self.bars = ((widgets.Image(**fit), widgets.Image(**fit)) for _ in range(2))
        for control in self.controls.values():
            control.observe(lambda change: self.redraw(), "value")
        save = widgets.Button(description="Save picture", tooltip="Write both sides as one PNG beside the notebook")
        save.on_click(lambda _: self.save())
        self.redraw()
        look = {"layout": {"flex": "1 1 360px", "max_width": "480px", "margin": "0 12px 0 0"}}  # narrow: a column
        columns = zip(self.words, self.pictures, self.pixel_words, self.bars, strict=True)
        sides = widgets.HBox([widgets.VBox(parts, **look) for parts in columns], layout={"flex_flow": "row wrap"})
        super().__init__([*controls, self.legend, sides, self.note, self.code, widgets.HBox([save, self.saved])])

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def _controls(self, networks: Sequence[str]) -> list[widgets.Widget]:
        """Rows of controls. `controls` are observed, `dials` switched off where nothing reads them."""
        whole, judge = (widgets.IntSlider, widgets.BoundedIntText), self.judges[networks[0]]
        high, wide = judge.truth.shape[1:]
        numbers = dial("Image", *whole, min=0, max=judge.count - 1, value=0)
        share = {"slider": widgets.FloatSlider, "box": widgets.BoundedFloatText, "min": 0, "max": 1, "step": 0.01}
        self.dials = {
            "ratio": dial("Ratio α", **share, value=0.2),
            "cap": dial("Cap", **share, value=0.9),
            "alpha0": dial("Drop α₀", **share, value=0.2),
            "temperature": dial("Temp.", **share | {"min": 0.5, "max": 4, "step": 0.1}, value=1),
        }
        self.places = {
            "row": dial("Row", *whole, min=0, max=high - 1, value=high // 2),
            "column": dial("Column", *whole, min=0, max=wide - 1, value=wide // 2),
        }
        for row in (*self.dials.values(), *self.places.values()):
            row.children[0].layout.width = "19em"  # two rows beside one another
        self.number, self.sliders = numbers.children[0], {name: row.children[0] for name, row in self.dials.items()}
        titles = [(title, name) for name, (title, _) in self.rules.items()]
        told = {"options": titles, "tooltips": [words for _, words in self.rules.values()]}
        self.left = _buttons("Left", "st", **told)
        self.right = _buttons("Right", "dars", **told)
        told = {"options": list(VIEWS), "tooltips": list(VIEWS.values())}
        self.view = _buttons("View", "right or wrong", "max-content", **told)
        self.kind = _buttons("Bars", "quality", options=list(BARS), tooltips=list(BARS.values()))
        self.network = _buttons("Network", networks[0], options=list(networks))
        self.cursor = widgets.Checkbox(description="Point at a pixel", indent=False, layout={"margin": "3px 2px"})
        self.controls = {
            "number": self.number, "network": self.network, "left": self.left, "right": self.right, "view": self.view,
            "bars": self.kind, **self.sliders, "cursor": self.cursor,
            **{name: row.children[0] for name, row in self.places.items()},
        }  # fmt: skip
        several = [self.network] if len(networks) > 1 else []
        dials, self.place_row = (
            widgets.HBox(list(rows.values()), layout={"flex_flow": "row wrap"}) for rows in (self.dials, self.places)
        )
        return [numbers, *several, self.left, self.right, self.view, dials, self.kind, self.cursor, self.place_row]

    @property
    def judge(self) -> LabelJudge:
        """Of the chosen network."""
        return self.judges[self.network.value]

    # ---- what the controls say

    def settings(self) -> dict[str, object]:
        """The controls' values by name, without those that nothing on the screen reads: what `show` takes."""
        read = {self.judge.options[name] for name in (self.left.value, self.right.value)}
        told = {name: control.value for name, control in self.controls.items() if name not in self.dials}
        told |= {name: round(slider.value, 4) for name, slider in self.sliders.items() if name in read}
        if self.sliders["temperature"].value != 1:
            told["temperature"] = round(self.sliders["temperature"].value, 4)
        unread = {"network"} if len(self.judges) == 1 else set()
        unread |= set() if self.cursor.value else {"cursor", *self.places}
        return {name: value for name, value in told.items() if name not in unread}

    def show(self, **settings: object) -> "LabelExplorer":
        """Set controls by name, and draw once. Raises: ValueError for an unknown one, or a value it cannot have."""
        for name in settings.keys() - self.controls.keys():
            raise ValueError(f"no control {name!r}; choose among {', '.join(self.controls)}")
        with self._drawn_once():
            for name, value in settings.items():
                try:
                    self.controls[name].value = value
                except TraitError as error:
                    raise ValueError(f"{name} cannot be {value!r} ({error})") from None
                if self.controls[name].value != value:
                    raise ValueError(f"{name} cannot be {value!r}; it goes to {self.controls[name].value!r} at most")
        return self

    @contextmanager
    def _drawn_once(self) -> Iterator[None]:
        self.drawing = False
        try:
            yield
        finally:
            self.drawing = True
            self.redraw()

    def choice(self, name: str) -> tuple[str, float, float]:
        """A strategy and what it reads of the dials."""
        option = self.judge.options[name]
        value = round(self.sliders[option].value, 4) if option else 0.0
        return name, value, round(self.sliders["temperature"].value, 4)

    # ---- what is shown

    def redraw(self) -> None:
        """Show the controls' state: pictures, what they say in words, and bars."""
        if not self.drawing:
            return
        names, n, view = (self.left.value, self.right.value), self.number.value, self.view.value
        read = {"temperature", *(self.judge.options[name] for name in names)}
        for option, row in self.dials.items():
            for part in row.children:
                part.disabled = option not in read
        self.place_row.layout.display = None if self.cursor.value else "none"
        for side, name in enumerate(names):
            with self.pictures[side].hold_sync():
                self.pictures[side].format = "png" if view in ("truth", "prediction") else "jpeg"
                picture = self.paint(view, name, n, names[1 - side])
                self.pictures[side].value = encode(self._pointed(picture), self.pictures[side].format)
            lines = 5 if self.kind.value == "shares" else 4
            self.words[side].value = _status(": ".join(self.rules[name]), self.describe(name, n), lines)
            self.pixel_words[side].value = _status("", self.describe_pixel(name, n), 3) if self.cursor.value else ""
            self.bars[side].value = self.chart(self.network.value, self.kind.value, *self.choice(name))
        self.legend.value = _status(f"Image {n} of 0 to {self.judge.count - 1}, {view}", VIEWS[view], 2)
        self.note.value = escape(BARS[self.kind.value])
        line = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        self.code.value = f"The same again, in code: <code>explorer.show({escape(line)})</code>"

    def paint(self, view: str, name: str, n: int, other: str | None = None) -> np.ndarray:
        """(h, w, 3) uint8, about 960 wide: one view of image `n` and of what a strategy believes there."""
        known = self.judge.images[n], self.judge.truth[n], self.judge.predictions(n)
        choice, more = self.choice(name), {}
        if view == "confidence":
            more["sureness"] = self.judge.sureness(choice, n)
        if view == "difference":
            more["other"] = self.judge.labels(self.choice(other or name), n)
        return label_view(view, *known, self.judge.labels(choice, n), self.table.palette, **more)

    def _pointed(self, picture: np.ndarray) -> np.ndarray:
        if not self.cursor.value:
            return picture
        place = zip(self.places.values(), self.judge.truth.shape[1:], strict=True)
        return crosshair(picture, *((row.children[0].value + 0.5) / size for row, size in place))

    def bars_of(self, choice: tuple[str, float, float]) -> np.ndarray:
        """Of every class, over all images, as a picture: coverage and accuracy, or shares beside the prior."""
        quality = self.judge.quality(choice)
        if self.kind.value == "shares":
            prior = self.judge.prior / self.judge.prior.sum()
            return share_bars(self.table.names, self.table.palette, quality.shares(), prior)
        rows = [(shares.overall, *shares.per_class) for shares in (quality.coverage(), quality.accuracy())]
        return quality_bars((f"all {self.judge.count} images", *self.table.names), self.table.palette, *rows)

    def describe(self, name: str, n: int) -> str:
        """How much a strategy believes and how much of that is right, in image `n` and in all."""
        quality, here = (self.judge.quality(self.choice(name), number) for number in (None, n))
        given, kl = quality.shares(), quality.kl(quality.counts.sum(0)[:-1])
        if isnan(kl):
            return "It believes nothing."
        classes = f"{(given > 0).sum()} of {len(given)} classes, KL to the true shares {kl:.3f}"
        if self.kind.value == "shares":
            classes += f", to the prior {quality.kl(self.judge.prior):.3f}"
        return f"Here: {_told(here)}.\nAll {self.judge.count} images: {_told(quality)}.\n{classes}."

    def describe_pixel(self, name: str, n: int) -> str:
        """What a strategy makes of the pixel at the cursor, and why."""
        row, column = (dial.children[0].value for dial in self.places.values())
        pixel = self.judge.pixel(self.choice(name), n, row, column)
        entropy = self.judge.reads_entropy(self.choice(name))
        return f"Row {row}, column {column}: {_verdict(pixel, self.table.names, entropy)}"

    # ---- what stays

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run: image and truth, then the two strategies."""
        n, (high, wide), chart = self.number.value, self.judge.truth.shape[1:], 0.4 * WIDTH
        height, names = WIDTH / 2 * high / wide, (self.left.value, self.right.value)
        view = self.view.value if self.view.value not in ("image", "truth") else "right or wrong"
        figure = Figure((WIDTH, 2 * height + chart + 1.2), layout="constrained")
        axes = figure.subplots(3, 2, height_ratios=(height, height, chart))
        for column, (name, above) in enumerate(zip(names, ("image", "truth"), strict=True)):
            shown = self.paint(view, name, n, names[1 - column])
            pictures = (self.paint(above, name, n), shown, self.bars_of(self.choice(name)))
            lines = self.describe(name, n).split("\n")
            titles = (f"{above} {n}", f"{self.rules[name][0]}. {lines[0]}", lines[-1])
            for ax, picture, title in zip(axes[:, column], pictures, titles, strict=True):
                ax.imshow(picture, interpolation="antialiased")
                ax.set(title=title)
                ax.set_axis_off()
        figure.supxlabel(f"{VIEWS[view]}\n{BARS[self.kind.value]}", size=8.5, x=0.01, ha="left")
        return figure

    def save(self, path: str | Path | None = None) -> Path:
        """Write `static` as a PNG (default: label-explorer-N.png, N the image, in the current folder)."""
        file = Path(path or f"label-explorer-{self.number.value}.png")
        write_atomically(file, lambda part: self.static().savefig(part, format="png", dpi=150))
        self.saved.value = _status("", f"Written: {file}", 1)
        return file


def _buttons(description: str, value: str, width: str = "7.6em", **options) -> widgets.ToggleButtons:
    look = {"display": "flex", "margin": "3px 2px"}
    style = {"description_width": "5em", "button_width": width}
    return widgets.ToggleButtons(value=value, description=description, layout=look, style=style, **options)


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "a rule of one's own").strip().splitlines()[0].rstrip(".")


def _verdict(pixel: Pixel, names: Sequence[str], entropy: bool) -> str:
    name, unit = names[pixel.predicted], " nats" if entropy else ""
    measure, bound = ("entropy", "below") if entropy else ("confidence", "from")
    limit = f"believed {bound} {pixel.threshold:.4f}{unit}" if isfinite(pixel.threshold) else "never believed"
    true = "nobody knows" if pixel.true == IGNORE else names[pixel.true]
    if pixel.label != IGNORE:
        verdict = "Believed"
    else:
        verdict = f"Left out by the draw, which keeps {pixel.keep:.0%}" if pixel.passes else "Not believed"
    return f"{name}, {measure} {pixel.score:.4f}{unit}; {name} is {limit}. {verdict}. True: {true}."


def _told(quality: PseudoLabelQuality) -> str:
    right = quality.accuracy().overall
    return f"{quality.coverage().overall:.1%} believed" + ("" if isnan(right) else f", {right:.1%} of that right")


def _status(title: str, words: str, lines: int) -> str:
    style = f"line-height:1.5;min-height:{1.5 * lines}em;margin:4px 0;white-space:pre-line"
    head = f"<b>{escape(title)}</b>\n" if title else ""
    return f'<div role="status" aria-live="polite" style="{style}">{head}{escape(words)}</div>'
