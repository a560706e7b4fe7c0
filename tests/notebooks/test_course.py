"""Executing notebooks: minida.teach.course, and the budgets that tests/conftest.py enforces."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from minida.teach import course

CONFTEST = Path(__file__).parents[1] / "conftest.py"
GOOD = ["x = 1", "print('policy')\nx + 1", "import ipywidgets\nipywidgets.IntSlider(description='α')"]
GOOD += ["from tqdm.notebook import tqdm\nfor _ in tqdm(range(2)): pass"]


def save(path: Path, *sources: str, ids: bool = True) -> Path:
    text = "# T\nsee [next](01-next.ipynb#a), [term](glossary.md#t), [home](../README.md), [web](https://a.b/c.md)"
    text += "\n\n<details><summary>Hint</summary>\n\nhidden\n\n</details>\n\n![a red pixel](red.png)"
    nb = new_notebook(cells=[new_markdown_cell(text), *map(new_code_cell, sources)])
    if not ids:
        nb.nbformat_minor = 4
        for cell in nb.cells:
            del cell["id"]
    path.write_text(nbformat.writes(nb), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A course of one good and one bad notebook, executed once by the command line."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    folder.mkdir()
    (folder / "glossary.md").write_text("### t\n")
    (folder / "red.png").write_bytes(b"\x89PNG")
    save(folder / "00-good.ipynb", *GOOD)
    save(folder / "01-bad.ipynb", "y = 1", "raise ValueError('first\\nlast line')", "z = 1")
    return folder


def test_copies_and_html_are_written_although_one_fails(folder, capsys):
    before = (folder / "00-good.ipynb").read_bytes()
    out = folder.parent / "build" / "course"
    code = course.main([str(folder / "01-bad.ipynb"), str(folder / "00-good.ipynb"), "--out", str(out)])
    said = capsys.readouterr().out
    assert code == 1 and "1 passed, 1 failed" in said and "FAILED in cell 2: last line" in said
    assert (folder / "00-good.ipynb").read_bytes() == before
    assert {p.name for p in out.iterdir()} == {
        *("00-good.ipynb", "00-good.html", "01-bad.ipynb", "01-bad.html", "glossary.html")
    }
    html = (out / "00-good.html").read_text(encoding="utf-8")
    for link in ("01-next.html#a", "glossary.html#t", "../../notebooks/../README.md", "https://a.b/c.md"):
        assert f'href="{link}"' in html
    assert "hidden" in html.split("<summary>Hint</summary>")[1].split("</details>")[0], "an answer lies open"
    assert 'src="data:image/png;base64,iVBORw=="' in html and "red.png" not in html
    assert html.count('<script defer="" src=') == 1 and "<script src=" not in html, "a reader offline would wait"


def test_in_place_twice_gives_the_same_bytes(tmp_path):
    path = save(tmp_path / "00.ipynb", *GOOD, ids=False)
    assert course.read(path) == course.read(path), "new ids have to be the same every time"
    assert course.main([str(path), "--in-place"]) == 0
    first, nb = path.read_bytes(), nbformat.read(path, as_version=4)
    assert course.main([str(path), "--in-place"]) == 0
    assert path.read_bytes() == first
    code = nb.cells[1:]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4] and code[1].outputs[1].execution_count == 2
    assert code[3].outputs == [], "a finished progress bar"
    assert code[1].outputs[0].text == "policy\n" and set(code[2].outputs[0].data) == {"text/plain"}
    assert set(nb.metadata) == {"kernelspec", "language_info"} and nb.metadata.language_info == {"name": "python"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00.ipynb"]


def test_in_place_leaves_a_failing_notebook_alone(tmp_path):
    path = save(tmp_path / "00.ipynb", "1 / 0")
    before = path.read_bytes()
    assert course.main([str(path), "--in-place"]) == 1
    assert path.read_bytes() == before


def test_existing_ids_are_kept_and_doubled_ones_told_apart(tmp_path):
    path = save(tmp_path / "00.ipynb", "x = 1", "x = 1")
    nb = json.loads(path.read_text(encoding="utf-8"))
    nb["cells"][1]["id"] = nb["cells"][2]["id"] = "mine"
    path.write_text(json.dumps(nb), encoding="utf-8")
    ids = [cell["id"] for cell in course.read(path).cells]
    assert ids[1] == "mine" and len(set(ids)) == 3 and ids == [cell["id"] for cell in course.read(path).cells]


def test_a_hang_is_tried_twice_and_a_dead_kernel_is_reported(tmp_path):
    tries = "open('tries', 'a').write('x')\nimport time"
    run = course.execute(save(tmp_path / "00.ipynb", "a = 1", tries + "; time.sleep(30)"), timeout=2)
    assert (tmp_path / "tries").read_text() == "xx" and "FAILED in cell 2" in run.line()
    run = course.execute(save(tmp_path / "01.ipynb", "import os; os._exit(1)"))
    assert "died" in run.line()


def test_unknown_notebook(capsys):
    with pytest.raises(SystemExit):
        course.main(["nowhere.ipynb"])
    assert "no such notebook" in capsys.readouterr().err


def report(budgets, cell: str, duration: float, when: str = "call", notebook: str = "notebooks/00.ipynb"):
    """What becomes of pytest's report on a passed test."""
    passed = SimpleNamespace(nodeid=f"{notebook}::{cell}", duration=duration, when=when, passed=True)
    passed.outcome, passed.longrepr = "passed", None
    hook = budgets.pytest_runtest_makereport(None, None)
    next(hook)
    with pytest.raises(StopIteration):
        hook.send(passed)
    return passed


