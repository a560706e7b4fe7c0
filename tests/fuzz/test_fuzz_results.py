"""Results: files of records, records in run folders, and the tables that are made of both."""

import json
from pathlib import Path
from random import Random
from typing import Any

from harness import Case, campaign
from mutations import ODD_TEXTS, spoil_json, spoil_value
from trees import write_tree

from minida.compare.report import markdown, rows
from minida.compare.store import Store, read_runs
from minida.compare.training import plan
from minida.latency import aligned
from minida.teach.results import costs_table, latency_table, results_table

PLANNED = plan(("dsc-dars",), ("uda",), 1, "notebook")
TIMING = {"ms": 1.5, "p95_ms": 2.0, "images_per_second": 600.0, "memory": 1000}
PASS = {
    "network": "slim", "size": [32, 64], "batch": 1, "deployed": TIMING, "plain": TIMING, "ratio": 1.5, "runs": 5,
    "labels_differ": None, "parameters": 350000, "flops": 10**9, "precision": "float32", "device": "CPU", "torch": "2",
}  # fmt: skip
COST = {
    "discriminator": "dsc", "width": 64, "size": [96, 192], "batch": 8, "parameters": 189424, "flops": 10**9,
    "flops_with_upsampling": 10**9, "forward_ms": 2.5, "update_ms": 5.5, "precision": "float32", "device": "CPU",
    "torch": "2",
}  # fmt: skip
STEP = {"preset": "cpu", "training": "dsc", "ms": 300.0}


def record(one: Any = PLANNED[0], **more: Any) -> dict:
    """A run as `minida compare` stores it."""
    return {
        "name": one.name, "rung": one.rung, "ladder": one.protocol, "command": one.command, "key": one.key,
        "total_seconds": 60.5, "seed": 0, "preset": "notebook", "seconds": 30.5, "miou": 0.4, "tail_miou": 0.2,
        "pixel_accuracy": 0.8, "iou": {"road": 0.9, "train": None}, "device": "CPU", "precision": "float32", **more,
    }  # fmt: skip


RESULTS = {"command": "minida compare", "runs": [record(one) for one in PLANNED]}
FOREIGN = {"runs": [{key: value for key, value in run.items() if key != "key"} for run in RESULTS["runs"]]}


def tables(records: list[dict]) -> str:
    found = rows(records, "uda", "notebook")
    return markdown(found, "uda")


def test_results_files(tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_json(rng, rng.choice((RESULTS, FOREIGN)))
        if rng.random() < 0.2:
            words = f"minida train {rng.choice(ODD_TEXTS)} --steps {rng.choice(ODD_TEXTS)} {rng.choice(ODD_TEXTS)}"
            content = json.dumps({"runs": [record(key=None, command=words)]}).encode()
        (inside / "results.json").write_bytes(content)

        def read() -> str:
            store = Store([inside / "results.json"])
            tables(list(store.records.values()))
            return tables(read_runs(inside / "results.json"))

        return repr(content[:300]), read

    campaign("results files", case, tmp_path, names=("results.json",))


def test_run_records(tmp_path: Path) -> None:
    config = {"method": "supervised", "preset": "notebook", "init": None, "teacher": None, "seed": 0, "steps": 4}
    result = {key: value for key, value in record().items() if key not in ("name", "key", "rung", "ladder")}

    def case(rng: Random, inside: Path) -> Case:
        files = {f"runs/{name}/config.json": json.dumps(config).encode() for name in "ab"}
        files |= {f"runs/{name}/result.json": json.dumps(result).encode() for name in "ab"}
        files["runs/b/config.json"] = json.dumps({**config, "init": "elsewhere/a"}).encode()
        name = rng.choice(list(files))
        files[name] = spoil_json(rng, json.loads(files[name]))
        write_tree(inside / "all", files)

        def read() -> str:
            store, one = Store([inside / "all" / "runs"]), PLANNED[0]
            said = {"rung": one.rung, "ladder": "uda", "preset": "notebook", "total_seconds": 1.0}
            return tables([{**found, **said} for found in store.records.values()])

        return f"{name}: {files[name][:200]!r}", read

    campaign("run records", case, tmp_path, names=("result.json", "config.json"))


def test_result_tables(tmp_path: Path) -> None:
    kinds = {
        results_table: {"command": "make it", "runs": [record(optimizer="sgd", variant=None), record(seed=1)]},
        latency_table: {"command": "make it", "records": [PASS]},
        costs_table: {"command": "make it", "records": [COST], "steps": [STEP, STEP]},
    }

    def case(rng: Random, inside: Path) -> Case:
        table, good = rng.choice(list(kinds.items()))
        content = spoil_json(rng, good) if rng.random() < 0.5 else json.dumps(spoil_value(rng, good)).encode()
        (inside / "stored.json").write_bytes(content)

        def read() -> str:
            more = (["optimizer", "variant"],) if table is results_table else ()
            text = table(inside / "stored.json", *more)
            if table is results_table:  # three columns of 16 letters
                assert not any("nan" in line[-48:] for line in text.splitlines()[1:-1]), text
            return text

        return repr(content[:300]), read

    campaign("result tables", case, tmp_path, names=("stored.json",))


def test_the_good_ones_are_good(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    assert "source-only" in tables(read_runs(tmp_path / "results.json"))
    assert len(Store([tmp_path / "results.json"]).records) == len(PLANNED)
    assert aligned([("a", "b"), ("c", "d")])
