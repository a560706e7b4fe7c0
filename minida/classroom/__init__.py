"""The classroom: `minida assignment release | check | grade | feedback`, on notebooks in nbgrader's format.

A teacher releases an assignment, students check theirs before handing it in, and a folder of submissions becomes a
table of marks and a page for each student. Whatever a submission is or does costs that student points, nobody else.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from minida.classroom import pages
from minida.classroom.format import about, leaks, problems, read, released, write
from minida.classroom.grading import Mark, grade, undefined
from minida.classroom.limited import isolation
from minida.classroom.student import Limits
from minida.storage import write_atomically, write_json

__all__ = ["Limits", "Mark", "check", "feedback", "grade", "grade_all", "isolation", "names", "release", "submissions"]
SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "assignments" / "source"
LARGEST = 20 * 2**20  # bytes of a submission
MARKS, TABLE = "marks.json", "grades.csv"
NUMBER = re.compile(r"\d{1,6}(\.\d{0,6})?")
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of one


def names(source: str | Path = SOURCE) -> list[str]:
    """The assignments in a source folder."""
    return sorted(path.parent.name for path in Path(source).glob("*/*.ipynb") if path.stem == path.parent.name)


def open_source(name: str, source: str | Path = SOURCE) -> Any:
    """A source notebook. Raises: ValueError for an unknown name, or one that is faulty."""
    if name not in names(source):
        raise ValueError(f"{name}: no such assignment in {source}; choose among {', '.join(names(source)) or 'none'}")
    notebook = read(Path(source) / name / f"{name}.ipynb")
    if wrong := [*problems(notebook), *undefined(notebook)]:
        raise ValueError(f"{name}: {'; '.join(wrong)}")
    return notebook


def release(name: str, out: str | Path, source: str | Path = SOURCE) -> Path:
    """Write OUT/NAME/NAME.ipynb, the students' version; the same source gives the same bytes.

    Raises: ValueError for a faulty source, a file beside it that nobody lists, or a secret that would get out.
    """
    notebook = open_source(name, source)
    files = {path.name for path in (Path(source) / name).iterdir() if path.name != ".ipynb_checkpoints"}
    if more := sorted(files - {f"{name}.ipynb"}):
        raise ValueError(f"{Path(source) / name}: {more[0]} would be left out of the release; move it elsewhere")
    made = released(notebook)
    if found := leaks(notebook, made):
        raise ValueError(
            f"{name}: the release would show {found[0]!r} of a solution or a hidden test; say it otherwise"
        )
    target = Path(out) / name / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    write(made, target)
    return target


def check(path: str | Path, limits: Limits | None = None) -> list[Mark]:
    """What a student sees before handing in: the visible tests of their own notebook. Raises: ValueError."""
    notebook = read(path)
    for number, cell in enumerate(notebook.cells, 1):
        told = about(cell)
        if told.get("grade") and not (told.get("grade_id") and type(told.get("points")) is int):
            raise ValueError(f"{path}: cell {number} has lost its name or its points; begin again with the assignment")
    return grade(notebook, notebook, limits)


def submissions(folder: str | Path, name: str) -> dict[str, Path]:
    """Student -> file: DIR/STUDENT/NAME/NAME.ipynb (nbgrader's layout), DIR/STUDENT/NAME.ipynb or DIR/STUDENT.ipynb.

    Raises: ValueError where the folder holds none.
    """
    root, found = Path(folder), {}
    if root.is_dir():
        for path in sorted(root.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                places = (path / name / f"{name}.ipynb", path / f"{name}.ipynb")
                found[path.name] = next((place for place in places if place.exists()), places[0])
            elif path.suffix == ".ipynb":
                found[path.stem] = path
    if not found:
        raise ValueError(f"{folder}: no submissions; expected DIR/STUDENT/{name}/{name}.ipynb or DIR/STUDENT.ipynb")
    return found


def grade_all(
    name: str, folder: str | Path, out: str | Path, source: str | Path = SOURCE, limits: Limits | None = None,
    progress: bool = True,
) -> dict[str, list[Mark]]:  # fmt: skip
    """Grade a folder of submissions; OUT/grades.csv and OUT/marks.json grow student by student.

    Points that a person wrote into grades.csv for written questions are kept.
    """
    notebook, found, target = open_source(name, source), submissions(folder, name), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    by_hand, marks = _by_hand(target / TABLE, name), {}
    texts = {student: _content(path) for student, path in found.items()}  # before any of them runs
    for student, content in tqdm(texts.items(), desc=name, unit="student", disable=not progress, leave=False):
        marks[student] = _graded(notebook, content, limits)
        told = {who: [asdict(mark) for mark in theirs] for who, theirs in marks.items()}
        write_json(target / MARKS, {"assignment": name, "marks": told})
        table = _table(name, marks, by_hand)
        write_atomically(target / TABLE, lambda part, text=table: part.write_text(text, encoding="utf-8", newline=""))
    return marks


def _content(path: Path) -> Any:
    """A submitted notebook, or what is wrong with it."""
    try:
        if path.is_symlink() or not path.is_file():
            return f"{path.name}: not handed in"
        if path.stat().st_size > LARGEST:
            return f"{path.name}: larger than {LARGEST // 2**20} MB"
        return read(path)
    except (OSError, ValueError) as error:
        return str(error)


def _graded(notebook: Any, content: Any, limits: Limits | None) -> list[Mark]:
    if not isinstance(content, str):
        return grade(notebook, content, limits)
    told = [cell.metadata.nbgrader for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    return [Mark(cell["grade_id"], 0, cell["points"], content) for cell in told]


def _by_hand(path: Path, name: str) -> Mapping[tuple[str, str], str]:
    """(student, column) -> points, as a person may have written them. Raises: ValueError naming what is no number."""
    if not path.exists():
        return {}
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no table of marks ({error}); save it as CSV, in UTF-8") from None
    if rows and not {"student", "assignment"} <= rows[0].keys():
        raise ValueError(f"{path}: no table of marks; save it with commas between its columns, and their names kept")
    if rows and rows[0]["assignment"] != name:
        raise ValueError(f"{path}: holds the marks of {rows[0]['assignment']!r}; choose another --out for {name}")
    points = {}
    for row in rows:
        for key in row.keys() - {"student", "assignment", "total", "of", None}:
            if text := (row[key] or "").strip():
                if not NUMBER.fullmatch(text):
                    place = " ".join(f"{row['student']}, {key}".split())
                    raise ValueError(f"{path}: {place}: {text!r} is no number of points, such as 3.5")
                points[_bare(row["student"] or ""), key] = text
    return points


def _table(name: str, marks: Mapping[str, Sequence[Mark]], by_hand: Mapping[tuple[str, str], str]) -> str:
    """CSV: a row for each student, a column for each graded cell, what is to be marked by hand left empty.

    Who has points in the table of before, but no marks yet, keeps them: grading may be stopped.
    """
    columns = [mark.grade_id for mark in next(iter(marks.values()))]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["student", "assignment", *columns, "total", "of"])
    for student, theirs in marks.items():
        cells = [by_hand.get((student, m.grade_id), "") if m.points is None else m.points for m in theirs]
        total = sum(float(cell) for cell in cells if cell != "")
        writer.writerow([_plain(student), name, *cells, f"{total:g}", sum(mark.most for mark in theirs)])
    for student in dict.fromkeys(who for who, _ in by_hand if who not in marks):
        cells = [by_hand.get((student, column), "") for column in columns]
        writer.writerow([_plain(student), name, *cells, f"{sum(float(cell) for cell in cells if cell):g}", ""])
    return text.getvalue()


def _plain(name: str) -> str:
    """A folder's name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(FORMULA) else name


def _bare(name: str) -> str:
    return name[1:] if name.startswith("'") and name[1:].startswith(FORMULA) else name


def _read_marks(file: Path) -> tuple[str, dict[str, list[Mark]]]:
    """The assignment, and all students' marks. Raises: ValueError for what `grade_all` did not write."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(told, ensure_ascii=False).encode()  # half a surrogate could not be written
        marks = {student: [Mark(**mark) for mark in theirs] for student, theirs in told["marks"].items()}
        for student in marks:
            if any(letter in student for letter in "/\\\0"):
                raise ValueError(f"{student!r} leads to another folder")
        for mark in (mark for theirs in marks.values() for mark in theirs):
            texts = isinstance(mark.grade_id, str) and isinstance(mark.message, str)
            points = [number for number in (mark.points, mark.most) if number is not None]
            if not (texts and mark.most is not None and all(type(n) is int and 0 <= n < 10**6 for n in points)):
                raise ValueError(f"{mark} is no mark")
        return str(told["assignment"]), marks
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{file}: no marks ({reason}); run minida assignment grade first") from None


def feedback(out: str | Path) -> Iterator[Path]:
    """Write OUT/feedback/STUDENT.html for everyone in OUT/marks.json. Raises: ValueError where there are no marks."""
    name, marks = _read_marks(Path(out) / MARKS)
    by_hand = _by_hand(Path(out) / TABLE, name)
    folder = Path(out) / "feedback"
    folder.mkdir(exist_ok=True)
    for student, theirs in marks.items():
        text = pages.page(name, student, theirs, by_hand)
        path = folder / f"{student}.html"
        write_atomically(path, lambda part, text=text: part.write_text(text, encoding="utf-8"))
        yield path
