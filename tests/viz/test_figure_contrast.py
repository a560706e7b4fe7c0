"""What a projector needs of every kind of figure and page: words and lines with contrast, and large enough."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from contrast import TAIL_BAND, WHITE, apart, contrast
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.container import BarContainer
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text
from pygments.styles import get_style_by_name

from minida.classroom import pages
from minida.classroom.grading import Mark
from minida.compare.report import Row
from minida.data import MiniCity
from minida.models import BiSeNet
from minida.teach import figures as teaching
from minida.types import CLASSES
from minida.viz import diagrams, figures, label_views, ladder, style, views
from minida.viz.label_widget import LabelExplorer
from minida.viz.widgets import StreetExplorer

ROOT = Path(__file__).parents[2]
NAMES = [name for name in style._FIXED if name != "labelled"]


def streets(size=(48, 96)):
    return MiniCity("real", "val", size, n=2)


def all_classes() -> np.ndarray:
    return np.arange(20).reshape(4, 5).repeat(24, 0).repeat(96, 1).clip(max=18)


def rows() -> list[Row]:
    given = [("oracle", 39, None, None), ("DARS", 24, "control", 2.0), ("U2PL", 14, "control", -2.0)]
    given.append(("MPT", 22, "control", 0.1))
    heat = [{name: 1.4 * (18 * row + index) for index, name in enumerate(CLASSES[:-1])} for row in range(4)]
    return [
        Row(n, n, 3, m, 1.0, 9, 9, iou, control, gain, 0.5, None, m)
        for (n, m, control, gain), iou in zip(given, heat, strict=True)
    ]


def shares(count: int) -> dict[str, np.ndarray]:
    return {name: np.linspace(0.1, 0.9, 19) for name in NAMES[:count]}


def live_figure() -> mpl.figure.Figure:
    drawn = []
    live = teaching.LiveCurves(20, panels={"loss": ("loss", 1, 0.7, "coin toss"), "mIoU in %": ("miou", 100)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "_draw", lambda fig: drawn.append(fig) or np.zeros((9, 9, 3), np.uint8))
        patch.setattr(teaching, "display", lambda *content, **options: None)
        for step in (10, 20):
            live.run("DSC")(step, {"loss": 1 / step, "miou": step / 50})
        live.draw()
    return drawn[-1]


def label_figure() -> mpl.figure.Figure:
    torch.manual_seed(0)
    return LabelExplorer(BiSeNet(19, "slim").eval(), streets(), np.arange(1, 20.0), count=1).static()


FIGURES = {
    "curves": lambda: figures.curves({n: ([0, 1, 2], [i, i + 1, i]) for i, n in enumerate(NAMES)}),
    "live curves": live_figure,
    "bars": lambda: figures.class_bars(shares(4), log=True),
    "confusion": lambda: figures.confusion_figure(np.arange(1, 362).reshape(19, 19) + 900 * np.tri(19) * np.eye(19)),
    "gallery": lambda: figures.gallery([[*streets()[0], all_classes()]], "abc", row_names=["row"]),
    "ladder": lambda: ladder.cost_figure(rows()),
    "classes": lambda: ladder.class_figure(rows()),
    "BiSeNet": lambda: diagrams.bisenet_diagram(
        diagrams.output_shapes(BiSeNet(19, "slim").train(), torch.zeros(2, 3, 64, 128))
    ),
    "game": diagrams.game_diagram,
    "street explorer": lambda: StreetExplorer(size=(48, 96)).static(),
    "label explorer": label_figure,
}


@pytest.fixture(scope="module")
def drawn():
    """{name: figure}, each laid out once and kept so."""
    made = {}
    with mpl.rc_context():
        style.use_style()
        for name, make in FIGURES.items():
            made[name] = make()
            FigureCanvasAgg(made[name]).draw()
            made[name].set_layout_engine("none")
    return made


def words(fig) -> list[Text]:
    """The texts that are seen."""
    texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [Text.get_window_extent(text) for text in texts]  # without an arrow
    whole = [box.x1 > 0 and box.y1 > 0 and box.x0 < fig.bbox.x1 and box.y0 < fig.bbox.y1 for box in boxes]
    hidden = {text for ax in fig.axes if not ax.axison for text in ax.xaxis.findobj(Text) + ax.yaxis.findobj(Text)}
    return [text for text, seen in zip(texts, whole, strict=True) if seen and text not in hidden]


def grounds(fig, texts) -> list[np.ndarray]:
    """(N, 3) in [0, 1]: the pixels behind each text, or its halo over them."""
    boxes = [Text.get_window_extent(text) for text in texts]  # without an arrow
    for text in texts:  # not invisible: a title without an extent would move away
        text.set_alpha(0)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    for text in texts:
        text.set_alpha(None)
    picture = np.asarray(canvas.buffer_rgba())[::-1, :, :3] / 255
    found = []
    for text, box in zip(texts, boxes, strict=True):
        y, x = (slice(max(0, int(low)), max(0, int(high)) + 1) for low, high in ((box.y0, box.y1), (box.x0, box.x1)))
        patch = text.get_bbox_patch()
        behind = picture[y, x].reshape(-1, 3) if patch is None else np.array([patch.get_facecolor()[:3]])
        for effect in text.get_path_effects() or ():
            *halo, alpha = to_rgba(effect._gc["foreground"])
            behind = (1 - alpha) * behind + alpha * np.array(halo)
        found.append(behind)
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_words_have_contrast(drawn, name):
    texts = words(drawn[name])
    assert len(texts) >= 3
    low = {}
    for text, behind in zip(texts, grounds(drawn[name], texts), strict=True):
        ratio = np.quantile(contrast(to_rgb(text.get_color()), behind), 0.1)  # a tenth may be lines under it
        if ratio < 4.5:
            low[text.get_text()] = (text.get_color(), round(float(ratio), 2))
    assert not low, "use style.text_colour, or style.ink_on for a ground that is not white"


@pytest.mark.parametrize("name", FIGURES)
def test_words_can_be_read_from_the_back_row(drawn, name):
    fig = drawn[name]
    small = {t.get_text(): t.get_fontsize() for t in words(fig) if t.get_fontsize() * 9 / fig.get_figwidth() < 8}
    assert not small, "8 points or more in a figure of 9 inches"


def marks(fig):
    """(colour, ground) of what carries meaning beside words: lines, markers, bars, arrows, edges of swatches."""
    for ax in fig.axes:
        for line in ax.lines:
            yield from [(line.get_color(), WHITE), (line.get_markerfacecolor(), WHITE)] * (line.get_alpha() != 0)
        for lines in ax.findobj(LineCollection):
            yield from ((colour, WHITE) for colour in lines.get_colors())
        for bar in (bar for group in ax.containers if isinstance(group, BarContainer) for bar in group):
            yield from ((bar.get_facecolor(), ground) for ground in (WHITE, TAIL_BAND))
        arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
        arrows += [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
        yield from ((arrow.get_edgecolor(), WHITE) for arrow in arrows)
        for swatches in (c for c in ax.collections if not isinstance(c, LineCollection) and len(c.get_edgecolors())):
            yield from ((colour, WHITE) for colour in swatches.get_edgecolors())
    for legend in fig.legends:
        sides = ((swatch.get_edgecolor(), swatch.get_facecolor()) for swatch in legend.get_patches())
        yield from ((max(both, key=lambda colour: contrast(colour[:3], WHITE)), WHITE) for both in sides)


@pytest.mark.parametrize("name", ["curves", "live curves", "bars", "gallery", "ladder", "BiSeNet", "game"])
def test_lines_and_bars_have_contrast(drawn, name):
    found = {(to_rgba(colour), ground) for colour, ground in marks(drawn[name])}
    found = {(colour, ground) for colour, ground in found if colour[3]}
    assert found
    low = [mpl.colors.to_hex(c) for c, ground in found if contrast(c[3] * np.array(c[:3]) + 1 - c[3], ground) < 3]
    assert not low, "use style.LINES"


def test_the_words_of_bars_have_contrast_and_size():
    for colour in (label_views._INK, label_views._QUIET):
        assert contrast(np.divide(colour, 255), WHITE) >= 4.5
    for colour, ground in ((label_views._QUIET, 232), (label_views.RIGHT, 232), (label_views.WRONG, 255)):
        assert contrast(np.divide(colour, 255), np.full(3, ground / 255)) >= 3


def test_a_discriminators_numbers_can_be_read_in_five_columns(monkeypatch):
    sizes, load = [], views.ImageFont.load_default
    monkeypatch.setattr(views.ImageFont, "load_default", lambda size: sizes.append(size) or load(size))
    picture = views.discriminator_map(np.zeros((288, 576, 3), np.uint8), np.ones((3, 6)))
    column = figures.gallery([[picture] * 5], "abcde")
    FigureCanvasAgg(column).draw()
    shown = column.axes[0].get_window_extent().width / column.dpi * 72  # points
    assert sizes[0] * shown / picture.shape[1] >= 8


def ink_and_ground(css: str) -> tuple[str, str]:
    return tuple(re.search(rf"(?<![-\w]){name}:\s*(#\w+)", css)[1] for name in ("color", "background"))


def test_a_students_page_can_be_read_in_both_schemes():
    html = pages.page("a", "b", [Mark("x", 1, 2, "why")], {})
    light, dark = html.split("prefers-color-scheme: dark")
    for css in (light, dark):
        ink, ground = ink_and_ground(css[css.index("body") :])
        assert contrast(to_rgb(ink), to_rgb(ground)) >= 4.5
    inks = re.findall(r"(?<![-\w])color:\s*#\w+", html)
    assert len(inks) == 2, "every other text has the page's own colour"
    assert 'lang="en"' in html and html.count('scope="col"') == 3 and 'name="viewport"' in html


def test_the_explorers_page_can_be_read_in_both_schemes():
    html = (ROOT / "minida" / "viz" / "page.html").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", html, re.S))
    assert light["ground"] != dark["ground"]
    for scheme in (light, light | dark):
        colours = {name: to_rgb(colour) for name, colour in scheme.items()}
        for ink, ground in (("ink", "ground"), ("quiet", "ground"), ("on", "accent")):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for mark, ground in (("accent", "ground"), ("right", "ground"), ("wrong", "ground"), ("covered", "bar")):
            assert contrast(colours[mark], colours[ground]) >= 3, (mark, ground)
        assert apart(colours["right"], colours["wrong"]) > 40 and apart(colours["wrong"], colours["stripe"]) > 20


def test_html_in_a_notebook_takes_its_colours_from_the_theme():
    swatch = "border:1px solid #666;background:rgb"  # no words on it
    for path in [*(ROOT / "minida" / "viz").glob("*widget*.py"), *(ROOT / "minida" / "teach").glob("*.py")]:
        code = path.read_text(encoding="utf-8").replace(swatch, "")
        if path.name == "source.py":  # its own ground, and inks for it
            code = code.replace("background:#f7f7f7;color:#222", "")
        assert not re.search(r"[\"';](?:background(?:-color)?|color):", code), f"{path.name}: dark on dark, somewhere"
    assert contrast(to_rgb("#666666"), to_rgb("#111111")) >= 3, "a swatch's frame on JupyterLab's dark ground"


def test_shown_source_can_be_read():
    ground = to_rgb("#f7f7f7")
    inks = {"222222", *(look["color"] for _, look in get_style_by_name("xcode") if look["color"])}
    low = {ink: round(float(contrast(to_rgb(f"#{ink}"), ground)), 2) for ink in inks}
    assert not {ink: ratio for ink, ratio in low.items() if ratio < 4.5}
