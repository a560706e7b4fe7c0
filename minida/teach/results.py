"""Stored results as text: mean and deviation over seeds, so that no table rests on one lucky run."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from minida.latency import aligned, table

MEASURES = {"mIoU": "miou", "tail mIoU": "tail_miou", "pixel accuracy": "pixel_accuracy"}
LABEL_MEASURES = {  # of self-training: the last round's pseudo-labels, judged with the target's labels
    "mIoU": "miou", "tail mIoU": "tail_miou", "coverage": "label_coverage", "right": "label_accuracy",
    "100 KL": "label_kl",
}  # fmt: skip


def _of_a_file(make: Callable[..., str]) -> Callable[..., str]:
    """Let a table's maker raise ValueError, in one line that names the file, where that holds something else."""

    @wraps(make)
    def table_of(path: str | Path, *arguments: Any, **options: Any) -> str:
        try:
            return make(path, *arguments, **options)
        except Exception as error:  # of many kinds: any part may be missing, or of another type
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ValueError(f"{path}: holds no results for this table ({reason}); make it again") from error

    return table_of


@_of_a_file
def results_table(
    path: str | Path, by: Sequence[str], command: str = "", measures: Mapping[str, str] = MEASURES, **where: object
) -> str:
    """Text: a row for each value of the fields `by`, each measure in % as mean ± sample deviation over seeds.

    Args:
        path: {"command": str, "runs": [records as in result.json]}.
        by: fields of a record that name a row; a field that a record lacks counts as None.
        command: how to make one such run, said where no run is stored.
        measures: the columns: titles and fields.
        where: fields that a record must have, such as preset="notebook"; a list means any of its values.
    """
    file = Path(path)
    stored = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"command": command, "runs": []}
    groups: dict[tuple, dict[int, dict]] = {}
    for run in stored["runs"]:
        if all(run.get(k) in (v if isinstance(v, list | tuple) else [v]) for k, v in where.items()):
            groups.setdefault(tuple(run.get(field) for field in by), {})[run["seed"]] = run  # a seed counts once
    if not groups:
        return f"{file.name}: no stored results here yet; run\n  {stored['command'] or command}"
    names = [["default" if value is None else str(value) for value in group] for group in groups]
    widths = [2 + max(len(name[i]) for name in [by, *names]) for i in range(len(by))]
    titles = "".join(f"{title:>16}" for title in measures)
    lines = ["".join(f"{field:<{width}}" for field, width in zip(by, widths, strict=True)) + "seeds" + titles]
    for name, runs in zip(names, groups.values(), strict=True):
        row = "".join(f"{text:<{width}}" for text, width in zip(name, widths, strict=True)) + f"{len(runs):>5}"
        lines.append(row + "".join(f"{_spread(runs.values(), key):>16}" for key in measures.values()))
    return "\n".join([*lines, f"made by: {stored['command']}"])


def _spread(runs, key: str) -> str:
    """ "54.3 ± 0.8", in %; one run has no deviation, and a field that a record lacks is a dash."""
    values = 100 * np.array([run[key] for run in runs if run.get(key) is not None], float)
    if not len(values):
        return "-"
    if values.ndim > 1 or not (np.abs(values) < 1e6).all():
        raise ValueError(f"a {key} is no share")
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


@_of_a_file
def latency_table(path: str | Path) -> str:
    """Text: what `minida bench --json` stored, a row each, and the command that makes it again."""
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    return f"{table(stored['records'])}\nmade by: {stored['command']}"


@_of_a_file
def costs_table(path: str | Path) -> str:
    """Text: what assets/results/discriminators.py stored: work in both conventions, measured times, whole steps."""
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = [("", "size", "batch", "parameters", "GFLOPs", "with upsampling", "forward ms", "update ms")]
    for row in stored["records"]:
        work = (f"{row['parameters']:,}", f"{row['flops'] / 1e9:.3f}", f"{row['flops_with_upsampling'] / 1e9:.3f}")
        times = (f"{row['forward_ms']:.1f}", f"{row['update_ms']:.1f}")
        rows.append((row["discriminator"], "x".join(map(str, row["size"])), str(row["batch"]), *work, *times))
    lines, steps = aligned(rows), {}
    for step in stored["steps"]:
        steps.setdefault(step["preset"], []).append(f"{step['training']} {step['ms']:.0f} ms")
    lines += [f"a whole training step, preset {preset}: {', '.join(times)}" for preset, times in steps.items()]
    first = stored["records"][0]
    return "\n".join(
        [*lines, f"{first['device']}, {first['precision']}, torch {first['torch']}; made by: {stored['command']}"]
    )
