"""A student's notebook, running in a process of its own that can do little harm (see minida.classroom.limited)."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from minida.classroom.plain import decode, encode

KIND = "application/x-minida"


@dataclass(frozen=True)
class Limits:
    """Of one student's process."""

    cell: int = 60  # seconds of one cell, and of one answer
    processor: int = 300  # seconds in all
    megabytes: int = 12_000  # of address space: PyTorch alone takes six


class AnswerError(Exception):
    """The student's function raised, ran too long, killed its process, or gave what is no plain data."""


class _Manager(AsyncKernelManager):
    """Starts the limited kernel, whatever kernels are installed."""

    argv: Sequence[str] = ()

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=[*self.argv, "-f", "{connection_file}"], display_name="limited", language="python")


class Student:
    """Context manager: runs code cells, then answers questions to the functions that they define.

    A cell that ends the process, or runs too long, is left out when the process is started again; the others count.
    """

    def __init__(self, cells: Sequence[str], limits: Limits | None = None) -> None:
        self.cells, self.limits = list(cells), limits or Limits()
        self.errors: dict[int, str] = {}  # number of a cell -> what became of it
        self.left_out: set[int] = set()
        self.client: NotebookClient | None = None

    def __enter__(self) -> "Student":
        self.folder = Path(tempfile.mkdtemp(prefix="minida-"))  # short: sockets lie in it
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What the student's function says. Raises: AnswerError with one line."""
        if self.client is None:
            self._start()
        question = encode([list(args), kwargs])
        code = "__import__('minida.classroom.plain').classroom.plain.answer(globals(), {!r}, {!r})"
        try:
            cell = self._run(code.format(name, question))
        except _Ended as end:
            self._stop()
            raise AnswerError(f"{name} {end}") from None
        said = [output.data[KIND] for output in cell.outputs if KIND in output.get("data", {})]
        try:
            answer = json.loads(said[-1])
            if "error" in answer:
                raise AnswerError(f"{name} raised {str(answer['error'])[:300]}")
            return decode(answer["answer"])
        except (IndexError, ValueError, TypeError, KeyError) as error:
            raise AnswerError(f"{name} gave no plain data ({str(error)[:100]})") from None

    def _start(self) -> None:
        """A process that has run all cells but those that ended one before."""
        while True:
            self._boot()
            for number, source in enumerate(self.cells):
                if number in self.left_out:
                    continue
                try:
                    cell = self._run(source)
                except _Ended as end:
                    self.errors[number] = f"this cell {end}"
                    self.left_out.add(number)
                    self._stop()
                    break
                wrong = [output for output in cell.outputs if output.output_type == "error"]
                if wrong:
                    self.errors[number] = f"{wrong[0].ename}: {wrong[0].evalue}"[:300]
            else:
                return

    def _boot(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        limits, here, posix = self.limits, str(self.folder), os.name == "posix"
        manager = _Manager(transport="ipc" if posix else "tcp", connection_file=str(self.folder / "kernel.json"))
        limited = (here, str(limits.megabytes), str(limits.processor))
        manager.argv = (sys.executable, "-m", "minida.classroom.limited", *limited)
        if posix:
            manager.ip = str(self.folder / "k")
        kept = ("PATH", "LANG", "SYSTEMROOT", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), here)
        environment |= {"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        client = NotebookClient(new_notebook(), km=manager, timeout=limits.cell, startup_timeout=120, allow_errors=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(client.setup_kernel(env=environment, cwd=here, **quiet))
        self.client = client

    def _run(self, source: str) -> nbformat.NotebookNode:
        assert self.client is not None
        cell = new_code_cell(source)
        self.client.nb.cells.append(cell)
        try:
            return self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        except CellTimeoutError:
            raise _Ended(f"took longer than {self.limits.cell} s") from None
        except DeadKernelError:
            raise _Ended("ended its process (too much memory or time, or an exit)") from None

    def _stop(self) -> None:
        if self.client is not None:
            self.client = None
            with contextlib.suppress(Exception):
                self.stack.close()


class _Ended(Exception):
    """A process is gone, or was given up."""
