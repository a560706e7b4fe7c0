"""Assignments in nbgrader's notebook format (schema 3): what a cell is for, and the students' version of a notebook.

A source notebook has, for each exercise, a solution cell (between ### BEGIN SOLUTION and ### END SOLUTION is what the
students write) and a test cell with points (between ### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS is what they do not
see); and written questions, marked by hand.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

UNTRIED = "# YOUR CODE HERE\nraise NotImplementedError()"
UNWRITTEN = "YOUR ANSWER HERE"
_MARKED = r"^([ \t]*)### BEGIN {0}[^\n]*\n(.*?)^[ \t]*### END {0}[^\n]*(?:\n|\Z)"
SOLUTION = re.compile(_MARKED.format("SOLUTION"), re.M | re.S)
HIDDEN = re.compile(_MARKED.format("HIDDEN TESTS"), re.M | re.S)
MARKS = re.compile(r"###\s*(BEGIN|END)\s")


def about(cell: NotebookNode) -> dict:
    """nbgrader's metadata of a cell; {} where it has none, or none that can be right."""
    found = cell.metadata.get("nbgrader", {})
    return found if isinstance(found, dict) and isinstance(found.get("grade_id", ""), str) else {}


def is_test(cell: NotebookNode) -> bool:
    """An automatic test: graded, and not written by the student."""
    return bool(about(cell).get("grade")) and not about(cell).get("solution") and cell.cell_type == "code"


def is_answer(cell: NotebookNode) -> bool:
    """A cell that students write: code, or a text that is marked by hand."""
    return bool(about(cell).get("solution"))


def is_written(cell: NotebookNode) -> bool:
    """A written question's answer, marked by hand."""
    return is_answer(cell) and bool(about(cell).get("grade"))


def read(path: str | Path) -> NotebookNode:
    """Raises: ValueError that names the file, for what is no notebook of format 4."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate could not be written again
        nbformat.validate(content)
        notebook = nbformat.from_dict(content)
        if notebook.nbformat != 4:
            raise ValueError(f"format {notebook.nbformat}")
    except Exception as error:  # of many kinds: nbformat's checks expect its own types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: no notebook of format 4 ({reason[:120]}); save it again in Jupyter") from None
    for cell in notebook.cells:
        cell.source = "".join(cell.source) if isinstance(cell.source, list) else cell.source
    return notebook


def problems(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with a source notebook, a line each."""
    ids = [about(cell)["grade_id"] for cell in notebook.cells if about(cell).get("grade_id")]
    for twice in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"the grade_id {twice} is there twice"
    for number, cell in enumerate(notebook.cells, 1):
        told, source = about(cell), cell.source
        if told and told.get("schema_version") != 3:
            yield f"cell {number}: schema_version is {told.get('schema_version')}; expected 3"
        if told and not told.get("grade_id"):
            yield f"cell {number}: no grade_id"
        if told.get("grade") and not (isinstance(told.get("points"), int) and told["points"] > 0):
            yield f"cell {number}: points is {told.get('points')!r}; expected a whole number above 0"
        if cell.cell_type == "code" and is_answer(cell) and not SOLUTION.search(source):
            yield f"cell {number}: a solution without ### BEGIN SOLUTION and ### END SOLUTION"
        if SOLUTION.search(source) and not is_answer(cell):
            yield f"cell {number}: a solution's marks in a cell that is none"
        if is_test(cell) and not told.get("locked"):
            yield f"cell {number}: a test that is not locked"
        if MARKS.search(HIDDEN.sub("", SOLUTION.sub("", source))):
            yield f"cell {number}: a mark (###) without its other half"


def released(notebook: NotebookNode) -> NotebookNode:
    """The students' version: without solutions, hidden tests and outputs; test cells carry nbgrader's checksum.

    Raises: ValueError for a source that `problems` finds fault with.
    """
    wrong = list(problems(notebook))
    if wrong:
        raise ValueError("; ".join(wrong))
    made = copy.deepcopy(notebook)
    made.metadata = nbformat.from_dict({k: v for k, v in made.metadata.items() if k in ("kernelspec", "language_info")})
    for cell in made.cells:
        cell.source = HIDDEN.sub("", SOLUTION.sub(_untried, cell.source)).rstrip("\n")
        if is_written(cell) and cell.cell_type == "markdown":
            cell.source = UNWRITTEN
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in ("nbgrader", "tags")})
        if any(about(cell).get(key) for key in ("locked", "solution", "grade")):
            cell.metadata.nbgrader["checksum"] = checksum(cell)
    return made


def _untried(match: re.Match) -> str:
    return "".join(f"{match[1]}{line}\n" for line in UNTRIED.splitlines())


def checksum(cell: NotebookNode) -> str:
    """nbgrader's digest of a cell (the order is its): source, kind, what it is graded as, and how it is called."""
    told = about(cell)
    answer, grade = bool(told.get("solution")), bool(told.get("grade"))
    parts = [
        cell.source,
        cell.cell_type,
        str(grade),
        str(answer),
        str(not answer and (grade or bool(told.get("locked")))),
    ]
    parts += [told["grade_id"], *([str(float(told["points"]))] if grade else [])]
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def write(notebook: NotebookNode, path: Path) -> None:
    """The same bytes for the same notebook."""
    from minida.storage import write_atomically

    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def leaks(source: NotebookNode, release: NotebookNode) -> list[str]:
    """Lines of solutions and hidden tests that the release still says anywhere, comments and outputs included."""
    text = json.dumps(release, ensure_ascii=False)
    secret = [match[2] for cell in source.cells for rule in (SOLUTION, HIDDEN) for match in rule.finditer(cell.source)]
    secret += [cell.source for cell in source.cells if is_written(cell)]
    lines = {line.strip() for part in secret for line in part.splitlines() if len(line.strip()) >= 12}
    shown = {json.dumps(line, ensure_ascii=False)[1:-1]: line for line in lines}
    found = [line for quoted, line in sorted(shown.items()) if quoted in text]
    return found + ["an output"] * any(cell.get("outputs") for cell in release.cells)
