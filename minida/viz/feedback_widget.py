"""ipywidgets wiring for Meta Pseudo Labels: what the teacher hears at every step, and what the players make of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minida.data import SegmentationDataset, normalise
from minida.methods import configure
from minida.runs import RunFolder
from minida.trainer import Result, Trainer
from minida.types import IGNORE
from minida.viz.figures import curves
from minida.viz.label_views import verdict_map
from minida.viz.style import INK, LINES, QUIET, WIDTH
from minida.viz.views import colorize, encode, outline
from minida.viz.widgets import dial

_LOOKS = {  # by the sign of what the teacher is told: marker, colour, words, a bar's tip
    1: ("^", LINES["green"], "towards its labels", ">"), -1: ("v", LINES["purple"], "away from them", "<"),
    0: ("o", QUIET, None, "o"),
}  # fmt: skip
_HATCH = {"facecolor": "none", "edgecolor": "#b0b0b0", "hatch": "////", "linewidth": 0}


@dataclass(frozen=True)
class Story:
    """The feedback of one training at its n logged steps."""

    product: bool  # the report's α H; else h less its baseline
    steps: np.ndarray  # (n,)
    rows: dict[str, np.ndarray]  # (n,) each: what is measured, and last what the teacher is told: its labels' weight
    losses: dict[str, np.ndarray]  # (n,) each: the student's, before the step

    @classmethod
    def of(cls, name: str, history: Sequence[Mapping]) -> "Story":
        """Read from a training's records. Raises: ValueError where the teacher was told nothing."""
        keys = ("step", "h", "feedback", "segmentation", "pseudo", "lr")
        table = np.array([[record.get(key, np.nan) for key in keys] for record in history], float).reshape(-1, 6)
        steps, h, told, labelled, pseudo, rate = table.T
        if not len(table) or np.isnan(table[:, 2:]).any() or not told.any():
            wanted = "give that of minida.train('mpl', …), with feedback meta or product"
            raise ValueError(f"the history of {name!r} {'holds no feedback' if len(table) else 'is empty'}; {wanted}")
        product = bool(np.isnan(h).any())
        rows = (
            {"H": rate * labelled * pseudo, "α H": told} if product else {"h": h, "usual, b": h - told, "h − b": told}
        )
        return cls(product, steps.astype(int), rows, {"labels": labelled, "pseudo-labels": pseudo})

    @property
    def told(self) -> np.ndarray:
        return list(self.rows.values())[-1]

    @property
    def top(self) -> float:
        """The largest size of any number measured or told."""
        return float(max(abs(values).max() for values in self.rows.values()))

    def signed(self, number: float) -> str:
        """With its sign, and as many decimals as show three digits of the story's largest number."""
        decimals = max(0, 2 - int(np.floor(np.log10(self.top))))
        return f"{number:+.{decimals}f}".replace("-", "−") if round(number, decimals) else "0"

    def verdict(self, index: int) -> str:
        """What the teacher does with its own labels after that step."""
        sign = int(np.sign(self.told[index]))
        return ("is told nothing yet", "is drawn towards its labels", "is pushed away from its labels")[sign]

    def describe(self, index: int) -> str:
        """One step in three lines."""
        value, *usual, told = (values[index] for values in self.rows.values())
        head, last = f"step {self.steps[index]} of {self.steps[-1]}:", f"the teacher {self.verdict(index)}."
        losses = " and ".join(f"{values[index]:.2f} on {name}" for name, values in self.losses.items())
        if self.product:
            head += f" H = η × both losses = {self.signed(value)}: never negative, whether the labels helped or not."
            words = f"α = {told / value if value else 0:.2f}, α H = {self.signed(told)}: {last}"
        else:
            helped = ("it changed nothing", "it helped", "it did harm")[int(np.sign(value))]
            than = ("", "more than usual, so ", "less than usual, so ")[int(np.sign(told))]
            head += f" h = {self.signed(value)} for the step on the pseudo-labels: {helped}."
            words = f"Usual is the baseline, b = {self.signed(usual[0])}. h − b = {self.signed(told)}: {than}{last}"
        return f"{head}\n{words}\nThe student's losses: {losses}."


