"""A real browser in a real JupyterLab: one server and one Chromium for all browser tests."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
]
LAB_FLAGS = [
    *("--no-browser", "--allow-root", "--ip=127.0.0.1", "--ServerApp.port_retries=0"),
    *("--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"),
]
RUN_ALL = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;  // "idle" is shown too early, and a run is then dropped
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""


def absent(what: str):
    """Skip on a laptop; on the build machine (CI=true) a missing browser is a failure."""
    (pytest.fail if os.environ.get("CI", "").lower() == "true" else pytest.skip)(what)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    path = next(filter(None, found), None)
    return path or absent("no Chromium found: install it (Debian: apt-get install chromium) for browser tests")


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """(folder, address) of a JupyterLab that knows nothing of the user's settings."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "notebooks"
    root.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_RUNTIME_DIR")
    env = os.environ | {place: str(home / place.lower()) for place in places}
    quiet = home / "jupyterlab_settings_dir/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # no dialog over the page
    command = [sys.executable, "-m", "jupyterlab", *LAB_FLAGS, f"--port={port}", f"--ServerApp.root_dir={root}"]
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            assert server.poll() is None, (home / "lab.log").read_text()
            time.sleep(0.25)
        else:
            pytest.fail(f"JupyterLab did not answer in a minute:\n{(home / 'lab.log').read_text()}")
        yield root, address
    finally:
        stop(server)


def stop(server: subprocess.Popen) -> None:
    """End the server and its kernels, which are in the group that it leads."""
    group = os.killpg if hasattr(os, "killpg") else lambda pid, _: server.terminate()
    with contextlib.suppress(ProcessLookupError):
        group(server.pid, signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        group(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="session")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(lab, browser):
    """open_notebook(name, *cells) -> a page on which all cells have run; its console must stay clean."""
    root, address = lab
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    complaints = []

    def open_notebook(name: str, *cells: str):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, root / f"{name}.ipynb")
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext", timeout=60_000)
        page.evaluate(f"Promise.race([({RUN_ALL})(), new Promise((_, no) => setTimeout(no, 120000, 'timeout'))])")
        return page

    yield open_notebook
    said = list(complaints)
    for page in context.pages[:1]:  # a kernel holds 0.4 GB, and there are some thirty such tests
        page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()
    assert not said, "errors in the browser's console:\n" + "\n".join(said)


@pytest.fixture
def screenshots(tmp_path) -> Path:
    """Where pictures of the page go: $MINIDA_SCREENSHOTS, or a folder that pytest clears."""
    folder = Path(os.environ.get("MINIDA_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
