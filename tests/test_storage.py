"""What is on disk is whole or was never there, and what is wrong with a file is said in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import minida
from minida import storage
from minida.runs import RunFolder
from minida.storage import (
    StorageError,
    initialise,
    load_discriminator,
    read_metadata,
    save_model,
    save_part,
    write_atomically,
)  # fmt: skip
from minida.types import CITYSCAPES, ClassTable

ROOT = Path(__file__).parents[1]
TINY = {"source": "minicity:real?n=8", "precision": "float32", "progress": False}
THREE = ClassTable(("road", "car", "sky"), np.zeros((3, 3), np.uint8), (0, 1, 2))


def model_file(path: Path, table: ClassTable = CITYSCAPES, backbone: str = "slim", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    c = len(table.names)
    save_model(path, minida.BiSeNet(c, backbone), table, np.full(c, 1 / c), (64, 128))
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_file(tmp_path_factory.mktemp("model") / "good.safetensors")


def rewritten(good: Path, path: Path, **changes: object) -> Path:
    """A copy of a model file with other metadata; None leaves a field out."""
    with storage.safe_open(good, framework="pt") as tensors:
        stored = {**tensors.metadata(), **{key: json.dumps(value) for key, value in changes.items()}}
    stored = {key: value for key, value in stored.items() if changes.get(key, "") is not None or key == "embedding"}
    save_file(load_file(good), path, stored)
    return path


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("before")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed\nand more")

    with pytest.raises(StorageError, match=r"kept\.txt: cannot be written \(Pytorch.*failed\); free some disk space"):
        write_atomically(file, half)
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]


LIMITED = """
import resource, sys
import minida.__main__
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # a disk with no more room than this for a file
sys.exit(minida.__main__.main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on a file's size is a Unix one")
def test_a_full_disk_ends_a_run_with_one_line_and_the_run_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["train", "supervised", "--preset", "smoke", "--source", TINY["source"], "--out", str(folder), "--json"]
    command = [sys.executable, "-c", LIMITED, *arguments]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 2 and answer.stderr.count("\n") == 1, answer.stderr
    assert f"minida: {folder / 'checkpoint.pt'}: cannot be written (" in answer.stderr
    assert "free some disk space, or choose a folder you may write to" in answer.stderr
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "config.json", "history.jsonl"]
    result = minida.train("supervised", "smoke", out=folder, resume=True, source=TINY["source"], progress=False)
    assert len(result.history) == 4


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        StorageError, match=r"file/run: cannot be written \(Not a directory\); a file is where a folder"
    ):
        minida.train("supervised", "smoke", out=tmp_path / "file" / "run", **TINY)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if not os.access(closed, os.W_OK):  # root may write everywhere
        with pytest.raises(StorageError, match=r"run: cannot be written \(Permission denied\)"):
            minida.train("supervised", "smoke", out=closed / "run", **TINY)


def test_two_processes_cannot_share_a_run_folder(tmp_path: Path) -> None:
    """The second one is refused, also one that resumes; a killed holder leaves the folder free."""
    hold = "import sys, minida.runs as s\nwith s.RunFolder(sys.argv[1]).lock(): print('held', flush=True); input()"
    command = [sys.executable, "-c", hold, str(tmp_path)]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        for resume in (False, True):
            with pytest.raises(ValueError, match="is in use by another process; wait for it, or choose another folder"):
                minida.train("supervised", "smoke", out=tmp_path, resume=resume, **TINY)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    finally:
        holder.kill()
        holder.wait()
    (tmp_path / ".checkpoint.pt.1.part").write_text("what a killed writer left")
    with RunFolder(tmp_path).lock():
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_model_file_is_readable_by_others_and_halves(good: Path) -> None:
    plain = good.with_name("plain")
    plain.write_text("")
    assert good.stat().st_mode == plain.stat().st_mode
    metadata = read_metadata(good)
    assert metadata.class_names == minida.CLASSES and metadata.size == (64, 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "vgg"}, "backbone is 'vgg', expected one of resnet18, resnet101, slim"),
        ({"num_classes": 10**12}, "num_classes is 1000000000000, expected 1 to 255"),
        ({"num_classes": "many"}, "num_classes is 'many', expected 1 to 255"),
        ({"num_classes": 18}, "class_names is .*, expected 18 names"),
        ({"class_frequency": [0.5, 0.5]}, "class_frequency is .*, expected 19 shares"),
        ({"size": [64]}, r"size is \(64,\), expected a height and a width"),
        ({"size": [64, -1]}, r"size is \(64, -1\), expected a height and a width"),
        ({"embedding": 0}, "embedding is 0, expected null or a width"),
        ({"backbone": None}, "missing 1 required positional argument: 'backbone'"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_wrong_metadata_is_refused(good: Path, tmp_path: Path, changes: dict, message: str) -> None:
    file = rewritten(good, tmp_path / "wrong.safetensors", **changes)
    with pytest.raises(ValueError, match=rf"wrong\.safetensors: damaged model file \(.*{message}.*\); train again"):
        minida.load(file)


def test_tensors_that_do_not_fit_are_refused(good: Path, tmp_path: Path) -> None:
    with storage.safe_open(good, framework="pt") as tensors:
        stored, state = tensors.metadata(), load_file(good)
    missing = {key: value for key, value in state.items() if key != "head.bias"}
    turned = {**state, "head.weight": state["head.weight"][:, :5].contiguous()}
    for wrong, part in ((missing, 'Missing key.*"head.bias"'), (turned, "size mismatch for head.weight")):
        save_file(wrong, tmp_path / "wrong.safetensors", stored)
        with pytest.raises(ValueError, match=rf"its tensors do not fit a slim BiSeNet: .*{part}"):
            minida.load(tmp_path / "wrong.safetensors")
    save_file(state, tmp_path / "foreign.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="not a minida model; expected a file that minida train wrote"):
        minida.load(tmp_path / "foreign.safetensors")
    whole = good.read_bytes()
    for length in (0, 7, 500, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut.safetensors: damaged model file"):
            minida.load(tmp_path / "cut.safetensors")


def test_checkpoints_run_no_code_and_damage_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    minida.train("supervised", "smoke", out=tmp_path, **TINY)

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    torch.save({"method": Trap()}, folder.checkpoint)
    with pytest.raises(ValueError, match=r"checkpoint\.pt: cannot be read .*; delete the run and start again"):
        minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)
    assert not (tmp_path / "trapped").exists()
    torch.save({"step": 3, "method": {"networks": {}}}, folder.checkpoint)
    with pytest.raises(ValueError, match=r"checkpoint\.pt: does not fit this run .*; delete the run"):
        minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)
    folder.config.write_text('{"method": "super')
    for _ in range(2):  # damaged, then missing
        with pytest.raises(ValueError, match=r"config\.json: damaged .*; delete the run and start again"):
            minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)
        folder.config.unlink(missing_ok=True)


