"""What tests/test_kills.py runs: `python killed.py FOLDER KILLS METHOD`. One training, killed at random, resumed.

A fork a start: importing torch each time would be most of the time. The first quarter of the kills comes while
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
STEPS = {"supervised": 60, "self-training": 12}  # of a round; else 24
TEACHER = Path(__file__).resolve().parents[1] / "assets" / "checkpoints" / "slim-game.safetensors"
UDA = {"source": "minicity:game?n=60", "target": "minicity:real?n=60"}
ROUNDS = {"strategy": "dars", "rounds": 2, "student": "continue"}
OPTIONS = {
    "supervised": {"source": "minicity:real?n=120"},
    "adversarial": {**UDA, "discriminator_width": 8},
    "self-training": {**UDA, **ROUNDS, "init": str(TEACHER), "centroids": 0.5},
    "u2pl": {**UDA, "embedding": 8, "bank": 100},
    "mpl": {**UDA, "discriminator": "none", "feedback": "meta", "student": "scratch"},
}
SHARED = {"precision": "float32", "seed": 1, "progress": False, "lr": 0.01}


def begin(method: str, out: Path, cache: Path) -> int:
    """Start or resume the run in a process of its own; its number."""
    if pid := os.fork():
        return pid
    os.environ["MINIDA_CACHE"] = str(cache)
    steps = STEPS.get(method, 24)
    options = {**SHARED, **OPTIONS[method], "steps": steps, "eval_every": steps}
    result = minida.train(method, "smoke", out=out, resume=True, **options)
    os._exit(0 if len(result.history) == steps * options.get("rounds", 1) else 1)


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


def main(folder: Path, kills: int, method: str) -> dict:
    torch.set_num_threads(1)
    moments, out, cache = random.Random(0), folder / "killed", folder / "killed-cache"
    history, painting, step = out / "history.jsonl", 0, []

    def lines() -> int:
        return len(history.read_bytes().splitlines()) if history.exists() else 0

    for number in range(kills):
        paints, before = number < kills // 4, lines()
        pid = begin(method, out, cache)
        wait_for(pid, (lambda: list(cache.glob(".*.part"))) if paints else (lambda before=before: lines() > before))
        time.sleep(moments.uniform(0, 0.1 if paints else 0.04))
        painting += bool(list(cache.glob(".*.part")))
        if not kill(pid):
            break
        step.append(lines())
    codes = [
        os.waitpid(begin(method, *where), 0)[1] for where in ((out, cache), (folder / "whole", folder / "whole-cache"))
    ]
    return {"codes": codes, "killed": len(step), "painting": painting, "steps": step}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
