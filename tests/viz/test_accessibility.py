"""What a course on a projector needs: contrast, size, a second cue beside colour, and words beside pictures.

Contrast: Web Content Accessibility Guidelines 2.2, criteria 1.4.3 (text, 4.5 : 1) and 1.4.11 (lines and bars, 3 : 1).
Colour vision: Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
IEEE TVCG 15(6), 2009, severity 1.0, in linear RGB. Distances: CIE 1976, in Lab.
"""

import itertools
import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
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
from minida.teach import course
from minida.teach import figures as teaching
from minida.types import CLASSES, PALETTE
from minida.viz import diagrams, figures, label_views, ladder, style, views
from minida.viz.label_widget import LabelExplorer
from minida.viz.widgets import StreetExplorer, StreetState, street_view

ROOT = Path(__file__).parents[2]
WHITE, TAIL_BAND = (1, 1, 1), to_rgb("#f3f3f3")
NAMES = [name for name in style._FIXED if name != "labelled"]
SIGHT = {
    "all cones": np.eye(3),
    "protan": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deutan": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritan": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}
TO_XYZ = [(0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)]


# ---- measures


def linear(rgb) -> np.ndarray:
    """sRGB in [0, 1] -> linear light."""
    rgb = np.asarray(rgb, float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other) -> np.ndarray:
    """WCAG 2.2, "contrast ratio"; colours (..., 3) in [0, 1]."""
    light = [linear(colour) @ (0.2126, 0.7152, 0.0722) + 0.05 for colour in (one, other)]
    return np.maximum(*light) / np.minimum(*light)