def test_init_takes_all_weights_where_the_classes_are_the_same(good: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    model, stored = minida.BiSeNet(19, "slim"), load_file(good)
    assert initialise(model, good, CITYSCAPES) == f"initial weights: all of {good}"
    assert all(torch.equal(value, stored[key]) for key, value in model.state_dict().items())


def test_init_keeps_the_body_and_new_heads_for_other_classes(good: Path) -> None:
    torch.manual_seed(7)
    model, stored = minida.BiSeNet(3, "slim"), load_file(good)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    said = initialise(model, good, THREE)
    assert said.endswith("the heads are new, because it has 19 classes, this run 3 others")
    for key, value in model.state_dict().items():
        kept = key.startswith(("spatial_path", "context_path", "refine16", "refine32"))
        assert torch.equal(value, stored[key] if kept else before[key]), key


def test_init_compares_names_not_numbers_and_refuses_another_backbone(tmp_path: Path) -> None:
    three, model = model_file(tmp_path / "three.safetensors", THREE), minida.BiSeNet(3, "slim")
    others = ClassTable(("road", "car", "tree"), THREE.palette, THREE.ids)
    assert "the heads are new" in initialise(model, three, others)
    with pytest.raises(ValueError, match="has backbone slim, this run resnet18; choose backbone=slim, or another init"):
        initialise(minida.BiSeNet(3, "resnet18"), three, THREE)
    with pytest.raises(ValueError, match="choose one of both"):
        minida.train("supervised", "smoke", init=str(three), weights="imagenet", **TINY)


def test_training_starts_from_init_says_so_and_resumes_without_it(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, start = "minicity:real?n=8", tmp_path / "start.safetensors"
    start.write_bytes(good.read_bytes())
    options = {
        "source": source,
        "init": str(start),
        "precision": "float32",
        "lr": 1e-9,
        "steps": 2,
        "weight_decay": 0.0,
    }
    result = minida.train("supervised", "smoke", out=tmp_path / "run", **options)
    assert f"initial weights: all of {start}" in capsys.readouterr().err
    stored = load_file(good)
    for key, value in result.model.named_parameters():
        torch.testing.assert_close(value, stored[key], rtol=0, atol=1e-6)
    start.unlink()
    again = minida.train("supervised", "smoke", out=tmp_path / "run", resume=True, **options)
    assert again.report.miou == pytest.approx(result.report.miou)


@pytest.mark.parametrize("kind", [minida.FCDiscriminator, minida.DSCDiscriminator])
def test_a_discriminators_shapes_say_what_it_is(tmp_path: Path, kind: type) -> None:
    network, file = kind(3, 5), tmp_path / "discriminator.safetensors"
    save_part(file, network)
    for path in (file, tmp_path):
        found = load_discriminator(path)
        assert type(found) is kind and (found.num_classes, found.width) == (3, 5) and not found.training
        for key, value in network.state_dict().items():
            assert torch.equal(found.state_dict()[key], value)


def test_what_holds_no_discriminator_is_one_line(good: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no discriminator there; expected the folder of a finished adversarial run"):
        load_discriminator(tmp_path / "nothing")
    file = tmp_path / "discriminator.safetensors"
    other = minida.DSCDiscriminator(3, 5)
    del other.layers[4]
    save_part(tmp_path / "short.safetensors", other)
    for content in (b"rubbish", good.read_bytes(), (tmp_path / "short.safetensors").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="holds no discriminator") as caught:
            load_discriminator(tmp_path)
        assert "\n" not in str(caught.value) and str(file) in str(caught.value)
