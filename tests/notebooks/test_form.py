"""The form of a notebook: what nbval does not see. Every rule names the cell and what is wrong with it."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
TITLES = ("00", "01")  # the notebooks that have to be there
GLOSSARY = FOLDER / "glossary.md"
TERMS = 30 if len(NOTEBOOKS) == 9 else 15

TAGS = {"nbval-check-output", "exercise", "solution", "hide-input", "parameters"}
MAGICS = re.compile(r"^%(matplotlib|config)\b.*$", re.M)
FENCE = re.compile(r"^ *```.*?^ *```", re.M | re.S)
MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.S)
IMG = re.compile(r"<img\b[^>]*>", re.S)
MARKDOWN_IMG = re.compile(r"!\[([^\]]*)\]\(")
LINK = re.compile(r"\]\(([^)\s]+)|\b(?:href|src)=[\"']([^\"']+)")
MACHINE = re.compile(
    r"(?<![\w.~])/(?:home|Users|root|tmp|work|mnt|opt|var)/|\b[A-Z]:\\|site-packages|\.venv|ipykernel_\d"
)


class Notebook:
    """One notebook, its cells numbered from 1 as a reader counts them."""

    def __init__(self, path: Path):
        self.path, self.nb = path, nbformat.read(path, as_version=nbformat.NO_CONVERT)
        self.cells = list(enumerate(self.nb.cells, 1))
        self.code = [(n, cell) for n, cell in self.cells if cell.cell_type == "code"]
        self.text = [(n, cell) for n, cell in self.cells if cell.cell_type == "markdown"]

    def html(self):
        """(cell number, HTML) of every HTML output and every markdown cell, code blocks left out."""
        for n, cell in self.text:
            yield n, FENCE.sub("", cell.source)
        for n, cell in self.code:
            for output in cell.outputs:
                yield n, "".join(output.get("data", {}).get("text/html", ""))

    def parsed(self):
        """(cell number, cell, syntax tree) of every code cell; None where it is not plain Python."""
        for n, cell in self.code:
            try:
                yield n, cell, ast.parse(MAGICS.sub("", cell.source))
            except SyntaxError:
                yield n, cell, None


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def ordered(book):
    """executed from top to bottom, without errors"""
    for count, (n, cell) in enumerate(book.code, 1):
        if not cell.source.strip():
            yield f"cell {n} is empty"
        if cell.execution_count != count:
            yield f"cell {n} has execution count {cell.execution_count}, expected {count}"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f"cell {n} shows an error: catch it and print it"


def size(book):
    """35-50 cells, 1,500-2,500 words, 1.5 MB, a title"""
    text = "\n".join(cell.source for _, cell in book.text)
    for pattern, with_ in ((FENCE, ""), (MATH, ""), (r"\]\([^)]*\)", "]"), (r"<[^>]+>", " ")):
        text = re.sub(pattern, with_, text)
    words = len(re.findall(r"[^\W\d_][\w'’-]*", text))
    if not 35 <= len(book.cells) <= 50:
        yield f"{len(book.cells)} cells, expected 35 to 50"
    if not 1500 <= words <= 2500:
        yield f"{words} words of markdown, expected 1,500 to 2,500"
    if book.path.stat().st_size > 1_500_000:
        yield f"{book.path.stat().st_size / 1e6:.2f} MB, expected at most 1.5"
    if not (book.cells and book.cells[0][1].source.startswith("# ")):
        yield "cell 1 has to begin with the title, '# …'"


def clean(book):
    """no widget state, timings, attachments, machine paths, odd tags or doubled ids"""
    if "widgets" in book.nb.metadata:
        yield "metadata.widgets: store the outputs with minida.teach.course --in-place"
    if book.nb.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernelspec is not python3"
    ids = [cell.get("id") for _, cell in book.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "cell ids are missing or not unique"
    for n, cell in book.cells:
        if odd := tags(cell) - TAGS:
            yield f"cell {n} has the tag {', '.join(odd)}: it hides errors or is unknown"
        if cell.cell_type == "code" and "NBVAL_" in cell.source:
            yield f"cell {n} steers nbval in a comment: use a tag"
        if "execution" in cell.metadata or cell.get("attachments"):
            yield f"cell {n} holds timings or an attachment"
        shown = json.dumps([cell.source, cell.get("outputs", [])], ensure_ascii=False).replace("\\\\", "\\")
        if found := MACHINE.search(re.sub(r"data:[^\"' ]+", "", shown)):
            yield f"cell {n} names a path of the machine: …{shown[found.start() : found.start() + 30]}…"


def checked(book):
    """3-6 cells tagged nbval-check-output that print plain text"""
    cells = [(n, cell) for n, cell in book.code if "nbval-check-output" in tags(cell)]
    if not 3 <= len(cells) <= 6:
        yield f"{len(cells)} cells tagged nbval-check-output, expected 3 to 6"
    for n, cell in cells:
        if not cell.outputs:
            yield f"cell {n} is tagged nbval-check-output and prints nothing"
        for output in cell.outputs:
            if output.get("name") != "stdout" and set(output.get("data", {"?": ""})) != {"text/plain"}:
                yield f"cell {n} is tagged nbval-check-output and shows more than plain text"


def figures(book):
    """5-8 figures, every image with alternative text"""
    count = 0
    for n, html in book.html():
        count += len(re.findall(r"<figure\b", html))
        alts = [re.search(r"\balt=([\"'])(.*?)\1", tag, re.S) for tag in IMG.findall(html)]
        texts = [alt[2] if alt else "" for alt in alts]
        if any(len(text.strip()) < 20 for text in texts + MARKDOWN_IMG.findall(html)):
            yield f"cell {n} has an image without alternative text of at least 20 characters"
    if not 5 <= count <= 8:
        yield f"{count} figures (<figure>), expected 5 to 8"
    for n, cell in book.code:
        kinds = {kind for output in cell.outputs for kind in output.get("data", {}) if kind.startswith("image/")}
        if kinds:
            yield f"cell {n} shows {', '.join(kinds)}, without alternative text: use the figure helper"


def python(book):
    """plain Python, minida imported before torch, short definitions"""
    modules = []
    for n, cell, tree in book.parsed():
        if tree is None:
            yield f"cell {n} is not plain Python (allowed magics: %matplotlib, %config)"
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules += [(alias.name.split(".")[0], n) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules.append(((node.module or "").split(".")[0], n))
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        length = sum(node.end_lineno - node.lineno + 1 for node in tree.body if isinstance(node, kinds))
        if length > 12 and not tags(cell) & {"exercise", "solution"}:
            yield f"cell {n} defines {length} lines of code, expected at most 12: move them to the library"
    order = [name for name, _ in modules if name in ("minida", "torch", "torchvision")]
    if order[:1] != ["minida"]:
        yield "import minida before torch: it sets the thread policy"


def exercises(book):
    """2-4 exercises with hints and folded solutions; three self-check questions with folded answers"""
    count = sum("exercise" in tags(cell) for _, cell in book.code)
    summaries = re.findall(r"<summary>(.*?)</summary>", "\n".join(c.source for _, c in book.text), re.S | re.I)
    if not 2 <= count <= 4:
        yield f"{count} code cells tagged exercise, expected 2 to 4"
    for word in ("hint", "solution"):
        if sum(word in summary.lower() for summary in summaries) < count:
            yield f"fewer than {count} folded {word}s (<details><summary>…{word.title()}…</summary>)"
    after = re.split(r"^#+ .*self-check.*$", "\n\n".join(c.source for _, c in book.text), flags=re.M | re.I)
    if len(after) < 2 or after[-1].count("<details>") < 3:
        yield "after a heading 'Self-check', three questions with folded answers (<details>) are expected"


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]+>", "", heading)).strip().lower().replace(" ", "-")


def anchors(text: str) -> set[str]:
    headings = {slug(heading) for heading in re.findall(r"^#+ +(.*)$", text, re.M)}
    return headings | set(re.findall(r"\bid=[\"']([^\"']+)", text))


def broken_links(source: str, folder: Path):
    """Relative links in `source` that lead nowhere."""
    for link in (a or b for a, b in LINK.findall(MATH.sub("", FENCE.sub("", source)))):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or not target:
            continue
        if not (folder / target).exists():
            yield f"link to {target}, which does not exist"
        elif target.endswith(".md") and anchor not in {"", *anchors((folder / target).read_text("utf-8"))}:
            yield f"link to {link}, but {target} has no such heading or id"


def links(book):
    """relative links resolve, terms are linked to the glossary"""
    for n, cell in book.text:
        yield from (f"cell {n}: {problem}" for problem in broken_links(cell.source, book.path.parent))
    if not any("glossary.md#" in cell.source for _, cell in book.text):
        yield "no term is linked to glossary.md#…"


RULES = (ordered, size, clean, checked, figures, python, exercises, links)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_form(path, rule):
    problems = list(rule(Notebook(path)))
    assert not problems, f"{path.name} ({rule.__doc__}):\n" + "\n".join(problems)


@pytest.mark.parametrize("number", TITLES)
def test_notebook_is_there(number):
    assert any(path.name.startswith(f"{number}-") for path in NOTEBOOKS), f"notebooks/{number}-….ipynb is missing"


def test_glossary():
    text = GLOSSARY.read_text(encoding="utf-8")
    terms = [slug(heading) for heading in re.findall(r"^### +(.*)$", text, re.M)]
    assert len(terms) >= TERMS and len(set(terms)) == len(terms), f"{len(terms)} terms (### …), expected {TERMS}"
    assert not list(broken_links(text, FOLDER))


# ---- the rules themselves: each has to see the fault it is there for


def cell(source, *outputs, kind="code", **metadata):
    made = {"cell_type": kind, "source": source, "metadata": metadata}
    return made | ({"execution_count": 1, "outputs": list(outputs)} if kind == "code" else {})


def html(text):
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}


def markdown(source):
    return cell(source, kind="markdown")


FAULTS = [
    (ordered, cell("x") | {"execution_count": None}, "execution count None"),
    (ordered, cell("x", {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}), "shows an error"),
    (size, markdown("word " * 100), "100 words"),
    (size, markdown("$a b c$ [one](two.md) <b>two</b>\n\n```\nthree four\n```\n"), "2 words"),
    (size, markdown("## no title"), "begin with the title"),
    (clean, cell("x", tags=["raises-exception"]), "tag raises-exception"),
    (clean, cell("# NBVAL_SKIP\nx"), "steers nbval"),
    (clean, cell("x", {"output_type": "stream", "name": "stdout", "text": "/home/me/a.py"}), "path of the machine"),
    (clean, cell("open('C:\\\\Users')"), "path of the machine"),
    (clean, cell("x", execution={"a": 1}), "timings"),
    (checked, cell("x", tags=["nbval-check-output"]), "prints nothing"),
    (checked, cell("x", html("<b>"), tags=["nbval-check-output"]), "more than plain text"),
    (figures, cell("x", html("<figure><img src='a' alt='short'></figure>")), "without alternative text"),
    (figures, cell("x", html("<img src='a'>")), "without alternative text"),
    (figures, markdown("![short](a.png)"), "without alternative text"),
    (figures, cell("x", {"output_type": "display_data", "metadata": {}, "data": {"image/png": "a"}}), "image/png"),
    (python, cell("%timeit x"), "not plain Python"),
    (python, cell("!ls"), "not plain Python"),
    (python, cell("import torch\nimport minida"), "import minida before torch"),
    (python, cell("def f():\n" + "    x = 1\n" * 13), "defines 14 lines"),
    (exercises, cell("x", tags=["exercise"]), "fewer than 1 folded hints"),
    (exercises, markdown("## Self-check\n<details><summary>a</summary></details>"), "three questions"),
    (links, markdown("[a](nowhere.md)"), "link to nowhere.md"),
    (links, markdown("[a](other.md#none)"), "no such heading or id"),
    (links, markdown("<img src='nowhere.png'>"), "link to nowhere.png"),
]


def written(folder: Path, *cells, **metadata) -> Notebook:
    content = {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    (folder / "other.md").write_text("### A term's name\n<a id='own'></a>")
    (folder / "nb.ipynb").write_text(json.dumps(content))
    return Notebook(folder / "nb.ipynb")


@pytest.mark.parametrize("rule, faulty, message", FAULTS, ids=[f"{f[0].__name__}-{f[2]}" for f in FAULTS])
def test_rule_sees_the_fault(tmp_path, rule, faulty, message):
    problems = "\n".join(rule(written(tmp_path, faulty)))
    assert message in problems


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_sound_notebook_passes(tmp_path, rule):
    fold = "<details><summary>Hint</summary></details><details><summary>The solution</summary></details>\n"
    link = "[a](other.md#a-terms-name) [b](other.md#own) [c](https://a.b/c) [d](#here) [e](glossary.md#own)\n"
    picture = "<figure><img src='data:image/png;base64,a/tmp/' alt=\"the reader's picture, in words\"></figure>"
    printed = {"output_type": "stream", "name": "stdout", "text": "minida/data/base.py:3"}
    cells = [
        markdown("# T\n" + "word " * 1500 + link + 2 * fold),
        *[cell("%matplotlib inline\nimport minida, torch", printed, tags=["nbval-check-output"])] * 3,
        *[cell("def f():\n" + "    x = 1\n" * 13, html(picture), tags=["exercise"])] * 2,
        *[cell("def f():\n" + "    x = 1\n" * 11, html(picture))] * 3,
        *[markdown("text")] * 25,
        markdown("## Three self-check questions\n" + "<details>answer</details>" * 3),
    ]
    cells = [dict(one, id=f"c{number}") for number, one in enumerate(cells)]
    for count, one in enumerate((one for one in cells if one["cell_type"] == "code"), 1):
        one["execution_count"] = count
    (tmp_path / "glossary.md").write_text("<a id='own'></a>")
    book = written(tmp_path, *cells, kernelspec={"name": "python3", "display_name": "", "language": ""})
    assert list(rule(book)) == []


def test_rules_see_the_file_itself(tmp_path):
    problems = "\n".join(clean(written(tmp_path, cell("x"), widgets={"state": {}})))
    assert "metadata.widgets" in problems and "not python3" in problems and "ids are missing" in problems
    heavy = written(tmp_path, markdown("# T" + "x" * 1_500_000))
    assert "1.50 MB" in "\n".join(size(heavy))
