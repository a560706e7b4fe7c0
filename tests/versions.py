"""Make versions.json: `python tests/versions.py python3.11 python3.12 python3.13 [--oldest] [-- -k bisenet]`.

Runs the README's test command, `PYTHON run.py test`, with each of these Pythons in a fresh clone of the last commit
(in build/versions), so with an environment of its own: several GB and some twenty minutes each. With `--oldest` the
environment holds the oldest torch and torchvision that pyproject.toml allows. What follows `--` goes to the tests; the
result is then stored only on request (`--keep`). Exits with 1 where one fails.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "assets" / "results" / "versions.json"
SHOWN = ("torch", "torchvision", "numpy", "pillow", "matplotlib", "ipywidgets", "jupyterlab")
ASK = f"""import json, platform
from importlib.metadata import version
print(json.dumps({{"python": platform.python_version(), **{{name: version(name) for name in {SHOWN}}}}}))"""


def lower_bounds(names: tuple[str, ...] = ("torch", "torchvision")) -> dict[str, str]:
    """The oldest releases that pyproject.toml allows, such as {"torch": "2.11"}."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in project["dependencies"])
    return {name: found[name] for name in names}


def outcome(output: str) -> str:
    """Pytest's last line about all tests, such as "2642 passed, 1 skipped"; empty where it never came so far."""
    lines = re.findall(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s.*$", output, re.M)
    return lines[-1] if lines else ""


def tested(python: str, folder: Path, oldest: bool, arguments: list[str]) -> dict:
    """Clone, install and test; the output is kept beside the clone."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if oldest:
        pins = folder.with_suffix(".constraints")
        pins.write_text("".join(f"{name}=={number}.0\n" for name, number in lower_bounds().items()), encoding="utf-8")
        env |= {"PIP_CONSTRAINT": str(pins), "UV_CONSTRAINT": str(pins)}
    start, log = time.perf_counter(), folder.with_suffix(".log")
    with log.open("w", encoding="utf-8") as file:
        command = [python, "run.py", "test", *arguments]
        code = subprocess.run(command, cwd=folder, env=env, stdout=file, stderr=subprocess.STDOUT).returncode
    inside = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = subprocess.run([inside, "-c", ASK], capture_output=True, text=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True).stdout
    return {
        "versions": json.loads(asked.stdout or "{}"), "command": f"{Path(python).name} run.py test", "exit": code,
        "outcome": outcome(log.read_text(encoding="utf-8", errors="replace")), "commit": commit.strip(),
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="a command, or a path")
    parser.add_argument("--oldest", action="store_true", help="torch and torchvision by their lower bounds")
    parser.add_argument("--keep", action="store_true", help="store the result of chosen tests too")
    own, _, arguments = (list(part) for part in partition(sys.argv[1:]))
    given, failed = parser.parse_args(own), []
    for python in given.pythons:
        name = re.sub(r"\W+", "-", python).strip("-") + ("-oldest" if given.oldest else "")
        row = tested(python, ROOT / "build" / "versions" / name, given.oldest, arguments)
        print(json.dumps(row), flush=True)
        failed += [python] * (row["exit"] != 0)
        if not arguments or given.keep:
            store(row)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see build/versions/*.log")


def partition(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place : place + 1], words[place + 1 :]


def store(row: dict) -> None:
    """Put a row in versions.json, in place of the one of the same Python and torch."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    key = ("python", "torch")
    rows = [old for old in rows if any(old["versions"].get(k) != row["versions"].get(k) for k in key)] + [row]
    text = json.dumps({"command": "python tests/versions.py", "rows": rows}, indent=1)
    part = RESULTS.with_name(RESULTS.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(RESULTS)


if __name__ == "__main__":
    main()
