"""`python run.py explorer`: a page that is live at once, without a click; and the label explorer in Notebook 7."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
IMAGES = ".widget-image img, img.widget-image"
FLAGS = ["--size", "48", "96", "--count", "4", "--no-browser"]


def quiet(home: Path) -> dict:
    """An environment without the user's settings, and without JupyterLab's question about news."""
    settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    places = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTER_CONFIG_DIR": "config"}
    return os.environ | {name: str(home / place) for name, place in places.items()} | {"PYTHONUNBUFFERED": "1"}


@pytest.fixture
def page(browser):
    complaints, context = [], browser.new_context(viewport={"width": 1280, "height": 1300})
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    ours = [line for line in complaints if "reading 'schema'" not in line]  # Notebook 7's, of its own settings
    assert not ours, "errors in the browser's console:\n" + "\n".join(ours)


def by_arrow(page) -> None:
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")


def by_typing(page) -> None:
    page.locator(".widget-text input").first.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    page.keyboard.press("Enter")


def moves(page, act) -> None:
    """The widget is there; the keyboard moves a control, and pictures and words follow."""
    page.wait_for_function("query => document.querySelectorAll(query).length === 4", arg=IMAGES, timeout=60_000)
    page.wait_for_timeout(1000)  # while JupyterLab lays out its page it may take the focus back
    before = page.evaluate("query => document.querySelector(query).src", IMAGES)
    act(page)
    script = """([query, before]) => document.querySelector(query).src !== before
      && document.body.innerText.includes('Image 1 of 0 to 3')"""
    page.wait_for_function(script, arg=[IMAGES, before], timeout=20_000)


@pytest.fixture
def alone(tmp_path):
    """(process, address, its server and kernel) of the real module; whatever a failing test leaves is ended too."""
    command = [sys.executable, "-m", "minida.teach.explorer", *FLAGS]
    process = subprocess.Popen(command, cwd=ROOT, env=quiet(tmp_path), stdout=subprocess.PIPE, text=True)
    children = []
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"http://\S+", line):
                break
        else:
            pytest.fail("".join(lines) or "no address")
        children = psutil.Process(process.pid).children(recursive=True)
        yield process, found.group(), children
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for left in [process, *children]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def all_end(process, address, children, by) -> None:
    """The signal ends the module, its server and its kernel, and its notebook is gone."""
    notebook = ROOT / re.search(r"/doc/tree/(\S+)\?", address)[1]
    assert notebook.is_file()
    assert any("ipykernel_launcher" in " ".join(child.cmdline()) for child in children), "no kernel found"
    process.send_signal(by)
    assert process.wait(30) == 0
    _, left = psutil.wait_procs(children, timeout=10)
    assert not left, f"still running: {left}"
    assert not notebook.parent.exists()
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)


def test_it_is_live_without_a_click_and_ends_with_its_kernel(page, alone, screenshots):
    page.goto(alone[1])
    moves(page, by_arrow)
    assert page.locator("h1").inner_text().startswith("The label explorer")
    page.screenshot(path=screenshots / "explorer-alone.png")
    page.context.close()
    all_end(*alone, signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has neither signal")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_leaves_nothing_behind(alone, name):
    all_end(*alone, getattr(signal, name))


@pytest.mark.skipif(not importlib.util.find_spec("notebook"), reason="Notebook 7 is not installed")
def test_the_widget_works_in_notebook_7(page, tmp_path, screenshots):
    from minida.teach.explorer import started

    cell = """import minida
from minida.viz.label_widget import LabelExplorer
streets = minida.data.MiniCity("real", "val", (48, 96), n=4)
explorer = LabelExplorer(minida.BiSeNet(19, "slim").eval(), streets, [1] * 19)
explorer"""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "seven.ipynb")
    with started(0, tmp_path, tmp_path, "notebook", quiet(tmp_path)) as server:
        page.goto(f"{server.address}/notebooks/seven.ipynb?token={server.token}")
        page.wait_for_function("window.jupyterapp || document.querySelector('.jp-CodeCell')", timeout=60_000)
        page.locator(".jp-CodeCell .cm-content").first.click()
        for _ in range(20):  # a run before the kernel is ready is dropped
            page.keyboard.press("Control+Enter")
            time.sleep(1.5)
            if page.locator(".jp-InputPrompt").first.inner_text() not in ("[ ]:", ""):
                break
        moves(page, by_typing)  # the arrow keys are Notebook 7's own
        page.screenshot(path=screenshots / "explorer-notebook-7.png")
        page.context.close()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--model", "nothing.safetensors", "--static", "nowhere"], "nothing.safetensors"),
        (["--data", "minicity:moon", "--static", "nowhere"], "moon"),
        (["--count", "0"], "count is 0; expected 1 to"),
        (["--port", "99999"], "--port is 99999; expected 1 to 65535"),
        (["--static", "README.md"], "--static README.md is a file; give a folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, flags, words):
    command = [sys.executable, "-m", "minida.teach.explorer", *FLAGS, *flags]
    answer = subprocess.run(command, cwd=ROOT, env=quiet(tmp_path), capture_output=True, text=True, timeout=120)
    assert answer.returncode == 2 and answer.stderr.startswith("explorer: ") and words in answer.stderr
    assert answer.stderr.count("\n") == 1
