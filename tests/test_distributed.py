"""Two processes are one. Judged by what they wrote: gloo sometimes aborts at exit, after the work is done."""

import itertools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import minida
from minida import distributed

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WORKER = Path(__file__).with_name("two_processes.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parents[1])}


def start(way: str, folder: Path, processes: int = 2) -> subprocess.CompletedProcess:
    command = [sys.executable]
    if processes > 1:  # a free port is chosen, so that two tests never meet
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [str(WORKER), way, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)


def both(way: str, folder: Path) -> tuple[dict, dict, dict]:
    """What each of two processes found, and what one alone finds."""
    (folder / "one").mkdir()
    answer, alone = start(way, folder), start(way, folder / "one", 1)
    files = [folder / f"{way}-0.json", folder / f"{way}-1.json", folder / "one" / f"{way}-alone.json"]
    assert all(file.exists() for file in files), answer.stderr + alone.stderr
    return tuple(json.loads(file.read_text()) for file in files)


def test_without_a_group_there_is_one_process() -> None:
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    value = torch.tensor([2.0])
    assert distributed.total(value) is value and distributed.average(value) == 2
    assert distributed.any_process(True, False) == [True, False] and distributed.broadcast("x") == "x"
    with distributed.process_group():
        assert not distributed.active()


def test_every_part_of_the_engine(tmp_path: Path) -> None:
    first, second, alone = both("parts", tmp_path)
    assert first["total"] == second["total"] == [2, 21] and alone["total"] == [1, 10]
    assert first["counts"] == [[3, 3], [3, 3]] and first["any"] == second["any"] == [True, False]
    assert second["broadcast"] == {"from": 0}
    # the mean over all pixels, although one process holds most of the labelled ones
    assert first["mean"] == second["mean"] == pytest.approx(alone["loss"], abs=1e-6)
    assert abs(first["loss"] - second["loss"]) > 0.1
    assert (
        len(first["images"]) == 2
        and [*first["images"], *second["images"]] == alone["images"][::2] + alone["images"][1::2]
    )
    # U2PL's anchors and negatives are the first of both processes
    assert first["contrast"] == second["contrast"]
    for ours, single in zip(first["contrast"], alone["contrast"], strict=True):
        assert ours == pytest.approx(single, abs=1e-5) and single[0] > 0.3
    assert max(alone["contrast"][-1][-6:]) > 20, "some queue has gone round"
    # 13 images: shares of 7 and 6, none counted twice
    assert first["confusion"] == second["confusion"] == alone["confusion"]
    assert sum(map(sum, alone["confusion"])) == 13 * 32 * 64 and first["miou"] == alone["miou"]
    assert first["running mean"] == second["running mean"] == [0.5, 0.5]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    first, second, alone = both("training", tmp_path)
    ours, single = (load_file(folder / "plain" / "model.safetensors") for folder in (tmp_path, tmp_path / "one"))
    torch.manual_seed(0)
    untrained = minida.BiSeNet(19, "slim").state_dict()
    assert max((single[key] - untrained[key]).abs().max() for key in single) > 1e-3
    for key, value in single.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-5)
    for file in ("model.safetensors", "discriminator.safetensors"):
        ours, single = (load_file(folder / "adversarial" / file) for folder in (tmp_path, tmp_path / "one"))
        for key, value in single.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-5)
    torch.manual_seed(0)
    untrained = minida.FCDiscriminator(19, 8).state_dict()
    assert max((single[key] - untrained[key]).abs().max() for key in single) > 1e-3
    for run, file in itertools.product(("u2pl", "mpl-meta", "mpl-product"), ("model", "teacher")):
        ours, single = (load_file(folder / run / f"{file}.safetensors") for folder in (tmp_path, tmp_path / "one"))
        for key, value in single.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-5, msg=f"{run} {file} {key}")
    histories = [
        (folder / "u2pl" / "history.jsonl").read_text().splitlines() for folder in (tmp_path, tmp_path / "one")
    ]
    for ours, single in zip(*(map(json.loads, lines) for lines in histories), strict=True):
        for term in ("supervised", "unsupervised", "contrastive"):
            assert ours[term] == pytest.approx(single[term], abs=1e-4) and single[term] > 0.01
    for mine, theirs, one in zip(first["history"], second["history"], alone["history"], strict=True):
        assert mine["loss"] == theirs["loss"] == pytest.approx(one["loss"], abs=1e-4)
        assert mine.get("miou") == theirs.get("miou")
    # with batch norm: process 0's folder for both, and one set of statistics
    assert first["folder"] == second["folder"] and not (tmp_path / "normed-1").exists()
    assert first["statistics"] == second["statistics"]
    assert json.loads((tmp_path / "plain" / "result.json").read_text())["processes"] == 2


