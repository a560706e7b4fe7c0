"""Make supervised.json again: `python assets/results/supervised.py [--only TEXT] [--camvid DIR]`.

Source-only and oracle at the presets `notebook` and `cpu`, the optimisers and the ablation of notebook 01, each with
three seeds;
with --camvid the real photographs, one seed. Run folders are kept in runs/results: a finished run is not run
again, a stopped one goes on. About an hour on two cores.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from minida.storage import halve

ROOT = Path(__file__).resolve().parents[2]
GAME = ["--source", "minicity:game", "--target", "minicity:real"]
REAL = ["--source", "minicity:real"]
PLAIN = ["--scale", "1,1", "--jitter", "0", "--blur", "0", "--noise", "0"]
CHECKPOINTS = {"slim-game": "notebook-source-only-0", "slim-real": "notebook-oracle-0"}


def commands(camvid: str | None) -> dict[str, list[str]]:
    """Arguments of `minida train supervised` by the name of the run."""
    table = {}
    for preset in ("notebook", "cpu"):
        for seed in (0, 1, 2):
            end = ["--preset", preset, "--seed", str(seed)]
            table[f"{preset}-source-only-{seed}"] = [*GAME, *end]
            table[f"{preset}-oracle-{seed}"] = [*REAL, *end]
    for optimizer in ("adam", "rmsprop"):  # sgd is the oracle above
        for seed in (0, 1, 2):
            end = ["--preset", "notebook", "--optimizer", optimizer, "--seed", str(seed)]
            table[f"notebook-{optimizer}-{seed}"] = [*REAL, *end]
    for seed in (0, 1, 2):
        end = ["--preset", "notebook", "--seed", str(seed)]
        table[f"notebook-unaugmented-{seed}"] = [*GAME, *PLAIN, *end]
    if camvid:
        table["camvid-0"] = ["--source", f"camvid:{camvid}", "--preset", "cpu", "--size", "176x240", "--steps", "1500"]
    return table


def run(name: str, arguments: list[str]) -> dict:
    """The record of one run, made unless it is there."""
    folder = ROOT / "runs" / "results" / name
    if not (folder / "result.json").exists():
        command = [sys.executable, "-m", "minida", "train", "supervised", *arguments]
        subprocess.run([*command, "--out", str(folder), "--resume"], check=True)
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="", help="runs whose name holds this text")
    options.add_argument("--camvid", metavar="DIR", help="CamVid in SegNet's layout: one run more")
    options = options.parse_args()
    target = Path(__file__).with_suffix(".json")
    stored = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"runs": []}
    records = {record["name"]: record for record in stored["runs"]}
    for name, arguments in commands(options.camvid).items():
        if options.only in name:
            record = run(name, arguments)
            shown = [argument.replace(options.camvid or "\0", "DIR") for argument in arguments]
            records[name] = {"name": name, "command": shlex.join(["minida", "train", "supervised", *shown]), **record}
            if "unaugmented" in name:
                records[name]["variant"] = "not augmented"
            for key in ("source", "data"):
                records[name][key] = records[name][key].replace(options.camvid or "\0", "DIR")
            text = json.dumps(
                {"command": "python assets/results/supervised.py", "runs": [records[key] for key in sorted(records)]},
                indent=1,
            )
            part = target.with_suffix(".part")
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(target)
    for name, made_by in CHECKPOINTS.items():
        folder = ROOT / "runs" / "results" / made_by
        if (folder / "result.json").exists():
            halve(folder, ROOT / "assets" / "checkpoints" / f"{name}.safetensors")


if __name__ == "__main__":
    main()
