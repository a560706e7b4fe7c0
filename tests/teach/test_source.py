"""Live source shows the lines that run, and where they stand."""

import inspect
import re
from pathlib import Path

import pytest

from minida import metrics, teach
from minida.teach import source

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shown(monkeypatch):
    pieces = []
    monkeypatch.setattr(source, "display", pieces.append)
    return pieces


@pytest.mark.parametrize("obj", [teach.show, metrics.ConfusionMatrix, metrics.ConfusionMatrix.iou])
def test_place_and_text_are_the_files(shown, obj):
    teach.show(obj)
    path, line = re.fullmatch(r"(minida/.*\.py):(\d+)", shown[0].place).groups()
    first = (ROOT / path).read_text().splitlines()[int(line) - 1]
    assert first.strip() == shown[0].code.splitlines()[0] and first.strip().startswith(("def ", "class "))
    assert not shown[0].code.startswith(" ") and shown[0].code in repr(shown[0])
    assert len(shown[0].code.splitlines()) == len(inspect.getsourcelines(obj)[0])


def test_lines_are_counted_within_the_object(shown):
    teach.show(teach.show, (2, 3))
    teach.show(teach.show)
    place, line = shown[1].place.rsplit(":", 1)
    assert shown[0].place == f"{place}:{int(line) + 1}"
    assert shown[0].code.splitlines()[0] == shown[1].code.splitlines()[1].strip()
    for lines in ((0, 2), (3, 2), (1, 999)):
        with pytest.raises(ValueError, match="outside"):
            teach.show(teach.show, lines)


def test_html_is_escaped(shown):
    teach.show(source.Source._repr_html_)
    html = shown[0]._repr_html_()
    assert "&lt;details" in html and html.count("<details") == 1


@pytest.mark.parametrize("obj", [len, 3, "text"])
def test_what_has_no_source(obj):
    with pytest.raises(ValueError, match="no Python source"):
        teach.show(obj)
