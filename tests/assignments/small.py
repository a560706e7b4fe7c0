"""A small assignment of two exercises and a written question, and hand-ins of it."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from minida.classroom.format import about, is_answer, released

TESTS = {
    "double-test": """
assert double(2) == 4, "two times two"
### BEGIN HIDDEN TESTS
assert [double(x) for x in (0.5, -3)] == [1.0, -6], "the secret double"
### END HIDDEN TESTS
""",
    "largest-test": """
import numpy as np

assert largest(np.array([1, 5, 2])) == 5, "the largest is wanted"
### BEGIN HIDDEN TESTS
assert largest(np.array([-7.5])) == -7.5, "negative numbers can be the largest, too"
### END HIDDEN TESTS
""",
}
RIGHT = {"double": "    return 2 * x", "largest": "    return values.max()"}


def graded(cell, grade_id, **told):
    cell.metadata.nbgrader = nbformat.from_dict({"schema_version": 3, "grade_id": grade_id, "task": False, **told})
    return cell


def make_source():
    cells = [new_markdown_cell("# Small"), graded(new_code_cell("import numpy as np\nTWO = 2"), "given", locked=True,
                                                  solution=False, grade=False)]  # fmt: skip
    for name, body in RIGHT.items():
        argument = "x" if name == "double" else "values"
        text = f"def {name}({argument}):\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
        cells.append(graded(new_code_cell(text), name, solution=True, grade=False, locked=False))
        test = new_code_cell(TESTS[f"{name}-test"].strip())
        points = {"double": 3, "largest": 4}[name]
        cells.append(graded(test, f"{name}-test", solution=False, grade=True, locked=True, points=points))
    words = new_markdown_cell("A long model answer that nobody is to see.")
    cells.append(graded(words, "words", solution=True, grade=True, locked=False, points=2))
    for number, cell in enumerate(cells):
        cell.id = f"c{number}"
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def hand_in(source, **bodies):
    """What a student hands in: the release with `bodies` (whole cells) in it, else the right answers."""
    made = released(source)
    for cell in made.cells:
        name = about(cell).get("grade_id")
        if is_answer(cell) and cell.cell_type == "code":
            right = next(one for one in source.cells if about(one).get("grade_id") == name).source
            cell.source = bodies.get(name, right)
    return made
