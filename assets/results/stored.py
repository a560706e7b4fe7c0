"""Stored runs: what the scripts beside this one share. Run folders are kept in runs/results."""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minida.__main__ import parser
from minida.methods import configure
from minida.options import TRAIN
from minida.storage import halve

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "results"
EIGHTH = ["--protocol", "ssl", "--source", "minicity:real", "--labeled", "1/8"]
GAME = ["--source", "minicity:game", "--target", "minicity:real"]


@dataclass
class Plan:
    """Runs by name, a teacher before its students: the arguments of `minida train`, and the variant in a table."""

    runs: dict[str, list[str]] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, variant: str, arguments: list[str]) -> None:
        self.runs[name], self.variants[name] = arguments, variant

    def begin(self, preset: str, seed: int) -> tuple[list[str], list[str]]:
        """The networks to go on from, and as controls these trained on as long; the arguments of ssl's and uda's
        students."""
        rest, students = ["--preset", preset, "--seed", str(seed)], []
        adversarial = ["adversarial", "--discriminator", "dsc"]
        for domain, first, variant, method, data in (
            ("eighth", "eighth", "supervised", ["supervised"], EIGHTH),
            ("game", "dsc", "adversarial", adversarial, GAME),
        ):
            name = f"{preset}-{first}-{seed}"
            students.append([*data, "--init", f"runs/results/{name}", *rest])
            self.add(name, variant, [*method, *data, *rest])
            self.add(f"{preset}-{domain}-long-{seed}", "trained on", [*method, *students[-1]])
        return tuple(students)


def run(name: str, arguments: list[str]) -> dict:
    """The record of `minida train ARGUMENTS`: a finished run is not run again, a stopped one goes on."""
    folder = RUNS / name
    if not (folder / "result.json").exists():
        command = [sys.executable, "-m", "minida", "train", *arguments, "--out", str(folder), "--resume"]
        subprocess.run(command, check=True)
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    wrong = [key for key, value in wanted(arguments).items() if key in record and record[key] != value]
    if wrong:
        raise SystemExit(f"{folder} was made with {wrong[0]}={record[wrong[0]]!r}; delete it, it is not {arguments}")
    return record


def wanted(arguments: list[str]) -> dict:
    """What the record of `minida train ARGUMENTS` has to say of its configuration."""
    given = vars(parser().parse_args(["train", *arguments]))
    method, preset = given["method"], given["preset"]
    config = configure(method, preset, **{key: given[key] for key in TRAIN})
    rates = {"lr": config.learning_rate, "discriminator_lr": config.discriminator_learning_rate}
    fields = json.loads(json.dumps({**asdict(config), **rates}))
    return {key: value for key, value in fields.items() if key not in ("precision", "device")}


def write(target: Path, content: dict) -> None:
    part = target.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(target)


def make(
    script: Path, commands: Mapping[str, list[str]], only: str, variant: Callable[[str], str | None], hidden: str = "",
    judge: Callable[[dict], dict] = lambda record: {},
) -> None:  # fmt: skip
    """Bring SCRIPT.json (with "-" for "_") up to date, one run after the other; only those whose name holds `only`.

    `variant` names a run's part in a table by its name; `hidden`, a folder of this machine, is written as DIR; what
    `judge` finds out about a record is added to it.
    """
    target = script.with_name(script.stem.replace("_", "-") + ".json")
    stored = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"runs": []}
    records = {record["name"]: record for record in stored["runs"]}
    for name, arguments in commands.items():
        if only in name:
            told = [argument.replace(hidden or "\0", "DIR") for argument in arguments]
            command = shlex.join(["minida", "train", *told])
            record = {"name": name, "variant": variant(name), "command": command, **run(name, arguments)}
            record |= judge(record)
            for key in ("source", "data"):
                record[key] = record[key].replace(hidden or "\0", "DIR")
            records[name] = record
            order = [key for key in records if key not in commands] + [key for key in commands if key in records]
            runs = [records[key] for key in order]
            write(target, {"command": f"python assets/results/{script.name}", "runs": runs})


def keep(checkpoints: Mapping[str, str]) -> None:
    """Copy finished runs' networks to assets/checkpoints, in 16 bits: {name there: run}."""
    for name, made_by in checkpoints.items():
        if (RUNS / made_by / "result.json").exists():
            halve(RUNS / made_by, ROOT / "assets" / "checkpoints" / f"{name}.safetensors")


def options(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--only", default="", help="runs whose name holds this text")
    return parser
