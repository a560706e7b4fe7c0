"""Twenty kills without warning, twenty resumes: the weights of a run that nobody disturbed."""

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
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parents[1])}
    command = [sys.executable, str(WORKER), str(tmp_path), "20"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["codes"] == [0, 0] and found["killed"] == 20, found
    # the kills did meet what they were meant for
    assert found["painting"] >= 3 and len(set(found["steps"])) >= 10, found
    ours, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(ours[key], value) for key, value in whole.items())
    histories = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("killed", "whole")]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in histories]
    assert losses[0] == losses[1] and len(losses[0]) == 60
    caches = [sorted((tmp_path / f"{name}-cache").rglob("*.npy")) for name in ("killed", "whole")]
    assert [path.name for path in caches[0]] == [path.name for path in caches[1]]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*caches, strict=True))
    assert not list((tmp_path / "killed-cache").glob(".*.part"))
