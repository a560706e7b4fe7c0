"""Model files: safetensors with damaged bytes, headers, metadata and tensors; and backbone weights of torch.save."""

import io
import json
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
import torch
from harness import Case, campaign
from mutations import ODD_VALUES, spoil_bytes, spoil_json, spoil_value
from safetensors.torch import save

import minida
from minida.models.bisenet import load_body
from minida.storage import halve, initialise, load_discriminator, model_file, read_metadata, save_model, save_part
from minida.types import ClassTable

THREE = ClassTable(("road", "car", "sky"), np.zeros((3, 3), np.uint8), (0, 1, 2))
NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e38)
KINDS = (torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16, torch.int32)


class Trap:
    """Unpickling it leaves a file: nobody may."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("unpickled"),))


class Good(NamedTuple):
    content: bytes
    header: dict  # of the file, as JSON
    body: bytes


def taken_apart(path: Path) -> Good:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return Good(content, json.loads(content[8 : 8 + length]), content[8 + length :])


def put_together(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Good:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "good.safetensors"
    save_model(path, minida.BiSeNet(3, "slim"), THREE, np.full(3, 1 / 3), (32, 64))
    return taken_apart(path)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Good:
    path = tmp_path_factory.mktemp("judge") / "good.safetensors"
    save_part(path, minida.DSCDiscriminator(3, 4))
    return taken_apart(path)


def spoil_metadata(rng: Random, good: Good) -> bytes:
    """A file whose metadata are odd: a field's JSON, the texts themselves, or one field more or less."""
    stored = dict(good.header["__metadata__"])
    for name in rng.sample(list(stored), rng.choice((1, 1, 2))):
        plain = stored[name] if name == "format" else json.loads(stored[name])
        stored[name] = rng.choice((json.dumps(spoil_value(rng, plain)), json.dumps(rng.choice(ODD_VALUES))))
        if rng.random() < 0.2:
            stored[name] = spoil_json(rng, plain).decode("utf-8", "replace")
        if rng.random() < 0.1:
            stored[name if rng.random() < 0.3 else f"{name}_2"] = stored.pop(name)
    odd = rng.choice((None, [], "x", {"a": 1})) if rng.random() < 0.05 else stored
    return put_together(json.dumps({**good.header, "__metadata__": odd}).encode(), good.body)


def spoil_file(rng: Random, good: Good) -> bytes:
    """Damaged bytes, a damaged header, or other tensors than there should be."""
    kind = rng.randrange(5)
    if kind == 0:
        return spoil_bytes(rng, good.content, rng.choice((8, 2000, 20000, None)))
    if kind == 1:
        name = rng.choice([name for name in good.header if name != "__metadata__"])
        entry = {**good.header, name: spoil_value(rng, good.header[name])}
        return put_together(json.dumps(entry).encode(), good.body)
    if kind == 2:
        return put_together(spoil_json(rng, good.header), good.body)
    return spoil_tensors(rng, good)


def tensors_of(good: Good) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(good.content)


def spoil_tensors(rng: Random, good: Good) -> bytes:
    state = tensors_of(good)
    for name in rng.sample(list(state), rng.choice((1, 1, 2))):
        value, kind = state[name], rng.randrange(6)
        if kind == 0 and value.is_floating_point():
            value = value.clone()
            value.view(-1)[rng.randrange(value.numel())] = rng.choice(NUMBERS)
        elif kind == 1:
            value = value.to(rng.choice(KINDS))
        elif kind == 2:
            value = value.reshape(-1) if value.ndim > 1 else value[None]
        elif kind == 3:
            value = torch.zeros(rng.choice(((0,), (1,), (2, 2), (3, 1, 1), ())))
        elif kind == 4:
            state[f"{name}.more"] = value.clone()
        else:
            del state[name]
            continue
        state[name] = value.contiguous()
    return save(state, good.header.get("__metadata__"))


