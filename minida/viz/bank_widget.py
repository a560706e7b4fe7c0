"""ipywidgets wiring for U2PL's memory bank: which keys a class's queue holds, and what they truly are."""

from collections.abc import Sequence
from copy import deepcopy
from html import escape

import ipywidgets as widgets
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from minida.data import SegmentationDataset, normalise
from minida.labeling import EntropyPartition
from minida.labeling.base import uniform
from minida.methods.contrast import MemoryBank, anchors_of, first_of_each, labelled_negatives, unlabelled_negatives
from minida.methods.u2pl import sampled
from minida.models import BiSeNet
from minida.types import IGNORE
from minida.viz.label_views import RIGHT, STRIPE, WRONG, Bars, bars
from minida.viz.label_views import WIDTH as SHOWN
from minida.viz.style import INK, QUIET, WIDTH, ink_on
from minida.viz.views import VOID, encode
from minida.viz.widgets import dial

EMPTY = -1  # a cell without a key


def short_names(names: Sequence[str]) -> list[str]:
    """Two letters for each class, no two alike: its first, and its second word's first or the next that is free."""
    codes: list[str] = []
    for name in names:
        letters = (*name.partition(" ")[2][:1], *name[1:], *"123456789")
        codes.append(next((name[0] + letter for letter in letters if name[0] + letter not in codes), name[:2]))
    return codes