class Diary:
    """What teacher and student say of a data set's first `count` images, every few steps while they train.

    Raises: ValueError for a data set without labels to judge them by.
    """

    def __init__(self, dataset: SegmentationDataset, count: int = 6, every: int = 5) -> None:
        if not dataset.has_labels:
            raise ValueError(f"{dataset.spec} has no labels to judge the players by; open a labelled data set")
        images, labels = zip(*(dataset[n] for n in range(min(count, len(dataset)))), strict=True)
        self.images, self.truth = torch.stack(images), torch.stack(labels).numpy()  # (N, 3, H, W), (N, H, W)
        self.table, self.every = dataset.table, every
        self.pages: dict[int, dict[str, np.ndarray]] = {}  # step -> player -> (N, H, W); 0: before the training

    def train(self, preset: str, callback: Callable = lambda step, record: None, **overrides) -> Result:
        """As minida.train("mpl", …), to the same weights; pages are written at log steps."""
        folder = RunFolder(f"runs/mpl-diary-{datetime.now():%Y%m%d-%H%M%S-%f}")
        trainer = Trainer(configure("mpl", preset, **overrides), folder, progress=False)

        def follow(step: int, record: dict) -> None:
            if step % self.every == 0 or step == trainer.total:
                self.write(step, trainer.method.networks)
            callback(step, record)

        trainer.callback, self.pages = follow, {}
        self.write(0, trainer.method.networks)
        return trainer.run()

    def write(self, step: int, networks: Mapping[str, torch.nn.Module]) -> None:
        """A page: what the "teacher" and the student, "model", predict now."""
        images = normalise(self.images.to(next(networks["model"].parameters()).device))
        said = (networks[name].probs(images).argmax(1).byte().cpu().numpy() for name in ("teacher", "model"))
        self.pages[step] = dict(zip(("teacher", "student"), said, strict=True))

    def at(self, step: int) -> int:
        """The step of the last page up to `step`."""
        return max((page for page in self.pages if page <= step), default=min(self.pages))

    def right(self, player: str) -> tuple[list[int], list[float]]:
        """The pages' steps, and the share of all known pixels that the player had right there, in %."""
        known = self.truth != IGNORE
        return list(self.pages), [100 * (page[player] == self.truth)[known].mean() for page in self.pages.values()]

    def describe(self, step: int, n: int) -> str:
        """Both players on image `n`, and who is right where they differ."""
        page, known = self.at(step), self.truth[n] != IGNORE
        teacher, student, truth = (said[n][known] for said in (*self.pages[page].values(), self.truth))
        differ, right = teacher != student, (teacher == truth, student == truth)
        share = [f"{part.mean():.1%}" for part in right]
        there = [f"{part[differ].mean() if differ.any() else 0:.0%}" for part in right]
        when = f"Image {n} {f'after step {page}' if page else 'before the training'}"
        where = f"Where they differ ({differ.mean():.1%} of the pixels): teacher {there[0]}, student {there[1]}."
        return f"{when}: teacher {share[0]} right, student {share[1]}. {where}"

    def pictures(self, step: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(h, w, 3) uint8, about 480 wide: teacher, student, and where they differ, on the last page up to `step`.

        Where they differ: blue: the student is right; orange with stripes: the teacher; nearly black: neither.
        """
        zoom, page = max(1, round(480 / self.truth.shape[2])), self.pages[self.at(step)].values()
        parts = (self.images[n].permute(1, 2, 0).numpy(), *(each[n] for each in (self.truth, *page)))
        image, truth, teacher, student = (part.repeat(zoom, 0).repeat(zoom, 1) for part in parts)
        differ, someone = (teacher != student) & (truth != IGNORE), (teacher == truth) | (student == truth)
        verdict = verdict_map(image, np.where(differ, student, IGNORE), np.where(someone, truth, IGNORE))
        return *(outline(colorize(said, self.table.palette), said) for said in (teacher, student)), verdict


def _bare(ax, title: str, **place) -> None:
    """Quiet lines, and a title on the left, whatever matplotlib's defaults are."""
    ax.set_title(title, loc="left", size=11, color=INK, **place)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[:].set_color("#b0b0b0")
    ax.tick_params(colors=QUIET, labelcolor=INK, labelsize=9.5)
    ax.grid(False)


def draw_ground(fig, story: Story, diary: Diary | None) -> Sequence:
    """Axes of the feedback, of the players (or the student's losses) and of one step: all that no step changes."""
    place = {"left": 0.16, "right": 0.765, "top": 0.9, "bottom": 0.05, "hspace": 0.55}
    curve, beside, told = axes = fig.subplots(3, 1, gridspec_kw={"height_ratios": (2.4, 1.3, 1.3), **place})
    names, end = list(story.rows), 1.15 * story.top
    shown, dashed = names[::-1] if story.product else names[:2]
    _bare(curve, f"{shown} at each step" if story.product else "h, the feedback of each step", pad=24)
    curve.plot(story.steps, story.rows[dashed], color=LINES["brown"], dashes=(5, 2), label=dashed)
    curve.plot(story.steps, story.rows[shown], color=QUIET, linewidth=1)
    for sign, (marker, colour, words, _) in _LOOKS.items():
        some = np.sign(story.told) == sign
        curve.plot(
            story.steps[some], story.rows[shown][some], marker, color=colour, label=words if some.any() else None
        )
    sides = (
        (("never\nnegative", 0.02),) if story.product else (("above 0:\nit helped", 0.8), ("below 0:\nit did\nharm", 0))
    )
    for words, y in sides:
        curve.text(1.02, y, words, transform=curve.transAxes, size=10, color=INK)
    curve.set_ylim(-0.3 * end if story.product else -end, end)
    spread = {"ncols": 3, "fontsize": 9.5, "handletextpad": 0.3, "columnspacing": 1.2, "frameon": False}
    curve.legend(loc="lower left", bbox_to_anchor=(-0.04, 0.98), borderaxespad=0, **spread)
    losses = {name: (story.steps, values) for name, values in story.losses.items()}
    curves({player: diary.right(player) for player in ("student", "teacher")} if diary else losses, "step", "", beside)
    low, high = sorted(beside.texts, key=lambda text: text.xy[1])  # two lines of words need room in a flat plot
    near = max(0, 0.17 - high.xy[1] + low.xy[1]) / 2
    low.xy, high.xy = (1, low.xy[1] - near), (1, high.xy[1] + near)
    _bare(beside, "the players: pixels right, in %" if diary else "the student's losses")
    for ax in (curve, beside):
        ax.set_xlim(0, story.steps[-1] + 0.5)
    _bare(told, "")
    told.set(xlim=(-end, end), ylim=(len(names) - 0.4, -0.6), xticks=[])
    told.set_yticks(range(len(names)), names, size=11)
    told.tick_params(length=0)
    told.spines[:].set_visible(False)
    if story.product:
        curve.axhspan(-end, 0, **_HATCH), told.axvspan(-end, 0, **_HATCH)
    curve.axhline(0, color=INK, linewidth=1.2), told.axvline(0, color=INK, linewidth=1.2)
    for x, words in enumerate(("never negative" if story.product else "◀ away", "towards its labels ▶")):
        told.text(x, -0.02, words, transform=told.transAxes, va="top", ha=("left", "right")[x], size=10, color=INK)
    return axes


def draw_step(axes: Sequence, story: Story, index: int) -> list:
    """Mark a step in both curves, and in bars say what the teacher is told after it; what was drawn."""
    curve, beside, told = axes
    value, shown = story.told[index], story.rows["α H" if story.product else "h"][index]
    marker, colour, _, tip = _LOOKS[int(np.sign(value))]
    large = {"color": colour, "markersize": 14, "markeredgecolor": INK, "markeredgewidth": 2, "clip_on": False}
    drawn = [ax.axvline(story.steps[index], color=INK, linestyle=":", linewidth=1.4) for ax in (curve, beside)]
    drawn += curve.plot(story.steps[index], shown, marker, **large)
    hues = (*(QUIET, LINES["brown"])[-len(story.rows) + 1 :], colour)
    for row, (hue, values) in enumerate(zip(hues, story.rows.values(), strict=True)):
        stripes = {"hatch": "////", "edgecolor": "white"} if hue == colour and value < 0 else {}
        drawn += told.barh(row, values[index], 0.56, facecolor=hue, linewidth=0, **stripes)
        at_end = {"transform": told.get_yaxis_transform(), "va": "center", "size": 11, "color": INK}
        drawn.append(told.text(1.02, row, story.signed(values[index]), **at_end))
    drawn += told.plot(value, len(hues) - 1, tip, color=colour, markersize=13, clip_on=False)
    words = f"teacher, step {story.steps[index]}: {story.verdict(index).removeprefix('is ')}"
    return [*drawn, told.text(0, 1.06, words, transform=told.transAxes, size=11, color=INK)]


class Board:
    """A story's picture; for another step only what it changes is drawn again."""

    def __init__(self, story: Story, diary: Diary | None) -> None:
        self.story, self.canvas = story, FigureCanvasAgg(Figure((4.8, 7.4), dpi=200, facecolor="white", layout="none"))
        self.axes = draw_ground(self.canvas.figure, story, diary)
        self.canvas.draw()
        self.ground = self.canvas.copy_from_bbox(self.canvas.figure.bbox)

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, twice as large as it is to be shown."""
        self.canvas.restore_region(self.ground)
        for artist in draw_step(self.axes, self.story, index):
            artist.axes.draw_artist(artist)
            artist.remove()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


class FeedbackExplorer(widgets.VBox):
    """The feedback of one or several trainings of Meta Pseudo Labels, step by step, and the players beside it.

    Args:
        histories: name -> records, as minida.train("mpl", …).history or a run's history.jsonl holds them.
        diaries: name -> what the players said in the same training; of all trainings, or of none.

    Raises: ValueError for no history, one without feedback, diaries that are empty or of other trainings.
    """

    def __init__(self, histories: Mapping[str, Sequence[Mapping]], diaries: Mapping[str, Diary] | None = None) -> None:
        if not histories:
            raise ValueError("no history; give {'meta': minida.train('mpl', …).history}")
        self.stories = {name: Story.of(name, history) for name, history in histories.items()}
        self.diaries = dict(diaries or {})
        if self.diaries and (set(self.diaries) != set(histories) or not all(d.pages for d in self.diaries.values())):
            what = ", ".join(name for name, diary in self.diaries.items() if diary.pages) or "no training"
            raise ValueError(f"diaries hold {what}, histories {', '.join(histories)}; train with diary.train(…)")
        self.boards = {name: Board(story, self.diaries.get(name)) for name, story in self.stories.items()}
        controls = self._controls()
        self.chart, *self.players = (widgets.Image(layout={"width": "100%", "height": "auto"}) for _ in range(4))
        self.words = widgets.HTML()
        for control in (self.step, self.run, self.number):
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()
        differ = "Where they differ. Blue: the student is right. Orange with stripes: the teacher. Black: neither."
        notes = (widgets.HTML(text) for text in ("The teacher's prediction.", "The student's.", differ))
        half = {"layout": {"flex": "1 1 360px", "max_width": "480px", "margin": "0 12px 0 0"}}
        sides = [[self.chart], [part for pair in zip(self.players, notes, strict=True) for part in pair]]
        row = [widgets.VBox(side, **half) for side in (sides if self.diaries else sides[:1])]
        super().__init__([*controls, self.words, widgets.HBox(row, layout={"flex_flow": "row wrap"})])

    def _controls(self) -> list[widgets.Widget]:
        steps = np.unique(np.concatenate([story.steps for story in self.stories.values()]))
        limits = {"min": int(steps[0]), "max": int(steps[-1]), "step": int(np.diff(steps).min(initial=steps[-1]))}
        story, whole = next(iter(self.stories.values())), (widgets.IntSlider, widgets.BoundedIntText)
        steps = dial("Step", *whole, **limits, value=int(story.steps[abs(story.told).argmax()]))
        last = min((len(diary.truth) for diary in self.diaries.values()), default=1) - 1
        images = dial("Image", *whole, min=0, max=last, value=0)
        self.step, self.number = steps.children[0], images.children[0]
        look = {"layout": {"width": "max-content"}, "style": {"description_width": "5em", "button_width": "9em"}}
        self.run = widgets.ToggleButtons(options=list(self.stories), description="Run", **look)
        return [steps, self.run, *([images] if self.diaries else [])]

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell to use the widget; the figure beside it says the same."

    def state(self) -> tuple[Story, int, Diary | None]:
        """The run's story, the index of its logged step nearest to the dial, and its diary."""
        story = self.stories[self.run.value]
        return story, int(abs(story.steps - self.step.value).argmin()), self.diaries.get(self.run.value)

    def redraw(self) -> None:
        """Show the controls' state: pictures, and what they say in words."""
        story, index, diary = self.state()
        pictures = [self.boards[self.run.value].picture(index)]
        pictures += diary.pictures(story.steps[index], self.number.value) if diary else ()
        for widget, picture in zip((self.chart, *self.players), pictures, strict=False):
            widget.value = encode(picture, "png")
        style = "line-height:1.5;min-height:6em;margin:4px 0;white-space:pre-line"
        self.words.value = f'<div role="status" aria-live="polite" style="{style}">{escape(self.describe())}</div>'

    def describe(self) -> str:
        """The step of the run, and the players after it."""
        story, index, diary = self.state()
        players = f"\n{diary.describe(story.steps[index], self.number.value)}" if diary else ""
        return f"{self.run.value}, {story.describe(index)}{players}"

    def static(self) -> Figure:
        """The same in a figure, for places where widgets do not run."""
        story, index, diary = self.state()
        fig = Figure((WIDTH if diary else 0.6 * WIDTH, 7.2), layout="none")
        left, *right = fig.subfigures(1, 2, width_ratios=(1.15, 1)) if diary else [fig]
        draw_step(draw_ground(left, story, diary), story, index)
        if diary:
            pictures = diary.pictures(story.steps[index], self.number.value)
            axes = right[0].subplots(3, 1, gridspec_kw={"left": 0.02, "right": 0.99, "top": 0.94, "bottom": 0.01})
            for ax, picture, who in zip(axes, pictures, ("teacher", "student", "where they differ"), strict=True):
                ax.imshow(picture, interpolation="antialiased")
                _bare(ax, f"{who}, after step {diary.at(story.steps[index])}")
                ax.set_axis_off()
        return fig