def works(network: minida.BiSeNet) -> list:
    """A network that was taken for good has weights that are numbers, on the CPU, in float32."""
    state = network.state_dict()
    assert all(value.device.type == "cpu" for value in state.values())
    assert {value.dtype for value in state.values()} <= {torch.float32, torch.int64}
    return [state, all(bool(value.isfinite().all()) for value in state.values()) or float("nan")]


def test_model_metadata(model: Good, tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_metadata(rng, model) if rng.random() < 0.7 else spoil_file(rng, model)
        path = inside / "x.safetensors"
        path.write_bytes(content)

        def read() -> object:
            found = read_metadata(path)
            assert 1 <= found.num_classes <= 255 and len(found.class_names) == found.num_classes
            assert all(type(side) is int and side > 0 for side in found.size) and len(found.size) == 2
            assert abs(sum(found.class_frequency)) <= found.num_classes
            return found

        return repr(content[:200]), read

    campaign("model metadata", case, tmp_path, names=("x.safetensors",))


def test_model_files(model: Good, tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_metadata(rng, model) if rng.random() < 0.3 else spoil_file(rng, model)
        path = inside / "x.safetensors"
        path.write_bytes(content)
        return repr(content[:200]), lambda: works(minida.load(path))

    campaign("model files", case, tmp_path, names=("x.safetensors",))


def test_discriminators(judge: Good, tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_file(rng, judge)
        path = inside / "discriminator.safetensors"
        path.write_bytes(content)
        return repr(content[:200]), lambda: works(load_discriminator(rng.choice((path, inside))))

    campaign("discriminators", case, tmp_path, names=("discriminator.safetensors",))


def test_halved_and_initial(model: Good, tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_metadata(rng, model) if rng.random() < 0.5 else spoil_file(rng, model)
        path = inside / "model.safetensors"
        path.write_bytes(content)

        def use() -> list:
            if rng.random() < 0.5:
                halve(path, inside / "half.safetensors")
                return works(minida.load(inside / "half.safetensors"))
            network = minida.BiSeNet(3, "slim")
            assert model_file(inside) == path and initialise(network, inside, THREE).startswith("initial weights")
            return works(network)

        return repr(content[:200]), use

    campaign("halved and initial", case, tmp_path, names=("model.safetensors", "half.safetensors", str(tmp_path)))


def saved(value: object, old: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


def spoil_zip(rng: Random, content: bytes) -> bytes:
    """The same archive with one member spoiled, and checksums that fit; or with a member that leads out of it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        spoiled = rng.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, spoil_bytes(rng, data) if name == spoiled else data)
        if rng.random() < 0.3:
            new.writestr(rng.choice(("../../outside/more", "/other/more", "a" * 300, "archive/../x")), b"x")
    return file.getvalue()


def test_backbone_weights(tmp_path: Path) -> None:
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2))
    state = dict(body.state_dict())

    def case(rng: Random, inside: Path) -> Case:
        kind, path = rng.choice(("value", "value", "zip", "bytes", "trap", "numbers")), inside / "body.pth"
        if kind == "value":
            content = saved(rng.choice((spoil_value(rng, state), rng.choice(ODD_VALUES), {"state": state}, [state])))
        elif kind == "trap":
            content = saved(rng.choice((Trap(), {**state, "0.bias": Trap()}, body)), old=rng.random() < 0.5)
        elif kind == "numbers":
            spoiled = {**state, "0.bias": rng.choice((torch.tensor([1.0, rng.choice(NUMBERS)]), torch.ones(2).bool()))}
            content = saved(spoiled)
        else:
            content = saved(state, old=kind == "bytes" and rng.random() < 0.5)
            content = spoil_zip(rng, content) if kind == "zip" else spoil_bytes(rng, content)
        path.write_bytes(content)

        def use() -> list:
            network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2))
            load_body(network, str(path))
            return [network.state_dict()]

        return f"{kind}, {len(content)} bytes", use

    campaign("backbone weights", case, tmp_path, names=("body.pth",))
    assert not Path("unpickled").exists()
