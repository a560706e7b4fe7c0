"""The README says what the stored results and the command line say."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from minida.__main__ import parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("table", ROOT / "assets" / "results" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_are_those_stored(table):
    texts = [path.read_text(encoding="utf-8") for path in table.DOCUMENTS]
    for text in texts:
        assert table.updated(text) == text, "run python assets/results/table.py"
    for name in table.TABLES:
        assert "".join(texts).count(table.MARKS[0].format(name)) == 1, f"the table {name} stands in one document"


@pytest.mark.parametrize("protocol", ["uda", "ssl"])
def test_its_pictures_show_the_stored_runs(table, protocol):
    assert table.drawn(protocol) == table.digest(), "run python assets/results/table.py"


@pytest.mark.parametrize("name", ["adversarial", "labels", "machines", "mpl", "self-training", "supervised", "u2pl"])
def test_every_stored_run_is_what_its_command_says(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "assets" / "results")
    from stored import wanted

    runs = json.loads((ROOT / "assets" / "results" / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    assert len(runs) >= 20
    for run in runs:
        said = wanted(shlex.split(run["command"])[2:])
        assert {"seed", "steps", "lr", "source", "target"} <= said.keys() & run.keys()
        assert {key: run[key] for key in said.keys() & run.keys()} == {
            key: said[key] for key in said.keys() & run.keys()
        }


def commands():
    """Those of the README, and those that the notebooks' text sets in code blocks."""
    yield from re.findall(r"^minida (.+)$", README, re.MULTILINE)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield from re.findall(
                r"\bminida ((?:train|label|compare|evaluate|predict|bench|export|info) .+)$", block, re.M
            )


@pytest.mark.parametrize("command", list(commands()))
def test_its_commands_parse(command):
    parser().parse_args(shlex.split(command, comments=True))


DETAILS = ROOT / "assets" / "results" / "README.md"
LINKS = [(path, link) for path in (ROOT / "README.md", DETAILS) for link in
         re.findall(r"\]\((?!http)([^)#]+)", path.read_text(encoding="utf-8"))]  # fmt: skip


@pytest.mark.parametrize(("document", "link"), LINKS, ids=[link for _, link in LINKS])
def test_its_links_lead_somewhere(document, link):
    assert (document.parent / link).exists()


def test_its_pictures_have_alternative_text():
    pictures = re.findall(r"!\[([^]]*)\]", README)
    assert len(pictures) >= 4 and all(len(text) >= 20 for text in pictures)
