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


def test_results_are_those_stored():
    spec = importlib.util.spec_from_file_location("table", ROOT / "assets" / "results" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.updated(README) == README, "run python assets/results/table.py"


@pytest.mark.parametrize("name", ["adversarial", "labels", "mpl", "self-training", "supervised", "u2pl"])
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


@pytest.mark.parametrize("command", re.findall(r"^minida (.+)$", README, re.MULTILINE))
def test_its_commands_parse(command):
    parser().parse_args([word.strip('"') for word in command.split()])


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", README))
def test_its_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_its_pictures_have_alternative_text():
    pictures = re.findall(r"!\[([^]]*)\]", README)
    assert len(pictures) >= 3 and all(len(text) >= 20 for text in pictures)
