"""The classroom's files: notebooks that are handed in, marks, tables that a person has edited, students' answers."""

import csv
import io
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from harness import Case, campaign
from mutations import ODD_TEXTS, spoil_bytes, spoil_json, spoil_text

from minida import classroom
from minida.classroom import format, grading, plain
from minida.classroom.grading import code_of, undefined
from minida.classroom.student import AnswerError

NAME = "03-pseudo-labels"
SOURCE = classroom.SOURCE / NAME / f"{NAME}.ipynb"
MARK = {"grade_id": "one", "points": 2, "most": 3, "message": "a wrong answer"}
MARKS = {"assignment": NAME, "marks": {"ada": [MARK], "bob": [{**MARK, "points": None}], "../../outside/eve": [MARK]}}
GOOD_MARKS = {**MARKS, "marks": {name: MARKS["marks"][name] for name in ("ada", "bob")}}


def small(notebook: dict) -> dict:
    """Two exercises of a source: enough, and quicker to spoil."""
    return {**notebook, "cells": notebook["cells"][:8]}


def test_notebooks(tmp_path: Path) -> None:
    source = format.read(SOURCE)
    good = small(json.loads(SOURCE.read_text(encoding="utf-8")))

    def case(rng: Random, inside: Path) -> Case:
        content, path = spoil_json(rng, good), inside / "handed-in.ipynb"
        path.write_bytes(content)

        def read() -> list:
            notebook = format.read(path)
            assert isinstance(classroom._content(path), dict)
            cells = list(code_of(source, notebook))
            assert all(isinstance(cell, str) for cell in cells)
            wrong = list(format.problems(notebook))
            assert all(len(line.splitlines()) == 1 for line in wrong), wrong
            if not wrong:
                made = format.released(notebook)
                format.leaks(notebook, made)
            return wrong

        return repr(content[:300]), read

    campaign("notebooks", case, tmp_path, names=("handed-in.ipynb",))


def test_sources(tmp_path: Path) -> None:
    """A teacher's own notebook, released."""
    good = small(json.loads(SOURCE.read_text(encoding="utf-8")))

    def case(rng: Random, inside: Path) -> Case:
        content, path = spoil_json(rng, good), inside / "source" / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

        def read() -> int:
            undefined(format.read(path))
            return len(classroom.release(NAME, inside / "out", inside / "source").read_bytes())

        return repr(content[:300]), read

    campaign("sources", case, tmp_path)


def test_marks(tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_json(rng, GOOD_MARKS)
        if rng.random() < 0.3:
            names = [
                rng.choice((*ODD_TEXTS, "../../outside/eve", "/other/eve", "a/b", "..", "C:eve")) for _ in range(2)
            ]
            content = json.dumps({**MARKS, "marks": dict.fromkeys(names, [MARK])}).encode()
        out = inside / "marks"
        out.mkdir(exist_ok=True)
        (out / "marks.json").write_bytes(content)

        def write() -> list:
            pages = list(classroom.feedback(out))
            assert all(page.parent == out / "feedback" for page in pages)
            return [page.name for page in pages]

        return repr(content[:300]), write

    campaign("marks", case, tmp_path, names=("marks.json", "feedback"))


def test_grades(tmp_path: Path) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(
        [["student", "assignment", "one", "two", "total", "of"], ["ada", NAME, "2", "1.5", "3.5", "6"], ["bob", NAME]]
    )

    def case(rng: Random, inside: Path) -> Case:
        content = text.getvalue()
        content = spoil_text(rng, content).encode("utf-8", "surrogatepass") if rng.random() < 0.5 else content.encode()
        content = content if rng.random() < 0.4 else spoil_bytes(rng, content)
        (inside / "grades.csv").write_bytes(content)

        def read() -> list:
            points = classroom._by_hand(inside / "grades.csv", NAME)
            marks = {"ada": [classroom.Mark("one", None, 3), classroom.Mark("two", None, 3)]}
            classroom._table(NAME, marks, points)
            return [float(value) for value in points.values()]

        return repr(content[:300]), read

    campaign("grades", case, tmp_path, names=("grades.csv",))


def test_plain_data(tmp_path: Path) -> None:
    value = [1, 2.5, None, True, "x", (1, [2]), {"a": 1}, np.arange(6).reshape(2, 3), torch.ones(2, 2)]
    good = plain.encode(value)

    def case(rng: Random, inside: Path) -> Case:
        content = spoil_json(rng, json.loads(good)).decode("utf-8", "replace")
        return repr(content[:300]), lambda: type(plain.decode(content)).__name__

    campaign("plain data", case, tmp_path, names=("no plain data",))


class Nobody:
    """In the place of a student's process: answers nothing."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "Nobody":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, name: str, *_: object, **__: object) -> None:
        raise AnswerError(f"{name} is not there")


def test_own_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `minida assignment check` does with a student's notebook whose test cells are damaged too."""
    monkeypatch.setattr(grading, "Student", Nobody)
    good = small(json.loads(SOURCE.read_text(encoding="utf-8")))

    def case(rng: Random, inside: Path) -> Case:
        content, path = spoil_json(rng, good), inside / "mine.ipynb"
        path.write_bytes(content)

        def check() -> list:
            marks = classroom.check(path)
            assert all(len(mark.message.splitlines()) <= 1 for mark in marks)
            return [mark.points for mark in marks]

        return repr(content[:300]), check

    campaign("own notebooks", case, tmp_path, names=("mine.ipynb",))
