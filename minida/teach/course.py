"""Execute the course's notebooks without a browser: copies and HTML to read, or outputs to commit.

python -m minida.teach.course                          all notebooks, into build/course/
python -m minida.teach.course --in-place 01-*.ipynb    store the outputs in the files themselves (maintainers)
"""

import argparse
import base64
import hashlib
import json
import mimetypes
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK_BUDGET, CELL_BUDGET = 150, 60  # seconds on two CPU cores
# nbconvert's page waits for three scripts from the network; this one opens at once and fetches only MathJax
PAGE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js_requirejs %}{% endblock %}{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{{ super() | replace('<script src=', '<script defer src=') }}{% endblock %}"""


@dataclass
class Run:
    """What happened to one notebook: the seconds of each code cell, and where it failed, if it did."""

    path: Path
    nb: NotebookNode
    cells: list[float] = field(default_factory=list)
    error: str = ""

    def line(self) -> str:
        """One line of the closing table; cells are numbered as in `In [n]`."""
        total, slowest = sum(self.cells), max(self.cells, default=0.0)
        over = ", OVER BUDGET" if total > NOTEBOOK_BUDGET or slowest > CELL_BUDGET else ""
        state = f"FAILED in cell {len(self.cells)}: {self.error}" if self.error else "passed" + over
        number = self.cells.index(slowest) + 1 if self.cells else 0
        return f"{self.path.name:40} {total:6.1f} s, slowest: cell {number}, {slowest:.1f} s   {state}"


def read(path: Path) -> NotebookNode:
    """A notebook with an id for every cell: its own, or one derived from its text, the same every time."""
    content = json.loads(path.read_text(encoding="utf-8"))
    used: set[str] = set()
    for cell in content["cells"]:
        name = cell.get("id") or hashlib.sha1("".join(cell["source"]).encode()).hexdigest()[:8]
        cell["id"] = name if name not in used else f"{name}-{len(used)}"
        used.add(cell["id"])
    content["nbformat_minor"] = max(5, content["nbformat_minor"])
    return nbformat.reads(json.dumps(content), as_version=4)


def execute(path: Path, timeout: int = 300, on_cell=lambda: None, attempts: int = 2) -> Run:
    """Run every cell in a fresh kernel, in the notebook's folder, with at most `timeout` seconds a cell.

    A hang is tried once more: a message lost between kernel and client stops one run in some three hundred.
    """
    run = Run(path, read(path))

    def start(**_):
        run.cells.append(-time.perf_counter())

    def end(**_):
        run.cells[-1] += time.perf_counter()
        on_cell()

    client = NotebookClient(run.nb, timeout=timeout, kernel_name="python3", record_timing=False)
    client.coalesce_streams, client.extra_arguments = True, ["--log-level=ERROR"]
    client.resources = {"metadata": {"path": str(path.parent)}}
    client.on_cell_execute, client.on_cell_executed = start, end
    try:
        client.execute()
    except CellExecutionError as error:
        run.error = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
    except (CellTimeoutError, RuntimeError) as error:  # RuntimeError: the kernel did not start, or died
        if isinstance(error, CellTimeoutError) and attempts > 1:
            return execute(path, timeout, on_cell, attempts - 1)
        run.error = str(error).strip().splitlines()[0]
    run.cells = [seconds if seconds >= 0 else seconds + time.perf_counter() for seconds in run.cells]
    return run


def normalise(nb: NotebookNode) -> NotebookNode:
    """Drop in place what differs between two runs or machines: widgets, finished progress bars, versions."""
    spec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nb.metadata = nbformat.from_dict({"kernelspec": spec, "language_info": {"name": "python"}})
    for cell in (cell for cell in nb.cells if cell.cell_type == "code"):
        cell.metadata.pop("execution", None)
        for output in list(cell.outputs):  # a widget's number means nothing without its live state
            data = output.get("data", {})
            widget = data.pop("application/vnd.jupyter.widget-view+json", None)
            if widget and "%|" in data.get("text/plain", ""):
                cell.outputs.remove(output)
    return nb


def write(path: Path, text: str) -> None:
    """Replace `path` in one step, so that an interruption leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def write_html(nb: NotebookNode, path: Path, out: Path) -> None:
    """One page in `out`, pictures and style inside, for the notebook at `path`."""
    loaders = [DictLoader({"course.html.j2": PAGE})]
    # its embed_images would close every <details> of a markdown cell before the hidden text
    exporter = HTMLExporter(extra_loaders=loaders, template_file="course.html.j2")
    html, _ = exporter.from_notebook_node(nb, {"metadata": {"path": str(path.parent), "name": path.stem}})
    back = Path(os.path.relpath(path.parent, out)).as_posix()

    def relink(match: re.Match) -> str:
        page = re.sub(r"^([\w.-]+)\.(ipynb|md)(?=#|$)", r"\1.html", match[2])
        outside = page == match[2] and not re.match(r"[a-z]+:|#|/", page)
        return match[1] + (f"{back}/{page}" if outside else page)

    def embed(match: re.Match) -> str:
        file = path.parent / match[2]
        kind, data = mimetypes.guess_type(file)[0], file.read_bytes() if file.is_file() else None
        return match[0] if data is None else f"{match[1]}data:{kind};base64,{base64.b64encode(data).decode()}"

    html = re.sub(r'(<img\b[^>]*?\bsrc=")([^":]+)', embed, html)
    write(out / f"{path.stem}.html", re.sub(r'(<a\b[^>]*?\bhref=")([^"]+)', relink, html))


def store(run: Run, out: Path | None) -> None:
    """Write the executed notebook over itself (`out` None, and only without an error), or a copy and HTML."""
    text = nbformat.writes(normalise(run.nb)) + "\n"
    if out is None:
        return None if run.error else write(run.path, text)
    write(out / run.path.name, text)
    write_html(run.nb, run.path, out)
    for page in run.path.parent.glob("*.md"):  # the glossary
        text = nbformat.v4.new_markdown_cell(page.read_text(encoding="utf-8"))
        write_html(nbformat.v4.new_notebook(cells=[text]), page, out)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 1 if a notebook failed."""
    parser = argparse.ArgumentParser("minida.teach.course", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/, in order")
    parser.add_argument("--out", type=Path, default=ROOT / "build/course", help="default: build/course")
    parser.add_argument("--in-place", action="store_true", help="store the outputs in the notebooks")
    options = parser.parse_args(arguments)
    paths = [p.resolve() for p in options.notebooks or sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    if not paths or not all(path.is_file() for path in paths):
        parser.error("no such notebook: " + (", ".join(str(p) for p in paths if not p.is_file()) or "0*.ipynb"))
    out = None if options.in_place else options.out.resolve()
    runs: list[Run] = []
    with tqdm(total=sum(cell.cell_type == "code" for path in paths for cell in read(path).cells)) as bar:
        for path in paths:
            bar.set_description(path.stem)
            runs.append(execute(path, on_cell=bar.update))
            store(runs[-1], out)
    failed = sum(bool(run.error) for run in runs)
    print(*(run.line() for run in runs), sep="\n")
    seconds = sum(sum(run.cells) for run in runs)
    budget = f"budget on two cores: {NOTEBOOK_BUDGET} s a notebook, {CELL_BUDGET} s a cell"
    print(f"{len(runs) - failed} passed, {failed} failed, {seconds:.0f} s ({budget})")
    print("Stored in the notebooks that passed." if out is None else f"To read: {out / paths[0].stem}.html")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
