"""Recorded guesses survive a restart; an untouched notebook goes on."""

import json

import pytest

from minida import teach
from minida.teach import guesses


@pytest.fixture(autouse=True)
def boxes(tmp_path, monkeypatch):
    """Work beside no real notebook; collect the boxes that appear."""
    shown = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guesses, "display", shown.append)
    return shown


def stored() -> dict:
    return json.loads(guesses.STORE.read_text())


def test_untouched(capsys, boxes):
    teach.guess("00.gap", "How many points?", unit="points")
    assert not guesses.STORE.exists() and len(boxes) == 1
    teach.compare("00.gap", 23.4, unit="points")
    said = capsys.readouterr().out
    assert "How many points? (points)\n" in said and "The result: 23.4 points.\nYou recorded no guess." in said


@pytest.mark.parametrize(
    ("value", "verdict"), [(23, "Close!"), (40, "Too high by 16.6 points."), (10, "Too low by 13.4 points.")]
)
def test_numbers(capsys, value, verdict):
    teach.guess("00.gap", "How many points?", value=value)
    teach.compare("00.gap", 23.4, tolerance=5, unit="points")
    assert verdict in capsys.readouterr().out and stored() == {"00.gap": value}


def test_default_tolerance_is_a_tenth_of_the_result(capsys):
    teach.guess("a", "?", value=109)
    teach.compare("a", 100)
    teach.compare("a", 95)
    assert capsys.readouterr().out.count("Close!") == 1


def test_choices(capsys):
    teach.guess("00.class", "Which?", value="pole", choices=("road", "pole"))
    teach.compare("00.class", "road")
    teach.compare("00.class", "pole")
    said = capsys.readouterr().out
    assert said.count("A surprise") == 1 and said.count("You saw it coming") == 1
    with pytest.raises(ValueError, match="none of the choices road, pole"):
        teach.guess("00.class", "Which?", value="car", choices=("road", "pole"))


def test_a_wrong_kind_of_guess_says_what_is_expected():
    with pytest.raises(ValueError, match="write a number"):
        teach.guess("a", "How many?", value="many")
    assert not guesses.STORE.exists()


def test_the_box_records_and_the_guess_comes_back(capsys, boxes):
    teach.guess("a", "How many?")
    boxes[0].value = "42"
    teach.guess("b", "Which?", choices=("x", "y"))
    boxes[1].value = "y"
    assert stored() == {"a": 42, "b": "y"}
    teach.guess("a", "How many?", unit="m")
    assert "Your guess: 42 m." in capsys.readouterr().out and boxes[2].value == "42"


def test_a_broken_file_is_no_obstacle_and_writing_leaves_no_draft():
    guesses.STORE.parent.mkdir()
    guesses.STORE.write_text("{broken")
    teach.guess("a", "?", value=1)
    assert stored() == {"a": 1} and [path.name for path in guesses.STORE.parent.iterdir()] == ["guesses.json"]
