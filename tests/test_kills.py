"""Fifty kills without warning, fifty resumes, over all methods: the weights of runs that nobody disturbed.

And labelling, comparing and grading, killed again and again: no half file, and what an undisturbed one has at the end.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

WORKER = Path(__file__).with_name("killed.py")
CHECKPOINT = WORKER.parents[1] / "assets" / "checkpoints" / "slim-game.safetensors"
unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are Unix's")


def answer_of(*command: str) -> dict:
    """What a worker found; its whole standard error where it failed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parents[1])}
    answer = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, timeout=400)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.slow
@unix
@pytest.mark.parametrize(
    "method, kills, networks",
    [
        ("supervised", 18, ["model"]),
        ("adversarial", 8, ["model", "discriminator"]),
        ("self-training", 8, ["model"]),
        ("u2pl", 8, ["model", "teacher"]),
        ("mpl", 8, ["model", "teacher"]),
    ],
)
def test_kills_change_nothing(tmp_path: Path, method: str, kills: int, networks: list[str]) -> None:
    found = answer_of(str(WORKER), str(tmp_path), str(kills), method)
    assert found["codes"] == [0, 0] and found["killed"] == kills, found
    # the kills did meet what they were meant for
    assert found["painting"] >= kills // 8 and len(set(found["steps"])) >= kills // 2, found
    for name in networks:
        ours, whole = (load_file(tmp_path / folder / f"{name}.safetensors") for folder in ("killed", "whole"))
        assert all(torch.equal(ours[key], value) for key, value in whole.items())
    histories = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("killed", "whole")]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in histories]
    assert losses[0] == losses[1] and len(losses[0]) == (60 if method == "supervised" else 24)
    caches = [sorted((tmp_path / f"{name}-cache").rglob("*.npy")) for name in ("killed", "whole")]
    assert [path.name for path in caches[0]] == [path.name for path in caches[1]]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*caches, strict=True))
    assert not list((tmp_path / "killed-cache").glob(".*.part"))


def killed(folder: Path, kills: int, anew: str, *words: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """All files, by name, of a verb that was killed so often and then ended, and of an undisturbed one."""
    found = answer_of(str(WORKER.with_name("killed_verbs.py")), str(folder), str(kills), anew, *words)
    assert found["codes"] == [0, 0] and found["killed"] >= kills // 2, found
    paths = [[path for path in (folder / name).rglob("*") if path.is_file()] for name in ("killed", "whole")]
    return tuple({path.relative_to(folder).as_posix().partition("/")[2]: path.read_bytes() for path in part}
                 for part in paths)  # fmt: skip


@unix
@pytest.mark.slow
def test_labelling_is_killed_and_ends_as_if_not(tmp_path: Path) -> None:
    data = ["--data", "minicity:real?n=60", "--strategy", "dars", "--ratio", "0.3", "--prior", "minicity:game?n=60"]
    ours, whole = killed(tmp_path, 6, "anew", "label", str(CHECKPOINT), *data, "--out", "OUT")
    assert ours == whole and len([name for name in whole if name.endswith(".png")]) == 60


@unix
@pytest.mark.slow
def test_comparing_is_killed_and_ends_as_if_not(tmp_path: Path) -> None:
    rungs = ["--methods", "source-only", "dsc", "--protocol", "uda", "--seeds", "1", "--preset", "smoke"]
    data = ["--source", "minicity:game?n=16", "--target", "minicity:real?n=16", "--precision", "float32"]
    ours, whole = killed(tmp_path, 6, "--", "compare", *rungs, *data, "--out", "OUT")
    scores = [[(run["name"], run["miou"], run["iou"]) for run in json.loads(part["results.json"])["runs"]]
              for part in (ours, whole)]  # fmt: skip
    assert scores[0] == scores[1] and len(scores[0]) > 2
    models = [name for name in whole if name.endswith("model.safetensors")]
    for name in models:
        other = load(ours[name])
        assert all(torch.equal(other[key], value) for key, value in load(whole[name]).items())
    assert {name.partition("/")[0] for name in ours} == {name.partition("/")[0] for name in whole}


@unix
@pytest.mark.slow
def test_grading_is_killed_and_loses_no_points(tmp_path: Path) -> None:
    sys.path.insert(0, str(WORKER.with_name("assignments")))
    try:
        from small import hand_in, make_source
    finally:
        sys.path.pop(0)
    from minida.classroom.format import write

    source, handed = make_source(), tmp_path / "handed"
    handed.mkdir()
    (tmp_path / "source" / "small").mkdir(parents=True)
    write(source, tmp_path / "source" / "small" / "small.ipynb")
    for student in ("ann", "bo", "cy"):
        write(hand_in(source), handed / f"{student}.ipynb")
    table = "student,assignment,double-test,largest-test,words,total,of\n" + "".join(
        f"{student},small,,,{points},,\n" for student, points in (("ann", 1), ("bo", 2), ("cy", 0.5))
    )
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "grades.csv").write_text(table)
    places = ["--source", str(tmp_path / "source"), "--submissions", str(handed), "--out", "OUT"]
    ours, whole = killed(tmp_path, 5, "--", "assignment", "grade", "small", *places)
    assert ours == whole
    rows = list(csv.DictReader(whole["grades.csv"].decode().splitlines()))
    assert [(row["student"], row["words"]) for row in rows] == [("ann", "1"), ("bo", "2"), ("cy", "0.5")]
