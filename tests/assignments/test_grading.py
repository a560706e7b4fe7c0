"""Marks, in real processes: what a submission is or does costs its own points alone."""

import csv
import json
import os
import time

import pytest
from small import hand_in, make_source

from minida import classroom
from minida.__main__ import main
from minida.classroom.format import about, is_test, write
from minida.classroom.limited import isolation, landlock
from minida.classroom.student import AnswerError, Limits, Student

LIMITS = Limits(cell=6, processor=60)
LIAR = "class Liar(float):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n\n\n"
HOSTILE = {  # student -> bodies of the cells, points of double (3) and largest (4)
    "endless": ({"double": "def double(x):\n    while True:\n        pass"}, (0, 4)),
    "endless-cell": ({"double": "while True:\n    pass"}, (0, 4)),
    "greedy": ({"largest": "def largest(values):\n    return np.ones(10 * 2**30 // 8).max()"}, (3, 0)),
    "leaves": ({"double": "import os\nos._exit(0)"}, (0, 4)),
    "leaves-later": ({"largest": "import os\ndef largest(values):\n    os._exit(0)"}, (3, 0)),
    "liar": ({"double": LIAR + "def double(x):\n    return Liar(0)"}, (0, 4)),
    "patches": (
        {"double": "import builtins, minida.classroom.plain as plain\nbuiltins.AssertionError = ValueError\n"
                   "plain.encode = lambda value: '{\"int\": \"4\"}'\ndef double(x):\n    return 4"}, (0, 0),
    ),
    "exits": ({"double": "raise SystemExit"}, (0, 4)),
    "deep": ({"double": "def double(x):\n    return double(x)"}, (0, 4)),
    "odd": ({"double": "def double(x):\n    return object()", "largest": "def largest(x):\n    print(5)"}, (0, 0)),
}  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of which nearly everyone is up to something, graded once."""
    root = tmp_path_factory.mktemp("class")
    source = make_source()
    write(source, root / "source" / "small" / "small.ipynb") if (root / "source" / "small").mkdir(
        parents=True
    ) is None else None
    hidden, canary = root / "source" / "small" / "small.ipynb", root / "canary.txt"
    canary.write_text("alive")
    handed = root / "handed"
    head = "def double(x):\n    "
    cells = {student: bodies for student, (bodies, _) in HOSTILE.items()}
    cells["writes"] = {"double": f"{head}open({str(canary)!r}, 'w').write('dead')\n    return 2 * x"}
    cells["spies"] = {"double": f"{head}return 2 * x if 'secret' in open({str(hidden)!r}).read() else 0"}
    cells["calls"] = {"double": f"{head}__import__('socket').create_connection(('127.0.0.1', 9), 1)\n    return 2 * x"}
    for student, bodies in cells.items():
        (handed / student).mkdir(parents=True)
        write(hand_in(source, **bodies), handed / student / "small.ipynb")
    forged, deleted = hand_in(source, double="def double(x):\n    return 0"), hand_in(source)
    for cell in forged.cells:
        if is_test(cell):
            cell.source = "pass"
    deleted.cells = [cell for cell in deleted.cells if not is_test(cell) and about(cell).get("grade_id") != "largest"]
    twice = hand_in(source)
    twice.cells += [cell.copy() for cell in twice.cells]
    for student, notebook in {"forged": forged, "deleted": deleted, "twice": twice, "honest": hand_in(source)}.items():
        write(notebook, handed / f"{student}.ipynb")
    (handed / "broken.ipynb").write_text("{")
    (handed / "empty").mkdir()
    start = time.perf_counter()
    marks = classroom.grade_all("small", handed, root / "out", root / "source", LIMITS, progress=False)
    return root, marks, time.perf_counter() - start


def points(marks):
    return tuple(mark.points for mark in marks[:2])


@pytest.mark.parametrize("student", HOSTILE)
def test_a_hostile_answer_costs_its_own_points(graded, student):
    _, marks, _ = graded
    assert points(marks[student]) == HOSTILE[student][1], marks[student]


def test_honest_and_clumsy_students(graded):
    _, marks, _ = graded
    assert points(marks["honest"]) == points(marks["twice"]) == (3, 4)
    assert points(marks["forged"]) == (0, 4), "an edited test is not used"
    assert points(marks["deleted"]) == (3, 0) and "not defined" in marks["deleted"][1].message
    assert points(marks["broken"]) == points(marks["empty"]) == (0, 0)
    assert "no notebook" in marks["broken"][0].message and "not handed in" in marks["empty"][0].message
    assert all(theirs[2].points is None or theirs[2].points == 0 for theirs in marks.values()), "marked by hand"


@pytest.mark.skipif(not landlock(), reason="this system has no Landlock")
def test_nobody_writes_or_reads_elsewhere(graded):
    root, marks, _ = graded
    assert (root / "canary.txt").read_text() == "alive"
    assert points(marks["writes"]) == points(marks["spies"]) == (0, 4)
    assert "PermissionError" in marks["spies"][0].message
    assert "out of reach" in isolation()


@pytest.mark.skipif(landlock() < 4, reason="this system cannot cut off TCP")
def test_nobody_calls_home(graded):
    _, marks, _ = graded
    assert points(marks["calls"]) == (0, 4) and "PermissionError" in marks["calls"][0].message


def test_the_table_and_the_pages(graded, tmp_path):
    root, marks, _ = graded
    rows = {row["student"]: row for row in csv.DictReader((root / "out" / "grades.csv").open(encoding="utf-8"))}
    assert rows.keys() == marks.keys() and rows["honest"]["total"] == "7" and rows["honest"]["of"] == "9"
    assert rows["honest"]["words"] == "" and rows["liar"]["double-test"] == "0"
    files = {path.stem: path.read_text(encoding="utf-8") for path in classroom.feedback(root / "out")}
    assert files.keys() == marks.keys()
    everything = "".join(files.values())
    assert "values.max" not in everything and "double(x) for x in" not in everything and "-7.5" not in everything
    assert "<strong>7</strong> of 9 points, a written answer is not marked yet" in files["honest"]
    assert "took longer than 6 s" in files["endless"] and "the secret double" not in files["honest"]
    told = json.loads((root / "out" / "marks.json").read_text())
    assert told["assignment"] == "small" and len(told["marks"]) == len(marks)


def test_points_given_by_hand_stay(tmp_path, folder, source):
    (tmp_path / "handed").mkdir()
    write(hand_in(source), tmp_path / "handed" / "=ann.ipynb")
    again = ("small", tmp_path / "handed", tmp_path / "out", folder, LIMITS)
    classroom.grade_all(*again, progress=False)
    table = tmp_path / "out" / "grades.csv"
    table.write_text(table.read_text().replace("3,4,,7,9", "3,4,1.5,7,9"))
    classroom.grade_all(*again, progress=False)
    row = next(csv.DictReader(table.open()))
    assert (row["words"], row["total"]) == ("1.5", "8.5") and row["student"] == "'=ann", "no formula in a spreadsheet"
    (page,) = classroom.feedback(tmp_path / "out")
    assert "<strong>8.5</strong> of 9 points</p>" in page.read_text()
    right = table.read_text()
    table.write_text(right.replace("1.5", '"1,5"'))
    with pytest.raises(ValueError, match=r"grades.csv: '=ann, words: '1,5' is no number of points, such as 3.5"):
        list(classroom.feedback(tmp_path / "out"))
    table.write_text(right.replace(",", ";"))
    with pytest.raises(ValueError, match="no table of marks; save it with commas"):
        classroom.grade_all(*again, progress=False)
    with pytest.raises(ValueError, match="no submissions; expected"):
        classroom.grade_all("small", tmp_path / "nobody", tmp_path / "out", folder, LIMITS)


def test_a_student_is_asked_in_a_process_of_its_own():
    cells = [
        "import os\nseen = []",
        "def where(x):\n    seen.append(x)\n    return os.getpid(), os.getcwd(), len(seen)",
        "1 / 0",
    ]
    with Student(cells, LIMITS) as student:
        first, second = student.ask("where", 1), student.ask("where", x=2)
        assert first[0] == second[0] != os.getpid() and (first[2], second[2]) == (1, 2)
        assert first[1] == os.path.realpath(student.folder) and "ZeroDivisionError" in student.errors[2]
        with pytest.raises(AnswerError, match="nothing raised NameError: nothing is not defined"):
            student.ask("nothing")
        with pytest.raises(AnswerError, match="where raised TypeError"):
            student.ask("where")
    assert not student.folder.exists()


def test_the_command_line(tmp_path, folder, source, capsys):
    place = ["--source", str(folder), "--out", str(tmp_path / "out")]
    assert main(["assignment", "release", "small", *place]) == 0
    file = tmp_path / "out" / "small" / "small.ipynb"
    assert f"written: {file}" in capsys.readouterr().out
    assert main(["assignment", "check", str(file)]) == 0
    said = capsys.readouterr().out
    assert all(f"not tried yet: {function}\n" in said for function in ("double", "largest"))
    (tmp_path / "handed" / "ann" / "small").mkdir(parents=True)
    half = hand_in(source, double="def double(x):\n    return abs(2 * x)")
    write(half, tmp_path / "handed" / "ann" / "small" / "small.ipynb")
    assert main(["assignment", "check", str(tmp_path / "handed" / "ann" / "small" / "small.ipynb")]) == 0
    assert "passes the visible tests" in capsys.readouterr().out
    assert main(["assignment", "grade", "small", "--submissions", str(tmp_path / "handed"), *place]) == 0
    said = capsys.readouterr().out
    assert "ann" in said and "4 of 9" in said, "the hidden test sees the sign"
    assert main(["assignment", "feedback", "small", *place]) == 0
    assert "ann.html" in capsys.readouterr().out
    assert main(["assignment", "grade", "small", *place]) == 2 and "--submissions" in capsys.readouterr().err
    assert main(["assignment", "check", str(tmp_path / "none.ipynb")]) == 2
    assert "none.ipynb: no notebook" in capsys.readouterr().err
