"""Words beside pictures, in every document that is read."""

import itertools
import json
import re
from pathlib import Path

import numpy as np

from minida.teach import course
from minida.teach import figures as teaching

ROOT = Path(__file__).parents[2]


def alts(html: str) -> list[str]:
    """The alternative texts of a page's or a text's images; "" where one has none."""
    html = re.sub(r"^ *```.*?^ *```", "", html, flags=re.S | re.M)
    tags = [re.search(r"\balt=([\"'])(.*?)\1", tag, re.S) for tag in re.findall(r"<img\b[^>]*>", html)]
    return [tag[2] if tag else "" for tag in tags] + re.findall(r"!\[([^\]]*)\]\(", html)


def texts_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_every_picture_of_every_text_has_alternative_text():
    folders = [ROOT.glob("*.md"), (ROOT / "assets").rglob("*.md"), (ROOT / "notebooks").rglob("*.md")]
    paths = [*itertools.chain(*folders), *(ROOT / "notebooks").rglob("*.ipynb")]
    found = {path: alts(texts_of(path)) for path in paths if ".ipynb_checkpoints" not in path.parts}
    assert len(found) > 15 and len(found[ROOT / "README.md"]) >= 5
    assert not [(path.name, alt) for path, texts in found.items() for alt in texts if len(alt.strip()) < 20]


def test_the_courses_pages_keep_the_alternative_text(tmp_path):
    content = teaching._html(np.zeros((9, 9, 3), np.uint8), 90, "A black square, seen from above", "A caption")
    output = course.nbformat.v4.new_output("display_data", content)
    cells = [course.nbformat.v4.new_markdown_cell("# T\n![A red square, seen from above](red.png)")]
    cells += [course.nbformat.v4.new_code_cell("x", outputs=[output])]
    (tmp_path / "red.png").write_bytes(b"\x89PNG")
    course.write_html(course.nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb", tmp_path)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    body = page[page.index("<body") :]
    assert sorted(alts(body)) == ["A black square, seen from above", "A red square, seen from above"]
    assert re.search(r"<html[^>]*\blang=\"en\"", page) and re.search(r"<title>[^<]+</title>", page)
