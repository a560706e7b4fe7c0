"""Thread policy for every test, and the time budgets of the notebooks."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; kernels inherit it
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in minida/__init__.py

from collections import defaultdict

import pytest
import torch

from minida.device import faster_in_bfloat16

# The budgets were set with bfloat16. Where a processor lacks it, notebook 02's longest cell took 3.5 times as long.
USUAL = 1 if faster_in_bfloat16(torch.device("cpu")) else 4
FACTOR = float(os.environ.get("MINIDA_BUDGET_FACTOR", USUAL))
NOTEBOOK_BUDGET, CELL_BUDGET = 150 * FACTOR, 60 * FACTOR  # seconds on two CPU cores
HINT = "On a slow or busy machine set MINIDA_BUDGET_FACTOR=2 or more."


def pytest_configure(config):
    # the hooks of a conftest.py see only the tests beside it; the notebooks lie elsewhere
    config.pluginmanager.register(Budgets())


class Budgets:
    """Times every notebook that nbval runs, and fails the cell that breaks a budget."""

    def __init__(self):
        self.seconds: dict[str, dict[str, float]] = defaultdict(dict)  # notebook -> cell -> seconds

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        notebook, _, cell = report.nodeid.partition("::")
        if not notebook.endswith(".ipynb"):
            return report
        cells = self.seconds[notebook]
        before = sum(cells.values())
        cells[cell] = cells.get(cell, 0.0) + report.duration  # set-up, the kernel's start, counts too
        total = sum(cells.values())
        broken = ""
        if report.when == "call" and report.duration > CELL_BUDGET:
            broken = f"budget: {cell} took {report.duration:.1f} s of {CELL_BUDGET:g} s. {HINT}"
        elif before <= NOTEBOOK_BUDGET < total:
            broken = f"budget: {notebook} has taken {total:.1f} s of {NOTEBOOK_BUDGET:g} s. {HINT}"
        if report.passed and broken:
            report.outcome, report.longrepr = "failed", broken
        return report

    def pytest_terminal_summary(self, terminalreporter):
        if self.seconds:
            terminalreporter.section(f"notebooks (budget {NOTEBOOK_BUDGET:g} s, a cell {CELL_BUDGET:g} s)")
        for notebook, cells in self.seconds.items():
            slowest = max(cells, key=cells.get)
            line = f"{notebook:50} {sum(cells.values()):6.1f} s, slowest: {slowest} {cells[slowest]:.1f} s"
            terminalreporter.write_line(line)
