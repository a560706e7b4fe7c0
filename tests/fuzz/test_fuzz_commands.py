"""Command lines: words that are odd, misplaced, missing or doubled, for every verb; its work itself is left out."""

import json
import platform
import shlex
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import tqdm
from harness import Case, campaign
from mutations import ODD_TEXTS, spoil_text
from PIL import Image
from test_fuzz_classroom import NAME, Nobody
from test_fuzz_results import RESULTS
from trees import LAYOUTS, write_tree

import minida
from minida import __main__ as program
from minida.classroom import grading
from minida.storage import save_model
from minida.types import CITYSCAPES

WRITTEN = ("--out", "--onnx")  # options that name what is written
LINES = [
    "train supervised --preset smoke --source minicity:real?n=8 --steps 1 --out run --json",
    "train dars --preset smoke --source folder:tree --target folder:tree --strategy st --ratio 0.2,0.5 --out run",
    "train adversarial --preset smoke --discriminator fcd --discriminator-width 4 --lambda-adv 0.1 --out run --resume",
    "train u2pl --preset smoke --alpha 0.2,0 --embedding 8 --bank 9 --no-cutmix --seed 3 --out run",
    "train mpl --preset smoke --feedback product --growth 2 --consistency cutmix --student scratch --out run",
    "train supervised --backbone slim --size 32x64 --lr 0.1 --scale 0.5,2 --labeled 1/8 --crops coarse2fine --out run",
    "train supervised --backbone slim --init model.safetensors --optimizer adam --batch-size 2 --workers 0 --out run",
    "train self-training --preset smoke --batch-size 4 --teacher model.safetensors --mix 3 --rounds 2 --strength 1,2",
    "evaluate model.safetensors --data minicity:real?n=8 --split val --size 32x64 --json",
    "predict model.safetensors street.png --out predictions --size 32x64",
    "label model.safetensors --data minicity:real?n=8 --strategy dars --ratio 0.2 --seed 1 --flip --out labels",
    "label model.safetensors --data minicity:real?n=8 --strategy mpt --cap 0.9 --prior minicity:game?n=4 --out labels",
    "bench slim model.safetensors --size 32x64 64x96 --batch 1 2 --repeats 5",
    "export model.safetensors --onnx model.onnx --size 32x64 --image street.png",
    "compare --preset notebook --protocol uda --methods dsc mpt --seeds 1 --known results.json --out ladder --plan",
    "compare --preset smoke --size 32x64 --steps 2 --batch-size 2 --out ladder --plan --json",
    f"assignment check {NAME}.ipynb --seconds 5",
    f"assignment release {NAME} --out released",
    f"assignment grade {NAME} --submissions handed-in --out marks",
    f"assignment feedback {NAME} --out marks --json",
    "info --data folder:tree --split train --json",
    "info --data minicity:real?n=8",
]


class Done(Exception):
    """The words were understood, and the work would begin."""


def begin(*_: Any, **__: Any) -> None:
    raise Done


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one good thing of each kind; what trains, times and infers only says that it began."""
    desk = tmp_path / "inside" / "desk" / "deep" / "down"
    write_tree(desk / "tree", LAYOUTS["folder"])
    torch.manual_seed(0)
    save_model(desk / "model.safetensors", minida.BiSeNet(19, "slim"), CITYSCAPES, np.full(19, 1 / 19), (32, 64))
    Image.new("RGB", (36, 20)).save(desk / "street.png")
    (desk / "results.json").write_text(json.dumps(RESULTS))
    source = program.minida.__path__[0] + f"/../notebooks/assignments/source/{NAME}/{NAME}.ipynb"
    for place in (desk / f"{NAME}.ipynb", desk / "handed-in" / "ada.ipynb"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(Path(source).read_bytes())
    for name, value in {"HOME": str(tmp_path / "inside"), "MINIDA_CACHE": str(tmp_path / "inside/cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(desk)
    start = tqdm.std.tqdm.__init__
    monkeypatch.setattr(tqdm.std.tqdm, "__init__", lambda *bar, **options: start(*bar, **{**options, "disable": True}))
    platform.processor()  # Python asks a program for that, once
    monkeypatch.setattr(minida.trainer.Trainer, "run", begin)
    for name in ("predict_files", "label_dataset", "latency", "write_onnx"):
        monkeypatch.setattr(program, name, begin)
    monkeypatch.setattr(program.ladder, "climb", begin)
    monkeypatch.setattr(minida, "evaluate", begin)
    monkeypatch.setattr(grading, "Student", Nobody)
    return tmp_path


def spoil_words(rng: Random, words: list[str]) -> list[str]:
    """One or two words changed, lost, doubled, moved, or from another command line."""
    for _ in range(rng.choice((1, 1, 2))):
        place, kind = rng.randrange(len(words)), rng.randrange(8)
        if kind < 3:
            words[place] = spoil_text(rng, words[place])
        elif kind == 3:
            words[place] = rng.choice(ODD_TEXTS)
        elif kind == 4 and len(words) > 1:
            del words[place]
        elif kind == 5:
            words.insert(place, rng.choice((*ODD_TEXTS, *shlex.split(rng.choice(LINES)))))
        elif kind == 6:
            words.append(words[place])
        else:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
    written = [i for i, word in enumerate(words) if word.startswith("/") and words[i - 1] in WRITTEN]
    for i in written:  # nothing is written elsewhere on this machine
        words[i] = words[i].strip("/") or "run"
    return words


def test_command_lines(desk: Path, capsys: pytest.CaptureFixture) -> None:
    def case(rng: Random, inside: Path) -> Case:
        words = shlex.split(rng.choice(LINES))
        words = spoil_words(rng, words) if rng.random() < 0.97 else words

        def run() -> str:
            capsys.readouterr()
            sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own
            try:
                code = program.main(words)
            except Done:
                return "begun"
            except SystemExit as stop:
                code = stop.code
            shown = capsys.readouterr()
            assert code in (0, 1, 2), code
            if code == 2:
                lines = shown.err.strip("\n")
                assert lines.startswith("minida"), lines[:300]
                raise ValueError(lines)
            if "--json" in words and shown.out.startswith("{"):
                json.loads(shown.out, parse_constant=pytest.fail)
            return str(code)

        return shlex.join(words), run

    campaign("command lines", case, desk, names=("minida",))


def test_the_good_lines_are_good(desk: Path, capsys: pytest.CaptureFixture) -> None:
    for line in LINES:
        try:
            assert program.main(shlex.split(line)) == 0, (line, capsys.readouterr().err)
        except Done:
            assert "minida:" not in capsys.readouterr().err, line
