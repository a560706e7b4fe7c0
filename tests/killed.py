"""What tests/test_kills.py runs: `python killed.py FOLDER KILLS`. One training, killed at random moments and resumed.

A fork a start: importing torch twenty times would be most of the time. The first quarter of the kills comes while
MiniCity's cache is painted, the others during the training. Prints one JSON object.
"""

import minida  # noqa: I001 (before torch)

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import minida.trainer

minida.trainer.CHECKPOINT_SECONDS = 0  # a checkpoint after every step, so that kills meet its writing
STEPS = 60
OPTIONS = {"source": "minicity:real?n=120", "steps": STEPS, "eval_every": STEPS, "precision": "float32", "seed": 1}


def begin(out: Path, cache: Path) -> int:
    """Start or resume the run in a process of its own; its number."""
    if pid := os.fork():
        return pid
    os.environ["MINIDA_CACHE"] = str(cache)
    result = minida.train("supervised", "smoke", out=out, resume=True, progress=False, **OPTIONS)
    os._exit(0 if len(result.history) == STEPS else 1)


def wait_for(pid: int, happened) -> None:
    """Until it happened, or the process ended by itself."""
    while not happened() and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.002)


def kill(pid: int) -> bool:
    """Kill at once; whether the process was still at work."""
    try:
        os.kill(pid, signal.SIGKILL)
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    except (ProcessLookupError, ChildProcessError):  # it has ended and been waited for
        return False


def main(folder: Path, kills: int) -> dict:
    torch.set_num_threads(1)
    moments, out, cache = random.Random(0), folder / "killed", folder / "killed-cache"
    history, painting, step = out / "history.jsonl", 0, []

    def lines() -> int:
        return len(history.read_bytes().splitlines()) if history.exists() else 0

    for number in range(kills):
        paints, before = number < kills // 4, lines()
        pid = begin(out, cache)
        wait_for(pid, (lambda: list(cache.glob(".*.part"))) if paints else (lambda before=before: lines() > before))
        time.sleep(moments.uniform(0, 0.2 if paints else 0.04))
        painting += bool(list(cache.glob(".*.part")))
        if not kill(pid):
            break
        step.append(lines())
    codes = [os.waitpid(begin(*where), 0)[1] for where in ((out, cache), (folder / "whole", folder / "whole-cache"))]
    return {"codes": codes, "killed": len(step), "painting": painting, "steps": step}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
