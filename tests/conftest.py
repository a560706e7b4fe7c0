"""Thread policy for every test, and the time budgets of the notebooks."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; kernels inherit it

from collections import defaultdict

import pytest

FACTOR = float(os.environ.get("MINIDA_BUDGET_FACTOR", "1"))
NOTEBOOK_BUDGET, CELL_BUDGET = 150 * FACTOR, 60 * FACTOR  # seconds on two CPU cores
HINT = "On a slow or busy machine set MINIDA_BUDGET_FACTOR=2 or more."

seconds: dict[str, dict[str, float]] = defaultdict(dict)  # notebook -> cell -> seconds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail the cell that takes too long, and the cell at which its notebook has taken too long."""
    report = yield
    notebook, _, cell = report.nodeid.partition("::")
    if not notebook.endswith(".ipynb"):
        return report
    before = sum(seconds[notebook].values())
    seconds[notebook][cell] = (
        seconds[notebook].get(cell, 0.0) + report.duration
    )  # the kernel's start counts too
    total = sum(seconds[notebook].values())
    if report.passed and report.when == "call":
        if report.duration > CELL_BUDGET:
            report.outcome = "failed"
            report.longrepr = f"budget: {cell} took {report.duration:.1f} s of {CELL_BUDGET:g} s. {HINT}"
        elif before <= NOTEBOOK_BUDGET < total:
            report.outcome = "failed"
            report.longrepr = f"budget: {notebook} has taken {total:.1f} s of {NOTEBOOK_BUDGET:g} s. {HINT}"
    return report


def pytest_terminal_summary(terminalreporter):
    if not seconds:
        return
    terminalreporter.section(f"notebooks (budget {NOTEBOOK_BUDGET:g} s, a cell {CELL_BUDGET:g} s)")
    for notebook, cells in seconds.items():
        slowest = max(cells, key=cells.get)
        terminalreporter.write_line(
            f"{notebook:50} {sum(cells.values()):6.1f} s, slowest: {slowest} {cells[slowest]:.1f} s"
        )
