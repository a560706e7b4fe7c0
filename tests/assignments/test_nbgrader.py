"""The same source folder works with nbgrader's own commands: one assignment through its whole loop."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minida import classroom
from minida.classroom.format import about, is_answer, is_written, read, write

pytest.importorskip("nbgrader", reason="nbgrader is not installed (the extra grade)")
NAME = "01-bisenet"


def test_one_assignment_goes_through_nbgraders_loop(tmp_path):
    here = classroom.SOURCE.parent
    shutil.copy(here / "nbgrader_config.py", tmp_path)
    shutil.copytree(here / "source" / NAME, tmp_path / "source" / NAME)

    def nbgrader(*words):
        command = [sys.executable, "-m", "nbgrader", *words]
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it calls alembic
        environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "PATH": paths}
        answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr[-2000:]

    nbgrader("generate_assignment", NAME, "--create")
    theirs = read(tmp_path / "release" / NAME / f"{NAME}.ipynb")
    ours = read(classroom.release(NAME, tmp_path / "ours"))
    checksums = [[about(cell).get("checksum") for cell in book.cells] for book in (ours, theirs)]
    assert checksums[0] == checksums[1] and any(checksums[0]), "our release is the one that nbgrader makes"
    source = read(tmp_path / "source" / NAME / f"{NAME}.ipynb")
    for student, wrong in (("ann", ""), ("bob", "confusion")):
        book = read(tmp_path / "release" / NAME / f"{NAME}.ipynb")
        for cell in book.cells:
            name = about(cell).get("grade_id")
            if is_answer(cell) and not is_written(cell) and name != wrong:
                cell.source = next(one.source for one in source.cells if about(one).get("grade_id") == name)
        target = tmp_path / "submitted" / student / NAME / f"{NAME}.ipynb"
        target.parent.mkdir(parents=True)
        write(book, target)
    nbgrader("autograde", NAME, "--create")
    nbgrader("generate_feedback", NAME)
    nbgrader("export", "--to", str(tmp_path / "grades.csv"))
    scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader((tmp_path / "grades.csv").open())}
    automatic = sum(about(cell)["points"] for cell in source.cells if about(cell).get("grade") and not is_written(cell))
    lost = next(about(cell)["points"] for cell in source.cells if about(cell).get("grade_id") == "confusion-test")
    assert scores == {"ann": automatic, "bob": automatic - lost}
    assert (tmp_path / "feedback" / "ann" / NAME / f"{NAME}.html").exists()
