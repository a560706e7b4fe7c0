"""Fifty kills without warning, fifty resumes, over all methods: the weights of runs that nobody disturbed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

WORKER = Path(__file__).with_name("killed.py")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are Unix's")
@pytest.mark.parametrize(
    "method, kills, networks",
    [
        ("supervised", 18, ["model"]),
        ("adversarial", 8, ["model", "discriminator"]),
        ("self-training", 8, ["model"]),
        ("u2pl", 8, ["model", "teacher"]),
        ("mpl", 8, ["model", "teacher"]),
    ],
)
def test_kills_change_nothing(tmp_path: Path, method: str, kills: int, networks: list[str]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parents[1])}
    command = [sys.executable, str(WORKER), str(tmp_path), str(kills), method]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["codes"] == [0, 0] and found["killed"] == kills, found
    # the kills did meet what they were meant for
    assert found["painting"] >= kills // 8 and len(set(found["steps"])) >= kills // 2, found
    for name in networks:
        ours, whole = (load_file(tmp_path / folder / f"{name}.safetensors") for folder in ("killed", "whole"))
        assert all(torch.equal(ours[key], value) for key, value in whole.items())
    histories = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("killed", "whole")]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in histories]
    assert losses[0] == losses[1] and len(losses[0]) == (60 if method == "supervised" else 24)
    caches = [sorted((tmp_path / f"{name}-cache").rglob("*.npy")) for name in ("killed", "whole")]
    assert [path.name for path in caches[0]] == [path.name for path in caches[1]]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*caches, strict=True))
    assert not list((tmp_path / "killed-cache").glob(".*.part"))
