"""Finished runs, found again by all that decides their result, wherever they were made."""

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minida.config import Config
from minida.methods import configure
from minida.options import parse_training
from minida.storage import to_json

DEFAULTS = json.loads(to_json(dataclasses.asdict(Config())))  # for fields that are younger than a stored run
IRRELEVANT = ("preset", "precision", "device", "workers", "log_every", "eval_every")  # to what a run's result should be


def identity(config: Mapping[str, Any], begun: str | None, taught: str | None = None) -> str:
    """A digest of all that decides a run's result; `begun` and `taught`: those of the runs that it starts from."""
    said = {key: value for key, value in config.items() if key not in IRRELEVANT}
    text = json.dumps(said | {"init": begun, "teacher": taught}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """Finished runs by their identity: records, and where the folder is still there, its network.

    What the code itself decides is not in an identity: after a change of a method its runs have to be left out.

    Args:
        known: results files ({"runs": [record with name and command]}) and folders of run folders. A record of
            `minida compare` has its identity in `key`.

    Raises: ValueError that names the file and the run.
    """

    def __init__(self, known: Iterable[str | Path] = ()) -> None:
        self.records: dict[str, dict] = {}
        self.folders: dict[str, Path] = {}
        named: dict[str, tuple[Mapping[str, Any], dict, Path | None]] = {}
        for path in map(Path, known):
            if path.is_dir():
                for result in sorted(path.glob("*/result.json")):
                    record, config = (read_json(result.with_name(f"{kind}.json")) for kind in ("result", "config"))
                    _check(record, f"{result}: {{}} of it", {key: FIELDS[key] for key in FIELDS if key != "name"})
                    for root in ("init", "teacher"):
                        if not isinstance(config.get(root), str | None):
                            named_so = f"{root} is {repr(config[root])[:200]}; expected a text, or null"
                            raise ValueError(f"{result.with_name('config.json')}: {named_so}; delete it")
                    named[result.parent.name] = ({**DEFAULTS, **config}, record, result.parent)
            else:
                for record in read_runs(path):
                    if isinstance(record.get("key"), str):
                        self.records[record["key"]] = record
                    elif record["name"] not in named and record.get("command", "").startswith("minida train "):
                        try:
                            config = settings_of(record["command"])
                        except ValueError as error:
                            raise ValueError(f"{path}: the command of {record['name']}: {error}; mend it") from None
                        named[record["name"]] = (config, record, None)
        keys: dict[str, str | None] = {}
        for name in named:
            self._key(name, named, keys)

    def _key(self, name: str, named: Mapping, keys: dict[str, str | None]) -> str | None:
        """The identity of a run by name, after those that it starts from; None where one of these is unknown."""
        if name not in keys:
            keys[name] = None  # a run that starts from itself has none
            config, record, folder = named.get(name, (None, None, None))
            if config is None:
                return None
            roots = [config.get(field) for field in ("init", "teacher")]
            found = [self._key(Path(root).name, named, keys) if root else None for root in roots]
            if all(bool(root) == bool(key) for root, key in zip(roots, found, strict=True)):
                keys[name] = identity(config, *found)
                self.add(keys[name], record, folder)
        return keys[name]

    def add(self, key: str, record: dict, folder: Path | None) -> None:
        self.records.setdefault(key, record)  # what an earlier climb said of it says more
        if folder is not None and (folder / "model.safetensors").exists():
            self.folders[key] = folder


def settings_of(command: str) -> dict[str, Any]:
    """The whole configuration of `minida train …` as its `config.json` would have it."""
    method, preset, given = parse_training(shlex.split(command)[2:])
    return json.loads(to_json(dataclasses.asdict(configure(method, preset, **given))))


def read_json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({str(error).splitlines()[0]}); delete it or give another") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected one JSON object; delete it or give another")
    return found


def _number(value: Any, most: float = float("inf")) -> bool:
    return type(value) in (int, float) and 0 <= value <= most and value < 1e15


def _share(value: Any) -> bool:
    return value is None or _number(value, 1)


SHARE = "a number from 0 to 1"
FIELDS = {  # of a record: what is expected, and whether a value is that
    "name": ("a text", lambda value: isinstance(value, str)),
    "seed": ("a whole number from 0 up", lambda value: type(value) is int and value >= 0),
    "seconds": ("a number from 0 up", _number),
    "miou": (SHARE, lambda value: _number(value, 1)),
    "tail_miou": (f"{SHARE}, or null", lambda value: _share(value)),
    "pixel_accuracy": (f"{SHARE}, or null", lambda value: _share(value)),
    "iou": (f"{SHARE}, or null, by class", lambda value: isinstance(value, dict) and all(map(_share, value.values()))),
    "device": ("a text", lambda value: isinstance(value, str)),
    "precision": ("a text", lambda value: isinstance(value, str)),
}
LADDER = {  # of one that `minida compare` wrote, beside these
    "rung": FIELDS["name"],
    "command": FIELDS["name"],
    "total_seconds": FIELDS["seconds"],
}


def _check(record: dict, named: str, fields: Mapping[str, tuple]) -> None:
    for key, (expected, fine) in fields.items():
        if key not in record or not fine(record[key]):
            found = f"{named.format(key)} is {repr(record.get(key))[:200]}; expected {expected}"
            raise ValueError(f"{found}; give another file")


def read_runs(path: str | Path) -> list[dict]:
    """The records of a results file; what a record has to hold is in FIELDS.

    Raises: ValueError that names the file, the run and what was expected.
    """
    runs = read_json(Path(path)).get("runs")
    if not isinstance(runs, list):
        raise ValueError(f"{path}: no list 'runs'; expected what `minida compare` writes")
    for number, run in enumerate(runs):
        if not isinstance(run, dict):
            raise ValueError(f"{path}: run {number} is {repr(run)[:200]}; expected an object; give another file")
        fields = FIELDS | {key: kind for key, kind in LADDER.items() if "ladder" in run or key in run}
        name = " ".join(str(run.get("name")).split())[:200].replace("{", "{{").replace("}", "}}")
        _check(run, f"{path}: {{}} of run {number} ({name})", fields)
    return runs