def conftest(seconds: float = 0.017) -> dict:
    """The names of conftest.py, on a machine whose pulse takes so long."""
    names = runpy.run_path(str(CONFTEST))
    names["Budgets"].feel.__globals__["pulse"] = lambda: seconds
    return names


def test_budgets():
    names = conftest()
    budgets, limit, cell = names["Budgets"](None), names["NOTEBOOK_BUDGET"], names["CELL_BUDGET"]
    assert (limit, cell) == (150, 60)
    assert report(budgets, "Cell 0", 0.1 * cell, "setup").outcome == "passed"
    assert report(budgets, "Cell 0", 0.99 * cell).outcome == "passed"
    assert "Cell 1 took" in report(budgets, "Cell 1", 1.01 * cell).longrepr
    assert report(budgets, "Cell 2", 0.3 * cell).outcome == "passed"
    broken = report(budgets, "Cell 3", 0.2 * cell)
    assert broken.outcome == "failed" and "has taken" in broken.longrepr
    assert report(budgets, "Cell 4", 0.2 * cell).outcome == "passed", "one failure a notebook is enough"
    assert report(budgets, "Cell 0", 0.9 * cell, notebook="notebooks/01.ipynb").outcome == "passed"
    assert report(budgets, "test_x", 10 * limit, notebook="tests/test_x.py").outcome == "passed"


def test_a_slow_machine_widens_the_budgets_and_a_given_factor_is_final():
    budgets = conftest(0.034)["Budgets"](None)
    assert report(budgets, "Cell 0", 2.9 * 60).outcome == "passed", "twice as slow, and half as much leeway"
    assert "of 180 s" in report(budgets, "Cell 1", 3.1 * 60).longrepr
    names = conftest()
    budgets = names["Budgets"](None)
    assert report(budgets, "Cell 0", 1).outcome == "passed"
    names["Budgets"].feel.__globals__["pulse"] = lambda: 0.068  # it became slow on the way
    assert report(budgets, "Cell 1", 5.9 * 60).outcome == "passed"
    assert report(budgets, "Cell 0", 1.1 * 60, notebook="notebooks/01.ipynb").outcome == "passed"
    budgets = conftest(0.68)["Budgets"]("2")
    assert "of 120 s" in report(budgets, "Cell 0", 130).longrepr


def test_a_pulse_is_short():
    start = time.perf_counter()
    taken = runpy.run_path(str(CONFTEST))["pulse"]()
    assert 0 < 10 * taken < 2 * (time.perf_counter() - start)


@pytest.mark.parametrize("factor, words", [("10", "2 passed"), ("0.0001", "budget: Cell 1 took")])
def test_budgets_hold_outside_the_folder_of_conftest(tmp_path, factor, words):
    for name in ("tests", "notebooks"):
        (tmp_path / name).mkdir()
    shutil.copy(CONFTEST, tmp_path / "tests")
    save(tmp_path / "notebooks" / "00.ipynb", "x = 1", "import time; time.sleep(0.1)")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", "tests", "notebooks"]
    environment = os.environ | {"MINIDA_BUDGET_FACTOR": factor}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert words in answer.stdout and (answer.returncode == 0) == (factor == "10"), answer.stdout
    assert "notebooks (budget 150 s" in answer.stdout and f"budgets times {float(factor):.1f}" in answer.stdout
