"""Thread policy for every test, and the time budgets of the notebooks."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; kernels inherit it
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in minida/__init__.py

import signal
import statistics
import time
from collections import defaultdict

import pytest
import torch

import minida
from minida.device import faster_in_bfloat16

GIVEN = os.environ.get("MINIDA_BUDGET_FACTOR")  # else the machine's own pace is felt beside each notebook
NOTEBOOK_BUDGET, CELL_BUDGET = 150.0, 60.0  # seconds on two idle CPU cores, on which `pulse` takes PULSE
PULSE, LEEWAY = 0.017, 1.5  # one pulse is a sample of a noisy machine: where it says slow, there is leeway
HINT = "On a slow or busy machine set MINIDA_BUDGET_FACTOR=2 or more."


def pulse() -> float:
    """Median seconds of what the notebooks mostly do, a training step of the slim network; takes 0.3 s."""
    bfloat16, times = faster_in_bfloat16(torch.device("cpu")), []
    net, images = minida.BiSeNet(19, "slim").train(), torch.rand(4, 3, 96, 192)
    for _ in range(11):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = net(images).logits.float().square().mean()
        loss.backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def pytest_configure(config):
    # a script's background job ignores Ctrl-C, and so would every process that a test starts and interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # the hooks of a conftest.py see only the tests beside it; the notebooks lie elsewhere
    config.pluginmanager.register(Budgets())


class Budgets:
    """Times every notebook that nbval runs, and fails the cell that breaks a budget.

    A budget is widened by the factor given, else as the machine is slower than the one it was set on: the slowest
    pulse counts of those before a notebook's first cell and after each cell that would break a budget.
    """

    def __init__(self, given: str | None = GIVEN) -> None:
        self.given = given
        self.seconds: dict[str, dict[str, float]] = defaultdict(dict)  # notebook -> cell -> seconds
        self.factors: dict[str, float] = defaultdict(lambda: float(given or 1))  # notebook -> of its budgets

    def feel(self, notebook: str) -> None:
        pace = 1.0 if self.given else pulse() / PULSE
        if pace > 1.05:
            self.factors[notebook] = max(self.factors[notebook], LEEWAY * pace)

    def broken(self, notebook: str, cell: str, report: pytest.TestReport) -> str:
        """Which budget a cell breaks, in words, or ""."""
        factor, total = self.factors[notebook], sum(self.seconds[notebook].values())
        before, whole, most = total - report.duration, factor * NOTEBOOK_BUDGET, factor * CELL_BUDGET
        if report.when == "call" and report.duration > most:
            return f"budget: {cell} took {report.duration:.1f} s of {most:g} s. {HINT}"
        return f"budget: {notebook} has taken {total:.1f} s of {whole:g} s. {HINT}" if before <= whole < total else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        notebook, _, cell = report.nodeid.partition("::")
        if not notebook.endswith(".ipynb"):
            return report
        if notebook not in self.seconds:
            self.feel(notebook)
        cells = self.seconds[notebook]
        cells[cell] = cells.get(cell, 0.0) + report.duration  # set-up, the kernel's start, counts too
        if report.passed and self.broken(notebook, cell, report):
            self.feel(notebook)
            broken = self.broken(notebook, cell, report)
            if broken:
                report.outcome, report.longrepr = "failed", broken
        return report

    def pytest_terminal_summary(self, terminalreporter):
        if self.seconds:
            terminalreporter.section(f"notebooks (budget {NOTEBOOK_BUDGET:g} s, a cell {CELL_BUDGET:g} s)")
        for notebook, cells in self.seconds.items():
            slowest, factor = max(cells, key=cells.get), self.factors[notebook]
            line = f"{notebook:50} {sum(cells.values()):6.1f} s, slowest: {slowest} {cells[slowest]:.1f} s"
            terminalreporter.write_line(line + (f", budgets times {factor:.1f}" if factor != 1 else ""))
