"""run.py: standard library only, installs when and only when it has to, repairs what was interrupted."""

import ast
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

RUN = Path(__file__).parents[1] / "run.py"
VERSION = "{}.{}".format(*sys.version_info)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run.py in an empty folder, with every subprocess recorded in `calls` instead of started."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    module = SimpleNamespace(calls=[], code=0, version="")
    names = runpy.run_path(str(RUN))
    functions = names["main"].__globals__  # what run.py's functions look their names up in
    folder = tmp_path / ".venv"
    functions.update(ROOT=tmp_path, VENV=folder, STAMP=folder / "stamp.json")

    def call(command, **_):
        module.calls.append(" ".join(map(str, command)))
        if "venv" in command:
            module.version = VERSION
        return module.code if "install" in command else 0

    monkeypatch.setattr(functions["subprocess"], "call", call)
    monkeypatch.setattr(functions["shutil"], "which", lambda name: None)
    functions.update(probe=lambda: module.version)
    functions.update(call=lambda *command: module.calls.append(" ".join(("call", *command))) or 0)
    module.names, module.stamp = functions, folder / "stamp.json"
    return module


def start(run, *arguments):
    """Calls made by one start."""
    run.calls.clear()
    assert run.names["main"](list(arguments)) == 0
    return [call for call in run.calls if "import pip" not in call]


def test_standard_library_only():
    tree = ast.parse(RUN.read_text(encoding="utf-8"), feature_version=(3, 7))
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= sys.stdlib_module_names


def test_first_start_makes_and_installs_and_the_next_does_not(run):
    venv, install, real = start(run, "course", "--in-place")
    assert venv.endswith(".venv") and " -m venv " in venv
    assert install.endswith("-m pip install -e .[course]")
    assert real == "call minida.teach.course --in-place"
    assert start(run, "course") == ["call minida.teach.course"]


def test_test_contains_course_but_not_the_other_way_round(run):
    start(run, "course")
    assert start(run, "test")[0].endswith(".[course,test]")
    run.stamp.unlink()
    assert start(run, "test")[0].endswith(".[test]")
    assert start(run, "course") == ["call minida.teach.course"]


def test_changed_pyproject_installs_again_with_all_extras(run):
    start(run, "course")
    start(run, "test")
    run.names["ROOT"].joinpath("pyproject.toml").write_text("[project]\nname = 'x'\n")
    first, *_ = start(run, "course")
    assert first.endswith(".[course,test]")


@pytest.mark.parametrize("key, value", [("python", "3.99"), ("folder", "elsewhere"), ("state", "installing")])
def test_unfit_environment_is_made_anew(run, key, value):
    start(run, "course")
    leftover = run.stamp.with_name("leftover")
    leftover.touch()
    run.stamp.write_text(json.dumps({**json.loads(run.stamp.read_text()), key: value, "pyproject": "old"}))
    calls = start(run, "course")
    assert " -m venv " in calls[0] and not leftover.exists()


def test_someone_elses_environment_is_kept(run):
    run.version = VERSION
    run.stamp.parent.mkdir()
    run.stamp.with_name("precious").touch()
    calls = start(run, "course")
    assert "install" in calls[0] and run.stamp.with_name("precious").exists()


def test_killed_installer_leaves_a_mark_and_a_refused_one_does_not(run, capsys):
    start(run, "course")
    good = run.stamp.read_text()
    run.code = 1
    with pytest.raises(SystemExit):
        run.names["main"](["test"])
    assert run.stamp.read_text() == good
    assert "network" in capsys.readouterr().err
    run.code = -9
    with pytest.raises(SystemExit):
        run.names["main"](["test"])
    assert json.loads(run.stamp.read_text()) == {"state": "installing"}


def test_uv_is_used_where_it_is(run, monkeypatch):
    monkeypatch.setattr(run.names["shutil"], "which", lambda name: "/bin/uv" if name == "uv" else None)
    venv, install, _ = start(run, "course")
    assert venv.startswith("/bin/uv venv ") and install.startswith("/bin/uv pip install --python ")


def test_what_the_test_verb_runs(run):
    start(run, "test")
    check, layout, tests = start(run, "test", "-k", "bisenet")
    assert (check, layout) == ("call ruff check .", "call ruff format --check .")
    assert "--nbval-lax" in tests and tests.endswith("tests notebooks -k bisenet")
    (run.names["ROOT"] / "one.py").touch()
    (tests,) = start(run, "test", "one.py::test_x")
    assert tests.endswith("=300 one.py::test_x")


def test_ruff_alone_can_fail_the_test_command(run):
    start(run, "test")
    run.names["call"] = lambda module, *rest: int(rest[:1] == ("format",))
    assert run.names["main"](["test"]) == 1


def test_lab_opens_the_first_notebook(run):
    (run.names["ROOT"] / "notebooks").mkdir()
    (run.names["ROOT"] / "notebooks" / "00-streets.ipynb").touch()
    lab = start(run, "lab", "--port", "9999")[-1]
    assert "default_url=/lab/tree/notebooks/00-streets.ipynb" in lab and lab.endswith("--port 9999")
    assert "fetchNews" in next(run.names["VENV"].rglob("overrides.json")).read_text()


def test_the_explorer_is_opened_without_news(run):
    assert start(run, "explorer", "--static", "pages")[-1] == "call minida.teach.explorer --static pages"
    settings = run.stamp.parent / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert "fetchNews" in settings.read_text()


@pytest.mark.parametrize("verb, expected", [("tset", "did you mean 'test'?"), ("xyz", "unknown verb 'xyz'.")])
def test_unknown_verb(run, capsys, verb, expected):
    with pytest.raises(SystemExit) as stopped:
        run.names["main"]([verb])
    assert stopped.value.code == 2 and expected in capsys.readouterr().err


def test_old_python_and_missing_venv_module_say_so(run, capsys, monkeypatch):
    monkeypatch.setattr(run.names["importlib"].util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run.names["main"](["lab"])
    assert "apt install python3-venv" in capsys.readouterr().err
    run.names["OLDEST"] = (99, 0)
    with pytest.raises(SystemExit):
        run.names["main"](["lab"])
    assert "is too old, 99.0 or newer" in capsys.readouterr().err
