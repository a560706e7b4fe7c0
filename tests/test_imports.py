"""The house rules that can be read off the files: imports point one way, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minida"
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = (  # a module may import its own layer and those above it in this list
    ("types",),
    ("config", "distributed", "device"),
    ("data", "models", "losses", "metrics", "labeling"),
    ("methods",),
    ("evaluation", "runs", "schedule", "storage", "trainer"),
    ("viz", "export", "latency", "inference"),
    ("options",),
    ("teach", "compare", "classroom"),
    ("__main__",),
)
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
CORE = LEVEL["trainer"]


def unit(path: Path) -> str:
    """The name in LAYERS of a file: its folder or its stem directly under minida/."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The units of minida that a file imports, at its top or anywhere inside."""
    package = ("minida", *path.relative_to(PACKAGE).parts[:-1])
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *filter(None, [node.module])))
            names += [f"{base}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("minida.")} & set(LEVEL)


def lines(paths) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_file(path):
    name = unit(path)
    assert lines([path]) <= 330, "split the file"
    if name == "__init__":  # the public names of all layers
        return
    assert name in LEVEL, f"minida/{name} stands in no layer: give it a place in LAYERS (and in DESIGN.md)"
    upward = sorted(other for other in imported(path) if LEVEL[other] > LEVEL[name])
    assert not upward, f"{name} must not import {', '.join(upward)}: imports point one way"


def test_sizes():
    # Three caps: the painter is frozen; the core is what a reader of the methods reads; around it are pictures,
    # widgets, teaching, export and the command line. The design's 3,000 and 4,500 lines were full before labelling;
    # U2PL and Meta Pseudo Labels took 800 more of the core, comparing them all took 700 around it, the classroom 900,
    # and the explorer's pixel, page and own door 600.
    painter = [path for path in FILES if "minicity" in path.parts]
    core = [path for path in FILES if path not in painter and LEVEL.get(unit(path), 0) <= CORE]
    assert lines(painter) <= 1150
    assert lines(core) <= 5400, "core: everything down to the trainer"
    assert lines(FILES) - lines(core) - lines(painter) <= 5900


IMPORT = """
import os, sys

class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print("policy", os.environ.get("OMP_WAIT_POLICY"))

sys.meta_path.insert(0, Watch())
import minida
print(*sorted({"matplotlib", "ipywidgets", "IPython"} & set(sys.modules)))
"""


def test_import_is_light_and_sets_the_thread_policy(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    answer = subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    policy, heavy = answer.stdout.split("\n")[:2]
    assert policy == "policy PASSIVE", "minida/__init__.py has to set it before anything imports torch"
    assert heavy == "", f"import minida must not import {heavy}"