def ring_view(cells: np.ndarray, kind: int, palette: np.ndarray, codes: Sequence[str]) -> np.ndarray:
    """(h, 960, 3) uint8: the cells of a ring buffer, row by row, each in its key's true colour and with its letters.

    Square: of an unlabelled pixel. Round: of a labelled one. Underlined: of the newest batch. Orange with a cross:
    truly of class `kind`. Hatched: empty. Question mark: nobody knows.

    `cells` are (L, 3) integers: true class, IGNORE or EMPTY; 1 where labelled; 1 where of the newest batch.
    """
    columns = max(20, int(np.sqrt(1.7 * len(cells))))
    side = SHOWN // columns
    canvas = Image.new("RGB", (SHOWN, side * -(-len(cells) // columns)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(side // 2)
    for place, (truth, labelled, newest) in enumerate(cells.tolist()):
        left, top = side * (place % columns) + 2, side * (place // columns) + 2
        right, bottom = left + side - 5, top + side - 11
        rising = (left, bottom, right, top)
        if truth == EMPTY:
            draw.rectangle((left, top, right, bottom), "#f3f3f3", "#b0b0b0")
            draw.line(rising, "#b0b0b0")
            continue
        colour = WRONG if truth == kind else VOID if truth == IGNORE else tuple(palette[truth].tolist())
        (draw.ellipse if labelled else draw.rectangle)((left, top, right, bottom), colour, QUIET)
        for line in ((left, top, right, bottom), rising) if truth == kind else ():
            draw.line(line, STRIPE, max(2, side // 8))
        if truth != kind:
            code = "?" if truth == IGNORE else codes[truth]
            draw.text(((left + right) / 2, (top + bottom) / 2), code, ink_on(np.divide(colour, 255)), font, "mm")
        if newest:
            draw.rectangle((left - 2, bottom + 3, right + 2, bottom + 6), INK)
    return np.asarray(canvas)


def cosine_view(anchors: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(330, 960, 3) uint8: histograms of (M,) and (N,) cosines: anchors upwards, blue; keys downwards, striped."""
    canvas = Image.new("RGB", (SHOWN, 330), "white")
    draw, font, left, wide, middle = ImageDraw.Draw(canvas), ImageFont.load_default(24), 20, 23, 138
    for values, colour, up, name in ((anchors, RIGHT, -1, "anchors"), (keys, QUIET, 1, "keys held")):
        draw.text((left, middle + up * 110), name, INK, font, "lm")
        counts = np.histogram(np.clip(values, -1, 1), np.linspace(-1, 1, 41))[0]
        for n, height in enumerate(np.ceil(130 * counts / max(counts.max(), 1)).astype(int).tolist()):
            x, (top, bottom) = left + wide * n, sorted((middle, middle + up * height))
            if height:
                draw.rectangle((x + 1, top, x + wide - 1, bottom), colour)
            for y in range(top + 8, bottom - 3, 12) if up > 0 else ():
                draw.rectangle((x + 1, y, x + wide - 1, y + 3), "white")
    if not len(anchors):
        draw.text((SHOWN / 2, 70), "no anchors, so no positive", INK, font, "mm")
    draw.line((left, middle, left + 40 * wide, middle), INK, 2)
    for value, place in ((-1, "lm"), (-0.5, "mm"), (0, "mm"), (0.5, "mm"), (1, "rm")):
        x = left + 20 * wide * (value + 1)
        draw.line((x, 280, x, 288), INK, 2)
        draw.text((x, 308), f"{value:g}", INK, font, place)
    return np.asarray(canvas)


class BankExplorer(widgets.VBox):
    """The steps on a dial: what enters a class's queue, what it holds, and how near its keys are to its anchors.

    As in U2PL, but one network is student and teacher and learns nothing on the way; γ (α = 20 %) is taken over all
    unlabelled images; and a step writes at most half a queue, so that one sees it fill.

    Args:
        model: a BiSeNet with an embedding.
        dataset: a labelled one. A step takes two images; the second one's labels only judge.
        length: keys that a queue can hold, 2 to 600.
        count: images, two for each step.

    Raises: ValueError for a data set without labels or with another number of classes than the model, a model without
        an embedding, another length, fewer than two images.
    """

    def __init__(self, model: BiSeNet, dataset: SegmentationDataset, length: int = 240, count: int = 24) -> None:
        self.table, self.length, self.steps = dataset.table, length, min(count, len(dataset)) // 2
        self.codes = short_names(self.table.names)
        self._check(model, dataset)
        self._fill(deepcopy(model).eval(), dataset)
        row = dial("Step", widgets.IntSlider, widgets.BoundedIntText, min=0, max=self.steps, value=min(3, self.steps))
        look = {"style": {"description_width": "5em"}, "layout": {"width": "27em"}}
        names = [(name, index) for index, name in enumerate(self.table.names)]
        self.step = row.children[0]
        self.kind = widgets.SelectionSlider(options=names, description="Class", value=min(13, len(names) - 1), **look)
        fit = {"layout": {"width": "100%", "height": "auto"}, "format": "png"}
        self.ring, self.cosines, self.bars = (widgets.Image(**fit) for _ in range(3))
        self.words = widgets.HTML()
        titles = (
            "The queue, row by row. Letters: what a key truly is; orange with a cross: of the class after all. "
            "Round: of a labelled pixel; square: of an unlabelled one. Underlined: the newest batch.",
            "Cosine with the positive, which is the mean of the class's anchors.",
            "How full each class's queue is; and which share of its keys truly is of the class, and so wrong.",
        )
        notes = [widgets.HTML(text) for text in titles]
        for control in (self.step, self.kind):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        half = {"layout": {"flex": "1 1 360px", "max_width": "480px", "margin": "0 12px 0 0"}}
        sides = (self.ring, notes[0], self.cosines, notes[1]), (self.bars, notes[2])
        views = widgets.HBox([widgets.VBox(side, **half) for side in sides], layout={"flex_flow": "row wrap"})
        super().__init__([row, self.kind, self.words, views])

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def _check(self, model: BiSeNet, dataset: SegmentationDataset) -> None:
        classes = len(self.table.names)
        if not dataset.has_labels:
            raise ValueError(f"{dataset.spec} has no labels to judge the keys by; open a labelled data set")
        if model.num_classes != classes:
            raise ValueError(f"the model has {model.num_classes} classes but {dataset.spec} {classes}")
        if model.embedding is None:
            raise ValueError("the model has no embedding to make keys of; build it with BiSeNet(..., embedding=64)")
        if not (2 <= self.length <= 600 and self.steps):
            wanted = "a length from 2 to 600, as each key is drawn, and two images or more"
            raise ValueError(f"length is {self.length}, and there are {2 * self.steps} images; expected {wanted}")

    @torch.no_grad()
    def _fill(self, model: BiSeNet, dataset: SegmentationDataset) -> None:
        """Predict once, then push step after step. Behind a key stand its true class and whether that was known."""
        device, partition, seen = next(model.parameters()).device, EntropyPartition(model.num_classes), []
        for n in range(2 * self.steps):
            image, truth = dataset[n]
            output = model(normalise(image[None].to(device)))
            probs, size = output.logits.float().softmax(1).cpu(), output.embedding.shape[2:]
            if n % 2:
                partition.observe(probs[..., 4::9, 4::9])  # the pixels that U2PL observes
            seen.append((sampled(probs, size), output.embedding.float().cpu(), sampled(truth[None], size)))
        partition.fit()
        probs, embedding, truth = (torch.cat(part) for part in zip(*seen, strict=True))  # (N, …, h, w)
        labels = truth.clone()
        labels[1::2] = partition.label(probs[1::2])
        mask = unlabelled_negatives(probs, labels == IGNORE)  # (N, C, h, w)
        mask[::2] = labelled_negatives(probs[::2], labels[::2])
        known = torch.zeros_like(truth)
        known[::2] = 1
        keys = torch.cat((F.normalize(embedding), truth[:, None], known[:, None]), 1)  # (N, E + 2, h, w)
        bank = MemoryBank(model.num_classes, keys.shape[1], self.length)
        self.banks = [deepcopy(bank)]  # after each step
        for two in (slice(n, n + 2) for n in range(0, 2 * self.steps, 2)):
            order = uniform(0, torch.arange(len(truth))[two], truth[two]).flatten().argsort(stable=True)
            pixels, counts = first_of_each(mask[two].movedim(1, 0).flatten(1), order, self.length // 2)
            bank.push(keys[two].movedim(1, -1).flatten(0, 2)[pixels], counts)
            self.banks.append(deepcopy(bank))
        anchors = anchors_of(probs, labels).movedim(1, 0).flatten(1)  # (C, P)
        embedding = embedding.movedim(1, -1).flatten(0, 2)  # (P, E)
        self.centres = F.normalize(anchors.float() @ embedding)  # (C, E), the direction of z+ (Eq. 12)
        near = F.normalize(embedding) @ self.centres.T  # (P, C)
        self.anchors = [near[mask, c].numpy() for c, mask in enumerate(anchors)]  # cosines of each class's anchors

    def cells(self) -> np.ndarray:
        """(C, L, 3) integers, as in `ring_view`: all queues after the step."""
        step, place = self.step.value, torch.arange(self.length)
        bank, before = self.banks[step], self.banks[max(step - 1, 0)]
        facts = bank.keys[:-1, -2:].unflatten(0, (-1, self.length)).long()  # (C, L, 2)
        facts[..., 0].masked_fill_(place >= bank.held()[:, None], EMPTY)
        age = (bank.written[:, None] - 1 - place) % self.length  # 0: the newest key
        newest = age < (bank.written - before.written)[:, None]
        return torch.cat((facts, newest[..., None]), 2).numpy()

    def wrong(self) -> np.ndarray:
        """(C,) share of each queue's keys that truly are of its class, NaN where it is empty."""
        truth = self.cells()[..., 0]
        with np.errstate(invalid="ignore"):
            return (truth == np.arange(len(truth))[:, None]).sum(1) / (truth != EMPTY).sum(1)

    def near(self) -> np.ndarray:
        """(N,) cosines of the class's keys with its positive; none where it has no anchor."""
        bank, kind = self.banks[self.step.value], self.kind.value
        keys = bank.keys[kind * self.length :][: bank.held()[kind], :-2].float()  # (N, E)
        return (keys @ self.centres[kind]).numpy() if len(self.anchors[kind]) else np.empty(0)

    def paint(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The queue of the class, its cosines, and the bars."""
        kind, palette, full = self.kind.value, self.table.palette, self.banks[self.step.value].held() / self.length
        names = [f"{name} {code}" for name, code in zip(self.table.names, self.codes, strict=True)]
        columns = Bars("queue full", full.numpy(), RIGHT), Bars("wrong negatives", self.wrong(), WRONG)
        ring = ring_view(self.cells()[kind], kind, palette, self.codes)
        return ring, cosine_view(self.anchors[kind], self.near()), bars(names, palette, columns)

    def redraw(self) -> None:
        """Show the controls' state: pictures, and what they say in words."""
        for widget, picture in zip((self.ring, self.cosines, self.bars), self.paint(), strict=True):
            widget.value = encode(picture, "png")
        style = "line-height:1.5;min-height:6em;margin:4px 0;white-space:pre-line"
        self.words.value = f'<div role="status" aria-live="polite" style="{style}">{escape(self.describe())}</div>'

    def describe(self) -> str:
        """What was written and is held, what it truly is, and how near it is to the anchors."""
        step, kind, names, wrong = self.step.value, self.kind.value, self.table.names, self.wrong()
        name, written = names[kind], int(self.banks[step].written[kind])
        truth, labelled, newest = self.cells()[kind].T
        held, gone, new = (truth != EMPTY).sum(), max(0, written - self.length), newest.sum()
        text = (
            f"Step {step} of {self.steps}: {written} keys were written into {name}'s queue, {new} of them now. "
            f"It holds {held} of {self.length}{f'; the oldest {gone} are gone' if gone else ''}.\n"
        )
        if held:
            counts = np.bincount(truth[(truth != EMPTY) & (truth != IGNORE)], minlength=len(names))
            most = [f"{names[c]} {counts[c] / held:.0%}" for c in np.argsort(-counts, kind="stable")[:3] if counts[c]]
            text += (
                f"{labelled[truth != EMPTY].mean():.0%} are of labelled pixels. Most truly are: {', '.join(most)}.\n"
                f"{counts[kind]} ({wrong[kind]:.1%}) truly are {name}: wrong negatives. The largest share of such is "
                f"in {names[np.nanargmax(wrong)]}'s queue: {np.nanmax(wrong):.1%}.\n"
            )
        if not len(self.anchors[kind]):
            return f"{text}No pixel is an anchor of {name}, so it has no positive, and L_c says nothing of it."
        count, near = len(self.anchors[kind]), self.anchors[kind].mean()
        keys = f", that of its keys {self.near().mean():.2f}" if held else ""
        return f"{text}The cosine of {name}'s {count} anchors with their mean is {near:.2f} on average{keys}."

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run."""
        ring, cosines, chart = self.paint()
        fig = Figure((WIDTH, 4.9), layout="constrained")
        grid = fig.add_gridspec(2, 2, width_ratios=(1, 1.05), height_ratios=(len(ring), len(cosines)))
        for place, picture, title in (
            (grid[0, 0], ring, f"{self.table.names[self.kind.value]}'s queue after step {self.step.value}"),
            (grid[1, 0], cosines, "cosine with the positive"),
            (grid[:, 1], chart, "all queues"),
        ):
            ax = fig.add_subplot(place, anchor="NW")
            ax.imshow(picture, interpolation="antialiased")
            ax.set(title=title)
            ax.set_axis_off()
        return fig
