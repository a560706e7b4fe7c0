"""Every assignment: its solution has full marks, untouched none, and each wrong answer loses at its own exercise."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

from minida import classroom
from minida.classroom.format import about, is_answer, is_test, is_written, leaks, problems, read, released
from minida.classroom.grading import UNTRIED, asked, code_of, tried
from minida.classroom.plain import decode, encode
from minida.classroom.student import AnswerError

HERE = Path(__file__).parent
NAMES = classroom.names()
HELPERS = [  # what a student may call a function of their own
    *("asked", "centre", "close", "exp", "loss_of", "naive", "one", "pixel_by_pixel", "plan", "shares", "sigma"),
    *("sigmoid", "slope_of", "slowly", "terms_of", "three", "where"),
]


def mutants(name: str) -> dict[str, dict[str, str]]:
    spec = importlib.util.spec_from_file_location(f"mutants{name[:2]}", HERE / f"mutants{name[:2]}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTANTS


MUTANTS = [(name, exercise, wrong) for name in NAMES for exercise, some in mutants(name).items() for wrong in some]


def source(name: str) -> NotebookNode:
    return read(classroom.SOURCE / name / f"{name}.ipynb")


class Here:
    """A student in this process: quick, and as safe as the answers below."""

    def __init__(self, cells):
        self.names = {}
        for cell in cells:
            exec(cell, self.names)

    def ask(self, name, *args, **kwargs):
        args, kwargs = decode(encode([list(args), kwargs]))
        try:
            return decode(encode(self.names[name](*args, **kwargs)))
        except Exception as error:
            raise AnswerError(f"{name} raised {type(error).__name__}: {error}") from error


def marks(notebook: NotebookNode, submission: NotebookNode) -> dict[str, str]:
    """Test -> "" if passed, else why not."""
    student = Here(code_of(notebook, submission))
    return {about(cell)["grade_id"]: tried(cell.source, student) for cell in notebook.cells if is_test(cell)}


@pytest.mark.parametrize("name", NAMES)
def test_the_form(name):
    notebook = source(name)
    assert not list(problems(notebook))
    graded = [about(cell) for cell in notebook.cells if about(cell).get("grade")]
    tests = [cell for cell in notebook.cells if is_test(cell)]
    assert 3 <= len(tests) <= 5 and sum(map(is_written, notebook.cells)) == 1
    first = notebook.cells[0].source
    assert first.startswith(f"# Assignment {name[:2]} · ")
    assert int(re.search(r"\*\*Time:\*\* (\d+) minutes", first)[1]) <= 90
    assert int(re.search(r"\*\*Points:\*\* (\d+)", first)[1]) == sum(told["points"] for told in graded)
    assert f"minida assignment check {name}.ipynb" in first
    assert "Leave the arguments as they are: work on copies. Compute in float64 unless" in first
    for cell in tests:
        assert "### BEGIN HIDDEN TESTS" in cell.source, f"{about(cell)['grade_id']} hides nothing"
        asserts = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
        assert all(node.msg is not None for node in asserts), "an assertion names the likely mistake"
    exercises = {about(cell)["grade_id"] for cell in notebook.cells if is_answer(cell) and not is_written(cell)}
    assert {f"{exercise}-test" for exercise in exercises} == {about(cell)["grade_id"] for cell in tests}
    assert set(mutants(name)) == exercises and all(len(wrong) >= 3 for wrong in mutants(name).values())


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_has_full_marks_and_untouched_none(name):
    notebook = source(name)
    assert set(marks(notebook, notebook).values()) == {""}
    untouched = marks(notebook, released(notebook))
    for cell in filter(is_test, notebook.cells):
        said = untouched[about(cell)["grade_id"]]
        assert said in [f"{UNTRIED}: {function}" for function in asked(cell.source)]


def functions(cell: str) -> list[str]:
    return [node.name for node in ast.parse(cell).body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", NAMES)
def test_a_students_helpers_keep_their_names(name):
    """As nbgrader runs it: all cells in one namespace, where a test may overwrite what solutions go on using."""
    notebook = source(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    own = {function for cell in code if is_answer(cell) for function in functions(cell.source)}
    helpers = [helper for helper in HELPERS if helper not in own]
    names = {}
    exec("\n".join(f"def {helper}(answer):\n    return answer" for helper in helpers), names)
    for cell in code:
        exec(cell.source, names)
        for function in functions(cell.source) if is_answer(cell) else ():
            said = "right(*given, **named)"
            for helper in helpers:
                said = f"{helper}({said})"
            exec(f"def {function}(*given, right={function}, **named):\n    return {said}", names)
        if is_test(cell):
            assert all(function.startswith("_") for function in functions(cell.source))


@pytest.mark.parametrize(("name", "exercise", "wrong"), MUTANTS, ids=["-".join(m)[:60] for m in MUTANTS])
def test_a_wrong_answer_loses_its_own_marks(name, exercise, wrong):
    notebook = source(name)
    submission = released(notebook)
    for cell in submission.cells:
        if is_answer(cell) and cell.cell_type == "code":
            right = next(c for c in notebook.cells if about(c).get("grade_id") == about(cell)["grade_id"])
            cell.source = mutants(name)[exercise][wrong] if about(cell)["grade_id"] == exercise else right.source
    found = marks(notebook, submission)
    assert [test for test, why in found.items() if why] == [f"{exercise}-test"], found


@pytest.mark.parametrize("name", NAMES)
def test_the_release_is_the_same_every_time_and_tells_nothing(name, tmp_path):
    first, second = (classroom.release(name, tmp_path / part) for part in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == [f"{name}.ipynb"]
    text = first.read_text(encoding="utf-8")
    assert "BEGIN" not in text and not leaks(source(name), read(first))
    assert all(not cell.get("outputs") for cell in json.loads(text)["cells"])
