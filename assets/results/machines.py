"""Add this machine to machines.json: `python assets/results/machines.py`.

Fifteen trainings of mpl.py at the preset `notebook`, each with the same command and seed on every processor: what the
order of additions alone does to a short training. Run folders are kept in runs/results. About an hour on two cores.
"""

import json
import shlex
from pathlib import Path

import mpl
import stored

KEPT = ("supervised", "adversarial", "trained on", "pseudo-labels")  # variants


def names() -> list[str]:
    found = mpl.plan()
    return [name for name in found.runs if found.variants[name] in KEPT and not name.startswith("cpu")]


if __name__ == "__main__":
    stored.options(__doc__).parse_args()
    target = Path(__file__).with_suffix(".json")
    kept = json.loads(target.read_text(encoding="utf-8"))["runs"] if target.exists() else []
    records = {(run["name"], run["device"]): run for run in kept}
    for name in names():
        arguments = mpl.plan().runs[name]
        command = shlex.join(["minida", "train", *arguments])
        record = {"name": name, "command": command, **stored.run(name, arguments)}
        records[name, record["device"]] = record
        stored.write(target, {"command": "python assets/results/machines.py", "runs": list(records.values())})
