"""What tests/test_kills.py runs: `python killed_verbs.py FOLDER KILLS -- VERB …`. One verb, killed again and again.

The verb (`minida label …`) runs in forks: twice undisturbed, in FOLDER/whole and FOLDER/again, then so many times in
FOLDER/killed, each killed at another moment of the time that the second one took, then to its end. "OUT" in the
arguments is the folder; with "anew" for "--" it is emptied before every start, for a verb that goes on with nothing.
After each kill every file with a final name has to be whole. Prints one JSON object.
"""

import minida  # noqa: F401, I001 (before torch)

import csv
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from minida.__main__ import main as run_verb


def begin(out: Path, words: list[str]) -> int:
    """The verb in a process of its own; its number."""
    if pid := os.fork():
        return pid
    os.setsid()  # so that what it starts dies with it
    os.environ["MINIDA_CACHE"] = str(out.with_name("cache"))
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    os._exit(run_verb([word.replace("OUT", str(out)) for word in words]))


def check(path: Path) -> None:
    """Raises where a file is not whole."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        assert all(None not in row and None not in row.values() for row in csv.DictReader(path.open()))
    elif path.suffix == ".safetensors":
        load_file(path)


def main(folder: Path, kills: int, anew: bool, words: list[str]) -> dict:
    torch.set_num_threads(1)
    moments, killed, amounts = random.Random(0), 0, []
    codes = [os.waitpid(begin(folder / "whole", words), 0)[1]]
    start = time.perf_counter()
    os.waitpid(begin(folder / "again", words), 0)  # what is painted once is there now
    took = time.perf_counter() - start
    for number in range(kills):
        if anew:
            shutil.rmtree(folder / "killed", ignore_errors=True)
        pid = begin(folder / "killed", words)
        time.sleep(took * (number + moments.random()) / kills)
        os.killpg(pid, signal.SIGKILL)
        code = os.waitpid(pid, 0)[1]
        files = [path for path in (folder / "killed").rglob("*") if path.is_file() and not path.name.startswith(".")]
        for path in files:
            check(path)
        amounts.append(len(files))
        killed += os.WIFSIGNALED(code)
        if not (anew or os.WIFSIGNALED(code)):  # it was faster, and is done
            break
    else:
        if anew:
            shutil.rmtree(folder / "killed", ignore_errors=True)
        code = os.waitpid(begin(folder / "killed", words), 0)[1]
    return {"codes": [*codes, code], "killed": killed, "files": amounts}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "anew", sys.argv[4:])))
