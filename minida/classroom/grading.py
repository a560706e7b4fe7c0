"""Marks: the teacher's tests run here, a student's functions in a process of their own; only plain data goes between.

So nothing that a student's code does to assertions, types or modules reaches a test, and no hidden test is ever in the
student's process. What is asked of a function can be seen by it, what is expected cannot.
"""

import builtins
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nbformat import NotebookNode

from minida.classroom.format import about, is_answer, is_test, is_written
from minida.classroom.student import AnswerError, Limits, Student

UNTRIED = "not tried yet"


@dataclass(frozen=True)
class Mark:
    """Of one graded cell; `points` is None where a person has to mark it."""

    grade_id: str
    points: int | None
    most: int
    message: str = ""  # why points are missing, in a line


def asked(source: str) -> list[str]:
    """The names that a test cell uses and does not define: the student's functions."""
    top = symtable.symtable(source, "test", "exec")
    own = {name.get_name() for name in top.get_symbols() if name.is_assigned() or name.is_imported()}

    def used(table: symtable.SymbolTable) -> Iterator[str]:
        for name in table.get_symbols():
            if name.is_referenced() and (table is top or name.is_global()):
                yield name.get_name()
        for child in table.get_children():
            yield from used(child)

    return sorted(set(used(top)) - own - set(dir(builtins)))


def grade(source: NotebookNode, submission: NotebookNode, limits: Limits | None = None) -> list[Mark]:
    """A mark for each graded cell of the source, in its order; only its own test cells count."""
    marks: list[Mark] = []
    with Student(code_of(source, submission), limits) as student:
        for cell in source.cells:
            told = about(cell)
            if is_test(cell):
                message = tried(cell.source, student)
                marks.append(Mark(told["grade_id"], 0 if message else told["points"], told["points"], message))
            elif is_written(cell):
                marks.append(Mark(told["grade_id"], None, told["points"], "marked by hand"))
    return marks


def code_of(source: NotebookNode, submission: NotebookNode) -> Sequence[str]:
    """What runs in the student's process: the submitted code cells without tests; what was given is put back."""
    kept = {about(cell).get("grade_id"): cell for cell in source.cells if about(cell).get("locked")}
    found: list[str] = []
    seen: set[str] = set()
    for cell in submission.cells:
        name = about(cell).get("grade_id")
        if cell.cell_type != "code" or is_test(cell) or (name in kept and (name in seen or is_test(kept[name]))):
            continue
        seen.add(name)
        found.append(kept[name].source if name in kept else cell.source)
    given = [cell for name, cell in kept.items() if name not in seen and cell.cell_type == "code" and not is_test(cell)]
    return [cell.source for cell in given] + found


def tried(test: str, student: Student) -> str:
    """Run a test cell here; "" if it passes, else a line that says why not."""
    try:
        names = {name: partial(student.ask, name) for name in asked(test)}
        exec(compile(test, "test", "exec"), {"__name__": "test", **names})
    except AssertionError as error:
        return _line(error) or "a wrong answer"
    except AnswerError as error:
        return f"{UNTRIED}: {str(error).split()[0]}" if "NotImplementedError" in str(error) else str(error)
    except Exception as error:
        return f"the answer cannot be used: {type(error).__name__}: {_line(error)}"
    return ""


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


def undefined(notebook: NotebookNode) -> list[str]:
    """What a source's tests ask for and none of its solution cells defines, a line each."""
    defined = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code" and is_answer(cell))
    tests = [cell for cell in notebook.cells if is_test(cell)]
    try:
        top = symtable.symtable(defined, "source", "exec")
        pairs = [(about(cell).get("grade_id"), name) for cell in tests for name in asked(cell.source)]
    except (SyntaxError, ValueError) as error:  # the latter for a null byte
        return [f"no Python ({_line(error)})"]
    names = {name.get_name() for name in top.get_symbols() if name.is_assigned()}
    return [f"{test} asks for {name}, which no solution defines" for test, name in pairs if name not in names]