def test_two_processes_label_as_one_and_learn_from_it(tmp_path: Path) -> None:
    first, second, alone = both("labelling", tmp_path)
    assert (first["share"], second["share"], alone["share"]) == (4, 3, 7)  # batches of 2 of 7, 6 and 13 images
    ours, single = (np.load(folder / "labels.npy") for folder in (tmp_path, tmp_path / "one"))
    assert 0.04 < (single != minida.IGNORE).mean() < 0.6
    np.testing.assert_array_equal(ours, single)
    assert first["last"] == second["last"] == single[12].tolist() and first["images"] == second["images"] == 13
    assert first["quality"] == second["quality"] == alone["quality"] and alone["quality"]["images"] == 13
    names = [[file.name for file in sorted((folder / "pngs").iterdir())] for folder in (tmp_path, tmp_path / "one")]
    assert names[0] == names[1] == [*(f"{number:05d}.png" for number in range(13)), "quality.json"]
    for name in names[0]:
        assert (tmp_path / "pngs" / name).read_bytes() == (tmp_path / "one" / "pngs" / name).read_bytes()
    assert (first["single"], second["single"], alone["single"]) == (1, 0, 1)  # nobody waits for who has none
    for mine, theirs, one in zip(first["history"], second["history"], alone["history"], strict=True):
        assert mine["loss"] == theirs["loss"] == pytest.approx(one["loss"], abs=1e-4)
        assert ("pseudo" in mine) == (mine["step"] > 3)
    # the teachers differ by rounding, so a pixel at a threshold may fall on its other side
    ours, single = (np.load(folder / "dars" / "pseudo-labels-1.npy") for folder in (tmp_path, tmp_path / "one"))
    assert (ours == single).mean() > 0.999
    ours, single = (load_file(folder / "dars" / "model.safetensors") for folder in (tmp_path, tmp_path / "one"))
    for key, value in single.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("way", "line"),
    [
        ("error", "minida: images/007.png: cannot be read; copy it again (process 1 of 2)"),
        ("killed", "minida: another process of this run has ended; see its message, then start all of them again"),
    ],
)
def test_a_failing_process_ends_all_with_one_message(tmp_path: Path, way: str, line: str) -> None:
    answer = start(way, tmp_path)
    assert answer.returncode != 0
    said = [text for text in answer.stderr.splitlines() if "minida: " in text]
    assert len(said) == 1 and said[0].startswith(line), answer.stderr


def test_interrupted_together_and_resumed_by_one(tmp_path: Path) -> None:
    answer, folder = start("stopped", tmp_path), tmp_path / "stopped"
    said = [text for text in answer.stderr.splitlines() if "minida: " in text]
    assert len(said) == 1 and said[0].startswith("minida: stopped after step "), answer.stderr
    step = torch.load(folder / "checkpoint.pt", weights_only=True)["step"]
    assert 3 <= step < 60 and f"step {step};" in said[0]
    options = {"source": "minicity:real?n=13", "batch_size": 4, "steps": 60, "precision": "float32", "progress": False}
    result = minida.train("supervised", "smoke", out=folder, resume=True, **options)
    assert [record["step"] for record in result.history] == list(range(1, 61))


def command_for_two_machines() -> list[str]:
    """The words of notebook 08's command."""
    notebook = json.loads((NOTEBOOKS / "08-the-ladder.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    (command,) = re.findall(r"```\n(torchrun --nnodes 2 .*?)\n```", "\n".join(texts), re.S)
    return command.replace("\\\n", " ").split()


def test_the_command_for_two_machines_trains_and_labels_as_one_process(tmp_path: Path) -> None:
    """Notebook 08's own command, started twice here: two process groups that meet at HOST, and a folder both see."""
    small = {"source": "minicity:game?n=8", "batch_size": 4, "steps": 2, "precision": "float32", "progress": False}
    minida.train("supervised", "smoke", out=tmp_path / "dsc", **small)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words, ours = command_for_two_machines(), tmp_path / "mpt"
    here = {
        "4": "1", "HOST:29500": f"127.0.0.1:{port}", "gpu": "smoke", "gta5:DIR": small["source"],
        "cityscapes:DIR": "minicity:real?n=7", "runs/dsc": str(tmp_path / "dsc"), "runs/mpt": str(ours),
    }  # fmt: skip
    assert here.keys() <= set(words)
    command = [sys.executable, "-m", "torch.distributed.run", *(here.get(word, word) for word in words[1:])]
    command += ["--batch-size", "4", "--precision", "float32"]
    machines = [
        subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [machine.communicate(timeout=240)[0] for machine in machines]
    assert (ours / "result.json").exists(), said
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert json.loads((ours / "result.json").read_text())["processes"] == 2
    known = {**small, "target": here["cityscapes:DIR"], "init": tmp_path / "dsc", "steps": 4}
    alone = minida.train("pseudo", "smoke", out=tmp_path / "alone", **known)
    assert load_file(ours / "model.safetensors").keys() == alone.model.state_dict().keys()
    names = [sorted(file.name for file in folder.glob("*.npy")) for folder in (ours, tmp_path / "alone")]
    assert names[0] == names[1] != []
    for name in names[0]:
        np.testing.assert_array_equal(np.load(ours / name), np.load(tmp_path / "alone" / name))


def test_a_batch_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    from minida.distributed import check_batch_size

    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    check_batch_size(8)
    for wrong in (6, 4):
        with pytest.raises(ValueError, match=f"batch_size {wrong} for 4 processes"):
            check_batch_size(wrong)