def lab(rgb, sight: str) -> np.ndarray:
    """Colours (..., 3) in [0, 1] in CIE Lab, as they are seen."""
    seen = np.clip(linear(rgb) @ np.transpose(SIGHT[sight]), 0, 1)
    share = seen @ np.transpose(TO_XYZ) / np.sum(TO_XYZ, 1)
    x, y, z = np.moveaxis(np.where(share > (6 / 29) ** 3, np.cbrt(share), share * 841 / 108 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def apart(one, other) -> float:
    """The least distance of any colour of one set from any of the other, to whoever sees them worst."""
    one, other = (np.reshape(colours, (-1, 3)) / 1.0 for colours in (one, other))
    return min(np.linalg.norm(lab(one, sight)[:, None] - lab(other, sight)[None], axis=-1).min() for sight in SIGHT)


def test_the_measures():
    assert contrast((0, 0, 0), WHITE) == pytest.approx(21)
    assert contrast(to_rgb("#767676"), WHITE) == pytest.approx(4.54, abs=0.01), "the lightest grey that passes"
    assert lab((1, 0, 0), "all cones") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    for sight in SIGHT:
        assert lab((0.5, 0.5, 0.5), sight)[1:] == pytest.approx([0, 0], abs=0.05), "grey stays grey"
    assert apart(to_rgb("#767676"), to_rgb("#767676")) == 0


# ---- every kind of figure


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


# ---- without colour


def test_right_wrong_and_not_believed_stay_apart_for_everyone():
    greys = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)  # (256, 1, 3): each is an image's pixel
    seen = {}
    for name, label, truth in (("right", 0, 0), ("wrong", 1, 0), ("pale", 255, 0), ("unknown", 0, 255)):
        picture = label_views.verdict_map(greys, np.full((256, 1), label), np.full((256, 1), truth))
        seen[name] = np.unique(picture.reshape(-1, 3), axis=0) / 255
    assert len(seen["wrong"]) == 2 and apart(*seen["wrong"]) > 20, "stripes are seen"
    light = seen["wrong"][seen["wrong"].sum(1).argmax()]
    assert apart(seen["right"], light) > 40 and apart(seen["pale"], light) > 40
    assert apart(seen["right"], seen["pale"]) > 15
    assert apart(seen["unknown"], light) > 40 and apart(seen["unknown"], seen["pale"]) > 40


def test_two_curves_differ_in_marker_and_in_dash_or_colour():
    looks = [(style.LINES[hue], str(dash), marker) for hue, dash, marker in style._LOOKS]
    for (hue, dash, marker), (other, dash_, marker_) in itertools.combinations(looks, 2):
        assert marker != marker_
        assert dash != dash_ or apart(to_rgb(hue), to_rgb(other)) > 25, f"{hue} and {other}, both {dash}"
        assert hue == other or apart(to_rgb(hue), to_rgb(other)) > 15, f"{hue} and {other}"


def test_every_look_has_contrast_on_white_and_on_the_band_of_tail_classes():
    for look in style.styles_of(NAMES).values():
        assert min(contrast(to_rgb(look["color"]), ground) for ground in (WHITE, TAIL_BAND)) >= 3, look
        assert contrast(to_rgb(style.text_colour(look["color"])), WHITE) >= 4.5, look


def test_marks_and_bars_have_a_form_beside_their_colour():
    assert len({mark for _, mark, _ in ladder.MARKS.values()}) == len(ladder.MARKS)
    assert len({words for *_, words in ladder.MARKS.values()}) == len(ladder.MARKS)
    assert len(set(style.HATCHES)) == len(style.HATCHES) >= 4


HARD = {  # classes whose colours are closer than 12 to somebody; the palette is given, so lines and names help
    ("road", "wall"), ("road", "bus"), ("road", "train"), ("wall", "sky"), ("fence", "pole"), ("bus", "train"),
    ("traffic light", "traffic sign"), ("vegetation", "person"),
}  # fmt: skip


def test_the_class_colours_that_need_a_second_cue_are_known():
    pairs = itertools.combinations(range(19), 2)
    close = {(CLASSES[a], CLASSES[b]) for a, b in pairs if apart(PALETTE[a] / 255, PALETTE[b] / 255) < 12}
    assert close == HARD


LABELS = np.array([[CLASSES.index("bus")] * 4 + [CLASSES.index("train")] * 4] * 8)  # nobody tells their colours apart
GREY = np.full((8, 8, 3), 90, np.uint8)
OUTLINED = {
    "truth": lambda: label_views.label_view("truth", GREY, LABELS, LABELS, LABELS)[::120, ::120],
    "prediction": lambda: label_views.label_view("prediction", GREY, LABELS, LABELS, LABELS)[::120, ::120],
    "labels": lambda: street_view(StreetState(view="labels"), GREY, LABELS),
    "overlay": lambda: street_view(StreetState(), GREY, LABELS),
    "gallery": lambda: figures.gallery([[LABELS.repeat(40, 0).repeat(40, 1)]]).axes[0].images[0].get_array(),
}


@pytest.mark.parametrize("name", OUTLINED)
def test_a_line_runs_between_classes_in_every_label_picture(name):
    picture = np.asarray(OUTLINED[name]()) / 255
    row = picture[len(picture) // 2]
    line = contrast(row, row[0]) >= 3
    assert line.any() and not line[: len(row) // 4].any() and line.mean() <= 0.25, "one line, in the middle"


def test_the_games_predictions_are_outlined(drawn):
    for ax in drawn["game"].axes:
        pictures = [image.get_array() for image in ax.images if image.get_extent()[0] > 30]
        assert len(pictures) == 2
        for picture in pictures:
            bare = (picture[:, :, None] == PALETTE).all(-1).any(-1)
            assert 0.02 < 1 - bare.mean() < 0.4, "pixels that are no class's colour: lines"


# ---- words beside pictures, in every document that is read


def alts(html: str) -> list[str]:
    """The alternative texts of a page's or a text's images; "" where one has none."""
    html = re.sub(r"^ *```.*?^ *```", "", html, flags=re.S | re.M)
    tags = [re.search(r"\balt=([\"'])(.*?)\1", tag, re.S) for tag in re.findall(r"<img\b[^>]*>", html)]
    return [tag[2] if tag else "" for tag in tags] + re.findall(r"!\[([^\]]*)\]\(", html)


def texts_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_every_picture_of_every_text_has_alternative_text():
    folders = [ROOT.glob("*.md"), (ROOT / "assets").rglob("*.md"), (ROOT / "notebooks").rglob("*.md")]
    paths = [*itertools.chain(*folders), *(ROOT / "notebooks").rglob("*.ipynb")]
    found = {path: alts(texts_of(path)) for path in paths if ".ipynb_checkpoints" not in path.parts}
    assert len(found) > 15 and len(found[ROOT / "README.md"]) >= 5
    assert not [(path.name, alt) for path, texts in found.items() for alt in texts if len(alt.strip()) < 20]


def test_the_courses_pages_keep_the_alternative_text(tmp_path):
    content = teaching._html(np.zeros((9, 9, 3), np.uint8), 90, "A black square, seen from above", "A caption")
    output = course.nbformat.v4.new_output("display_data", content)
    cells = [course.nbformat.v4.new_markdown_cell("# T\n![A red square, seen from above](red.png)")]
    cells += [course.nbformat.v4.new_code_cell("x", outputs=[output])]
    (tmp_path / "red.png").write_bytes(b"\x89PNG")
    course.write_html(course.nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb", tmp_path)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    body = page[page.index("<body") :]
    assert sorted(alts(body)) == ["A black square, seen from above", "A red square, seen from above"]
    assert re.search(r"<html[^>]*\blang=\"en\"", page) and re.search(r"<title>[^<]+</title>", page)


# ---- light and dark


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
