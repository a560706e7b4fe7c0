"""The plan of a ladder, and its trainings one after the other."""

import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from minida import distributed
from minida.compare.rungs import BASELINES, LADDERS, configuration
from minida.compare.store import IRRELEVANT, Store, identity, read_json, read_runs
from minida.config import Config
from minida.methods import METHODS, configure
from minida.storage import to_json, write_json
from minida.trainer import train

RESULTS, RUNS = "results.json", "runs"  # in the folder of a ladder


@dataclass
class Planned:
    """One training of the plan: `needed` says whether its score is asked for, or only its network perhaps."""

    name: str
    rung: str
    protocol: str
    config: Config
    start: "Planned | None"
    needed: bool = True

    @property
    def title(self) -> str:
        return LADDERS[self.protocol][self.rung].title

    @cached_property
    def key(self) -> str:
        config = json.loads(to_json(dataclasses.asdict(self.config)))
        return identity(config, self.start.key if self.start else None)

    @property
    def command(self) -> str:
        """The `minida train` that does the same; its --init is the name of another run."""
        words = ["minida", "train", self.config.method, "--preset", self.config.preset]
        plain = configure(self.config.method, self.config.preset)
        for option in dataclasses.fields(Config):
            value = getattr(self.config, option.name)
            if option.name in ("method", *IRRELEVANT) or value in (None, getattr(plain, option.name)):
                continue
            flag = "--" + option.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(flag if value else flag.replace("--", "--no-", 1))
            else:
                joint = "x" if option.name == "size" else ","
                words += [flag, joint.join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join([*words, *(["--init", self.start.name] if self.start else [])])


def plan(
    methods: Sequence[str] = (), protocols: Sequence[str] = ("uda", "ssl"), seeds: int = 3, preset: str = "cpu",
    settings: Mapping[str, Any] | None = None,
) -> list[Planned]:  # fmt: skip
    """All trainings, seed by seed, a first stage before what goes on from it; `methods` names rungs, default all.

    Baseline, controls and oracle are added: nothing can be read off a ladder without them. Raises: ValueError.
    """
    names = [name for protocol in protocols for name, rung in LADDERS[protocol].items() if rung.start]
    unknown = [name for name in methods if name not in names]
    if unknown:
        known = ", ".join(dict.fromkeys(names))
        raise ValueError(f"{unknown[0]}: no such rung under {' and '.join(protocols)}; choose among {known}")
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; expected 1 or more")
    found: dict[str, Planned] = {}
    for seed in range(seeds):
        for protocol in protocols:
            ladder = LADDERS[protocol]
            wanted = [name for name in ladder if ladder[name].start and (not methods or name in methods)]
            for name in wanted:  # grows while it is gone through: a control may have one of its own
                wanted += [other for other in (ladder[name].control,) if other and other not in wanted]
            wanted += [name for name in (BASELINES[protocol], "oracle") if name not in wanted]
            for name in (name for name in ladder if name in wanted):
                for part in (ladder[name].start, name):
                    label = f"{preset}-{protocol}-{part}-{seed}"
                    start = found.get(f"{preset}-{protocol}-{ladder[part].start}-{seed}")
                    config = configuration(ladder[part], protocol, preset, seed, settings or {})
                    found.setdefault(label, Planned(label, part, protocol, config, start, part == name))
    return list(found.values())


def open_store(out: str | Path, known: Iterable[str | Path] = ()) -> Store:
    """All finished runs: the known ones, and those of an earlier climb to `out`."""
    return Store([*known, *(path for path in (Path(out) / RESULTS, Path(out) / RUNS) if path.exists())])


def climb(
    planned: Sequence[Planned], out: str | Path, known: Iterable[str | Path] = (), progress: bool = True,
    command: str = "minida compare",
) -> tuple[list[dict], Store]:  # fmt: skip
    """Train what no store holds yet; the rungs' records, and all that is known. `out`/results.json grows run by run.

    That file is {"command": str, "runs": [record]}; a record is that of `minida train` with name, rung, ladder (the
    protocol), command, key (see minida.compare.store.identity) and total_seconds: its own and those of the stages
    before it. A training that was stopped goes on where it was; a run of other settings is not written over.

    Raises: ValueError that names the file or the run; what minida.train raises.
    """
    if distributed.world_size() > 1:
        raise ValueError("compare is one process; train with torchrun, and give the run folders as --known")
    target, store = Path(out) / RESULTS, open_store(out, known)
    stored = {record["name"]: record for record in read_runs(target)} if target.exists() else {}
    for one in planned:
        if one.needed and stored.get(one.name, {}).get("key", one.key) != one.key:
            raise ValueError(f"{target}: {one.name} was run with other settings; choose another --out")
    commands = read_json(target).get("command", "").split(" && ") if target.exists() else []
    command = " && ".join(dict.fromkeys(filter(None, [*commands, command])))
    needed = [one for one in planned if one.needed]
    with tqdm(total=len({one.key for one in needed} - store.records.keys()), desc="ladder", unit="run",
              disable=not progress) as bar:  # fmt: skip
        for one in needed:
            if one.key not in store.records:
                bar.set_postfix_str(one.name)
                _train(one, Path(out) / RUNS, store, progress)
                bar.update()
            said = {"name": one.name, "rung": one.rung, "ladder": one.protocol, "command": one.command, "key": one.key}
            stored[one.name] = {**store.records[one.key], **said, "total_seconds": _seconds(one, store)}
            write_json(target, {"command": command, "runs": list(stored.values())})
    return [stored[one.name] for one in needed], store


def _train(one: Planned, runs: Path, store: Store, progress: bool) -> None:
    """One training into its folder, after the stage that it needs the network of."""
    init = None
    if one.start is not None:
        if one.start.key not in store.folders:
            _train(one.start, runs, store, progress)
        init = str(store.folders[one.start.key])
    given = dataclasses.asdict(one.config) | {"init": init}
    method, preset = given.pop("method"), given.pop("preset")
    options = METHODS[method].options
    every = {option for kind in METHODS.values() for option in kind.options}
    given = {key: value for key, value in given.items() if key not in every or key in options}
    result = train(method, preset, out=runs / one.name, resume=True, progress=progress, **given)
    store.add(one.key, read_json(result.folder / "result.json"), result.folder)


def _seconds(one: Planned, store: Store) -> float:
    """Of the whole way to a rung's network, as far as it is known; an earlier climb knew it."""
    stages, total = one, 0.0
    while stages is not None:
        if stages.key not in store.records:
            return store.records[one.key].get("total_seconds", total)
        total, stages = total + store.records[stages.key]["seconds"], stages.start
    return round(total, 1)
