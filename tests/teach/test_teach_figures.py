"""The figure helper: alternative text, size, and the live figure's pace."""

import base64
import io
import itertools
import math
import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from minida import teach
from minida.data import MiniCity
from minida.teach import figures
from minida.types import PALETTE
from minida.viz import gallery, use_style

ALT = "A grey square with a white frame"


@pytest.fixture
def displayed(monkeypatch):
    """What is displayed: a list of MIME bundles; an update of a display counts too."""
    mpl.use("agg")
    bundles = []

    class Handle:
        def update(self, content, raw):
            bundles.append(content)

    def display(content, raw, display_id=None):
        bundles.append(content)
        return Handle()

    monkeypatch.setattr(figures, "display", display)
    return bundles


def decoded(bundle: dict) -> Image.Image:
    data = re.search(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', bundle["text/html"])[1]
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_similar_class_colours_stay_apart_beside_photographs(displayed):
    streets = [MiniCity("real", "val", gap=gap)[5] for gap in (0, 0.25, 0.5, 0.75, 1)]
    streets[0][1][:3, :3], streets[0][1][5:8, :3] = 6, 7  # a traffic light, orange, and a traffic sign, yellow
    teach.figure(gallery([[image, labels, labels] for image, labels in streets]), ALT)
    seen = np.asarray(decoded(displayed[0]).convert("RGB"), int)
    for index in (6, 7):
        assert (abs(seen - PALETTE[index]).max(-1) < 12).sum() > 50, "its swatch in the legend has another colour"


def test_noise_is_shown_too(displayed):
    teach.picture(np.random.default_rng(0).integers(0, 256, (256, 512, 3), np.uint8), ALT)
    assert decoded(displayed[0]).size == (512, 256)


def test_figure_carries_its_alt_text_and_is_closed(displayed):
    fig, ax = pyplot.subplots()
    ax.plot([1, 2])
    teach.figure(fig, ALT + ' "quoted" & <odd>', "A caption")
    html = displayed[0]["text/html"]
    assert f'alt="{ALT} &quot;quoted&quot; &amp; &lt;odd&gt;"' in html and "<figcaption" in html
    assert displayed[0]["text/plain"].startswith(ALT)
    assert not pyplot.fignum_exists(fig.number)
    assert decoded(displayed[0]).format == "PNG" and len(html) < 60_000


@pytest.mark.parametrize("alt", ["", "a plot", " " * 30])
def test_short_alt_text_is_refused(displayed, alt):
    with pytest.raises(ValueError, match="20 characters"):
        teach.figure(mpl.figure.Figure(), alt)
    assert not displayed


def test_photographs_are_light_and_drawings_keep_their_colours(displayed):
    teach.picture(MiniCity("real", size=(256, 512)).image(0), ALT)
    assert decoded(displayed[0]).format == "JPEG" and len(displayed[0]["text/html"]) < 120_000
    flat = np.zeros((96, 192, 3), np.uint8)
    flat[:, 96:] = (0, 0, 142)
    teach.picture(flat, ALT)
    assert decoded(displayed[1]).format == "PNG"
    assert np.array_equal(np.asarray(decoded(displayed[1]).convert("RGB")), flat)


def test_live_curves_keep_their_pace_and_end_with_the_last_state(displayed, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(figures.time, "monotonic", lambda: now[0])
    with teach.LiveCurves(steps=8) as live:
        callback = live.run("adam")
        for step in range(1, 9):
            now[0] += 0.5
            callback(step, {"loss": 1 / step, **({"miou": 0.25} if step == 8 else {})})
    assert len(displayed) == 3, "at 0.5 s and 2.5 s, and at the end"
    assert "loss from 1.00 to 0.12; adam: mIoU in % from 25.00 to 25.00" in displayed[-1]["text/plain"]
    assert [record["step"] for record in live.history["adam"]] == list(range(1, 9))


def test_live_curves_are_a_callback_and_draw_what_there_was_on_an_error(displayed):
    with pytest.raises(KeyboardInterrupt), teach.LiveCurves(every=1e9) as live:
        live(1, {"loss": 2.0})
        live(2, {"loss": 1.0})
        raise KeyboardInterrupt
    assert "training: loss from 2.00 to 1.00" in displayed[-1]["text/plain"]


GAME = {
    "segmentation loss": ("segmentation", 1), "adversarial loss": ("adversarial", 1),
    "discriminator loss": ("discriminator", 1, math.log(2), "coin toss"), "mIoU in %": ("miou", 100),
}  # fmt: skip


@pytest.fixture
def drawn(displayed, monkeypatch):
    """The figures that LiveCurves draws, as they are laid out."""
    figs, draw = [], figures._draw
    monkeypatch.setattr(figures, "_draw", lambda fig: figs.append(fig) or draw(fig))
    with mpl.rc_context():
        use_style()
        yield figs


@pytest.mark.parametrize("titles, grid", [(list(GAME), (2, 2)), (list(GAME)[1:], (1, 3)), (None, (1, 2))])
def test_live_panels_stand_apart(drawn, titles, grid):
    options = {"panels": {title: GAME[title] for title in titles}} if titles else {}
    with teach.LiveCurves(60, 1e9, **options) as live:
        for name, gain in (("source-only", 1), ("self-training", 1.01)):
            for step in (20, 40, 60):
                keys = ("loss", "segmentation", "adversarial", "discriminator")
                live.run(name)(step, {"miou": 0.004 * step * gain, **dict.fromkeys(keys, gain * 9 / step)})
    axes = drawn[-1].axes
    assert axes[0].get_gridspec().get_geometry() == grid
    assert [ax.get_title("left") for ax in axes] == (titles or ["loss", "mIoU in %"])
    assert axes[-1].get_ylim()[0] == 0 and axes[-1].get_ylim()[1] < 30, "mIoU from 0 up, in %"
    boxes = [
        mpl.transforms.Bbox.union([ax.get_tightbbox(), *(note.get_window_extent() for note in ax.texts)]) for ax in axes
    ]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2)), "the names at the ends need room"
    assert all(box.x1 < drawn[-1].bbox.x1 for box in boxes)


def test_live_reference_line(drawn, displayed):
    with teach.LiveCurves(panels=GAME) as live:
        live(1, {"discriminator": 0.3})
    ax = drawn[-1].axes[2]
    (line,) = (line for line in ax.lines if line.get_linestyle() == ":")
    assert set(line.get_ydata()) == {math.log(2)} and ax.get_ylim()[1] > math.log(2)
    assert ax.get_title("right").endswith("coin toss")
    said = "discriminator loss: dotted line at 0.69, coin toss; training: discriminator loss from 0.30 to 0.30."
    assert displayed[-1]["text/plain"].endswith(said)
