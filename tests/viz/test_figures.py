"""Style, figures and the table: what stands in them."""

import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from minida.types import CLASSES, IGNORE, TAIL
from minida.viz import figures, style


@pytest.fixture(autouse=True)
def course_style():
    with mpl.rc_context():
        style.use_style()
        yield


def texts(fig) -> list[str]:
    return [text.get_text() for text in fig.findobj(mpl.text.Text) if text.get_text()]


def test_array_views_need_neither_matplotlib_nor_ipywidgets():
    code = "import sys, minida.viz as v; v.overlay; print({'matplotlib', 'ipywidgets'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="gallery"):
        import minida.viz

        minida.viz.galery  # noqa: B018


def test_curves_differ_in_more_than_colour():
    names = ["supervised", "source-only", "adversarial", "pseudo", "self-training", "dars", "u2pl", "mpl"]
    looks = style.styles_of(names)
    assert len({look["marker"] for look in looks.values()}) == len(names)
    assert style.styles_of(["x", "source-only"])["source-only"] == looks["source-only"], "a look is fixed"
    for a, b in itertools.combinations(style.styles_of(["sgd", "a", "b", "c", "d"]).values(), 2):
        assert a["marker"] != b["marker"]
    assert "#F0E442" not in {look["color"] for look in looks.values()}, "yellow cannot be read on white"


def test_curves_carry_their_names_without_overlap():
    x = np.arange(20)
    fig = figures.curves({"sgd": (x, 1 / (x + 1)), "adam": (x, 1.001 / (x + 1)), "empty": ([], [])})
    ax = fig.axes[0]
    spots = {note.get_text(): note.xy[1] for note in ax.texts}
    assert set(spots) == {"sgd", "adam"}
    assert abs(spots["sgd"] - spots["adam"]) >= 0.069


def test_gallery_names_the_classes_that_occur():
    labels = np.zeros((48, 96), int)
    labels[:, 48:], labels[0, 0] = 13, IGNORE
    fig = figures.gallery(
        [[np.zeros((48, 96, 3), np.uint8), labels], [labels]], ["image", "labels"], row_names=["a", "b"]
    )
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["road", "car", "ignored"]
    found = texts(fig)
    assert {"image", "labels", "a", "b"} <= set(found)
    assert found.count("road") == 3, "written on both maps and in the legend"
    assert figures.gallery([[np.zeros((4, 8, 3), np.uint8)]]).legends == []


def test_class_bars_mark_the_tail_and_hatch_the_second_series():
    first = np.linspace(0.1, 0.5, 19)
    first[3] = np.nan
    fig = figures.class_bars({"game": first, "real": first / 2}, log=False)
    ax = fig.axes[0]
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert [label.endswith(" *") for label in labels] == [index in TAIL for index in range(19)]
    widths = [bar.get_width() for bar in ax.containers[0]]
    assert widths[0] == pytest.approx(10) and widths[3] == 0
    assert {bar.get_hatch() for bar in ax.containers[1]} == {"////"} != {bar.get_hatch() for bar in ax.containers[0]}


def test_two_panels_of_bars_share_one_legend():
    fig = mpl.figure.Figure(layout="constrained")
    for ax, share in zip(fig.subplots(1, 2, sharey=True), (0.5, 0.25), strict=True):
        assert figures.class_bars({"a": [share] * 19, "b": [0.1] * 19}, ax=ax) is fig
        assert [bar.get_width() for bar in ax.containers[0]] == [100 * share] * 19
    assert len(fig.axes) == 2
    assert [[text.get_text() for text in legend.get_texts()] for legend in fig.legends] == [["a", "b"]]


def test_confusion_is_normalised_by_row():
    fig = figures.confusion_figure(np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert [text.get_text() for text in fig.axes[0].texts] == ["75", "25"]


def test_iou_table():
    report = {"miou": 0.5, "tail_miou": None, "pixel_accuracy": 0.75, "iou": {"road": 0.9, "train": float("nan")}}
    other = type("Report", (), {})()
    vars(other).update(report | {"iou": {"road": 0.123}})
    lines = figures.iou_table({"source-only": report, "b": other}).splitlines()
    assert lines[0].split() == ["IoU", "in", "%", "source-only", "b"]
    assert lines[1].split() == ["road", "90.0", "12.3"]
    assert lines[2].split() == ["train", "*", "-", "-"]
    assert lines[3].split() == ["mIoU", "50.0", "50.0"] and lines[4].split()[-2:] == ["-", "-"]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    assert "train" in CLASSES
