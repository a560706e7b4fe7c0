"""The label explorer alone, in a browser: `python run.py explorer`, or as one file: `--static DIR`.

A notebook with one cell is run in a JupyterLab server of its own before the browser opens it, so nothing has to be
started by hand; the cell can be changed and run again like any other.
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client import BlockingKernelClient
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, output_from_msg

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "explorer"
TEACHER = ROOT / "assets" / "checkpoints" / "slim-dsc.safetensors"
WORDS = """# The label explorer

Two labelling strategies, side by side, on the same predictions of one network. (The code is in the cell below: a click
on the three dots opens it.)"""
OPEN = """import minida

teacher = minida.load({model!r})
streets = minida.data.open({data!r}, {split!r}, {size!r})
prior = minida.data.open({prior!r}, "train", {size!r}).class_frequency()
"""
SHOW = """from minida.viz.label_widget import LabelExplorer

explorer = LabelExplorer(teacher, streets, prior, count={count!r})
explorer"""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    given = vars(options) | {"size": tuple(options.size), "model": os.path.abspath(options.model)}
    if not options.prior:
        given["prior"] = "minicity:game" if options.data == "minicity:real" else options.data
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal must not leave the server behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        if options.static:
            return static(OPEN.format(**given), Path(options.static), options.count)
        with serving(options.port, OPEN.format(**given) + SHOW.format(**given)) as address:
            print(f"The label explorer is at {address} (Ctrl-C ends it)", flush=True)
            if not options.no_browser:
                webbrowser.open(address)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        print()
        return 0
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: the kernel did not answer
        print(f"explorer: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="run.py explorer", description=__doc__.splitlines()[0])
    made.add_argument("--model", default=str(TEACHER), help="a model.safetensors (default: notebook 02's network)")
    made.add_argument("--data", default="minicity:real", help="labelled images, such as camvid:DIR")
    made.add_argument("--split", default="val", help="of the data (default: val)")
    made.add_argument("--prior", default="", help="data whose training labels give the class frequencies")
    made.add_argument("--size", type=int, nargs=2, default=(96, 192), metavar=("H", "W"))
    made.add_argument("--count", type=int, default=None, help="images (default: as many as redraw at once)")
    made.add_argument(
        "--static", default="", metavar="DIR", help="write DIR/label-explorer.html, which needs no Python"
    )
    made.add_argument("--port", type=int, default=0, help="of the server (default: a free one)")
    made.add_argument("--no-browser", action="store_true", help="print the address only")
    return made


def static(code: str, folder: Path, count: int | None) -> int:
    from minida.viz.page import write_page

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--static {folder} is a file; give a folder for label-explorer.html")
    names: dict = {}
    exec(code, names)
    file = write_page(folder / "label-explorer.html", names["teacher"], names["streets"], names["prior"], count)
    print(f"written: {file}")
    return 0


@dataclass(frozen=True)
class Server:
    address: str
    token: str
    runtime: Path

    def ask(self, path: str, content: dict | None = None) -> dict:
        """The server's JSON answer to GET, or to POST of `content`."""
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.address}/api/{path}", body, {"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextlib.contextmanager
def serving(port: int, code: str) -> Iterator[str]:
    """The address of a page that shows what `code` displays, live. Raises: ValueError with the code's error."""
    notebook = new_notebook(cells=[new_markdown_cell(WORDS), new_code_cell(code)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells[1].metadata.jupyter = {"source_hidden": True}
    BUILD.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="", dir=BUILD) as own,  # a second explorer has another notebook
        tempfile.TemporaryDirectory(prefix="minida-") as folder,
        started(port, Path(folder), ROOT) as server,
    ):
        print("Preparing the explorer: the network predicts the images ...", flush=True)
        file = Path(own) / "label-explorer.ipynb"
        nbformat.write(notebook, file)
        path = file.relative_to(ROOT).as_posix()
        what = {"path": path, "name": file.name, "type": "notebook", "kernel": {"name": "python3"}}
        kernel = server.ask("sessions", what)["kernel"]["id"]
        notebook.cells[1].outputs = shown(server.runtime / f"kernel-{kernel}.json", code)
        notebook.cells[1].execution_count = 1
        nbformat.write(notebook, file)
        NotebookNotary().sign(notebook)  # else JupyterLab shows its output as text
        yield f"{server.address}/doc/tree/{path}?token={server.token}"


@contextlib.contextmanager
def started(port: int, folder: Path, root: Path, kind: str = "jupyterlab", env=os.environ) -> Iterator[Server]:
    """A JupyterLab of its own, or a Notebook 7 (kind "notebook"), in a group of its own, ended with its kernels."""
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; expected 1 to 65535, or 0 for a free one")
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", secrets.token_hex(24), folder)
    flags = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    flags += [f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={server.token}"]
    environment = {**env, "JUPYTER_RUNTIME_DIR": str(folder)}
    log = folder / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", kind, *flags], env=environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                server.ask("status")
                break
            if process.poll() is not None:
                raise ValueError(f"JupyterLab did not start ({_last(log)}); is port {port} taken?")
            time.sleep(0.1)
        else:
            raise ValueError(f"JupyterLab did not answer within a minute ({_last(log)})")
        yield server
    finally:
        _end(process)


def _last(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]


def _end(process: subprocess.Popen) -> None:
    """End the server, which ends its kernels; and what is left of its group."""
    try:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    finally:  # also after a second Ctrl-C
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def shown(connection: Path, code: str) -> list:
    """Run code in a kernel; what it displayed last. Raises: ValueError with its error's message."""
    client, found = BlockingKernelClient(connection_file=str(connection)), []
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(60)
        keep = {"execute_result": found.append}
        reply = client.execute_interactive(
            code, timeout=600, output_hook=lambda message: keep.get(message["msg_type"], len)(message)
        )
    finally:
        client.stop_channels()
    if reply["content"]["status"] == "error":
        error = reply["content"]
        raise ValueError((error["evalue"].splitlines() or [error["ename"]])[0])
    return [output_from_msg(message) for message in found]


if __name__ == "__main__":
    sys.exit(main())
