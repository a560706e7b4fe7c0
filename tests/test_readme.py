"""The README says what the stored results and the command line say."""

import importlib.util
import re
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


@pytest.mark.parametrize("command", re.findall(r"^minida (.+)$", README, re.MULTILINE))
def test_its_commands_parse(command):
    parser().parse_args([word.strip('"') for word in command.split()])


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", README))
def test_its_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_its_pictures_have_alternative_text():
    pictures = re.findall(r"!\[([^]]*)\]", README)
    assert len(pictures) >= 3 and all(len(text) >= 20 for text in pictures)
