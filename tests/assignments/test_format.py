"""Releases and their faults, on a small assignment."""

import json

import pytest

from minida import classroom
from minida.classroom.format import UNTRIED, UNWRITTEN, leaks, problems, read, released, write
from minida.classroom.grading import asked, code_of, undefined


def test_a_release_shows_neither_solution_nor_hidden_tests(source):
    source.cells[3].outputs = [{"output_type": "stream", "name": "stdout", "text": "4"}]
    source.metadata.author = "the teacher"
    made = released(source)
    assert made.cells[2].source == "def double(x):\n" + "\n".join(f"    {line}" for line in UNTRIED.splitlines())
    assert made.cells[3].source == 'assert double(2) == 4, "two times two"' and made.cells[3].outputs == []
    assert made.cells[-1].source == UNWRITTEN and made.cells[1].source == source.cells[1].source
    text = json.dumps(made)
    assert not any(word in text for word in ("secret", "values.max", "model answer", "BEGIN", "teacher"))
    assert leaks(source, made) == [] and "checksum" in made.cells[3].metadata.nbgrader
    assert source.cells[2].source.count("###") == 2, "the source is left as it was"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda cells: cells[2].metadata.nbgrader.update(grade_id="largest"), "grade_id largest is there twice"),
        (lambda cells: cells[2].update(source="def double(x):\n    return 2 * x"), "a solution without"),
        (lambda cells: cells[3].metadata.nbgrader.update(points=0), "points is 0"),
        (lambda cells: cells[3].metadata.nbgrader.update(locked=False), "not locked"),
        (lambda cells: cells[3].metadata.nbgrader.update(schema_version=2), "schema_version is 2"),
        (
            lambda cells: cells[3].update(source="### BEGIN HIDDEN TESTS\nassert double(1) == 2"),
            "without its other half",
        ),
        (lambda cells: cells[0].update(source="### BEGIN SOLUTION\nx\n### END SOLUTION"), "in a cell that is none"),
    ],
)
def test_a_faulty_source_is_named(source, fault, words):
    fault(source.cells)
    assert any(words in line for line in problems(source))
    with pytest.raises(ValueError, match=words):
        released(source)


def test_what_would_get_out_stops_a_release(folder, tmp_path, source):
    classroom.release("small", tmp_path / "out", folder)
    (folder / "small" / "notes.txt").write_text("the answers")
    with pytest.raises(ValueError, match=r"notes.txt would be left out"):
        classroom.release("small", tmp_path / "out", folder)
    (folder / "small" / "notes.txt").unlink()
    source.cells[0].source = "Hint: return values.max()"
    write(source, folder / "small" / "small.ipynb")
    with pytest.raises(ValueError, match=r"would show 'return values.max\(\)'"):
        classroom.release("small", tmp_path / "more", folder)
    assert not (tmp_path / "more").exists()
    with pytest.raises(ValueError, match="no such assignment .* choose among small"):
        classroom.release("smal", tmp_path / "out", folder)


def test_the_names_that_a_test_asks_for(source):
    assert asked(
        "import numpy as np\ny = [f(x) for x in np.arange(3)]\ndef g(a):\n    return h(a, y) + len(a)\ng(1)"
    ) == ["f", "h"]
    assert undefined(source) == []
    source.cells[3].source += "\nassert triple(1) == 3"
    assert undefined(source) == ["double-test asks for triple, which no solution defines"]


def test_only_the_students_own_cells_run(source):
    made = released(source)
    made.cells[1].source = "TWO = 3  # changed"
    made.cells[3].source = "print('a test of my own')"
    made.cells.append(made.cells[2].copy())
    code = code_of(source, made)
    assert code[0] == source.cells[1].source, "what was given is put back"
    assert not any("test of my own" in cell for cell in code) and sum("def double" in cell for cell in code) == 2
    del made.cells[1]
    assert code_of(source, made)[0] == source.cells[1].source, "also where it was deleted"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"nbformat": 3}', '{"cells": 5, "nbformat": 4}', "\x00\x01"])
def test_no_notebook_is_one_line(tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content)
    with pytest.raises(ValueError, match=r"x.ipynb: no notebook of format 4"):
        read(tmp_path / "x.ipynb")
    with pytest.raises(ValueError, match=r"y.ipynb: no notebook"):
        read(tmp_path / "y.ipynb")
