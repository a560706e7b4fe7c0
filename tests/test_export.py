import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import minida
from minida import export
from minida.data import normalise
from minida.export import compare_labels, fold_batch_norm, for_inference, in_turns, to_onnx, write_onnx
from minida.latency import (
    UPSAMPLING_OPERATIONS,
    added_memory,
    convolution_flops,
    discriminator_costs,
    latency,
    table,
    work,
)  # fmt: skip
from minida.models import DISCRIMINATORS
from minida.storage import read_metadata

CHECKPOINT = Path(__file__).parents[1] / "assets" / "checkpoints" / "slim-real.safetensors"
CPU = torch.device("cpu")


def shaken(backbone, **options):
    """A network in evaluation mode whose batch norms do something."""
    torch.manual_seed(0)
    network = minida.BiSeNet(19, backbone, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.8)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def close(one, other):
    scale = other.abs().max().item()
    assert 1e-3 < scale < 1e4  # else the next line says nothing
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * scale)


@pytest.fixture(scope="module")
def trained():
    return minida.load(CHECKPOINT)


@pytest.fixture(scope="module")
def streets():
    city = minida.data.MiniCity("real", "val", (64, 128))
    return normalise(torch.stack([city.image(i) for i in range(3)]))


@pytest.mark.parametrize("backbone", ["slim", "resnet18", "resnet101"])
@torch.no_grad()
def test_folding_every_batch_norm_changes_no_output(backbone):
    network, images = shaken(backbone).train(), torch.randn(2, 3, 32, 64)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norm(network)
    assert norms(network) and not norms(folded)
    assert network.training and not folded.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    close(folded(images).logits, network.eval()(images).logits)


@pytest.mark.parametrize("backbone", ["slim", "resnet101"])  # both kinds of residual blocks
@torch.no_grad()
def test_deployed_form_in_float32_is_the_same_network_at_every_size(backbone):
    network = shaken(backbone, embedding=8)
    deployed = for_inference(network, CPU, "float32")
    for shape in ((1, 3, 32, 64), (1, 3, 50, 70), (2, 3, 32, 64)):
        images = torch.randn(shape)
        output = deployed(images)
        close(output.logits, network(images).logits)
        assert output.aux == () and output.embedding is None
        packed = [module for module in deployed.modules() if isinstance(module, export.PackedConvolution)]
        assert all(module.shape[0] == len(images) for module in packed)  # packed again for every shape
    assert not norms(deployed) and not any(p.requires_grad for p in deployed.parameters())
    assert network.embedding is not None and network.aux16 is not None


@torch.no_grad()
def test_deployed_form_without_pytorchs_private_functions(monkeypatch):
    network, images = shaken("slim"), torch.randn(1, 3, 32, 64)
    if torch.backends.mkldnn.is_available():
        packed = for_inference(network, CPU, "float32")
        assert any(isinstance(module, export.PackedConvolution) for module in packed.modules())
    monkeypatch.delattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    plain = for_inference(network, CPU, "float32")
    assert not any(isinstance(module, export.PackedConvolution) for module in plain.modules())
    close(plain(images).logits, network(images).logits)


@torch.no_grad()
def test_deployed_form_in_bfloat16_keeps_all_labels_but_near_ties(trained, streets):
    deployed = for_inference(trained, CPU, "bfloat16")
    logits = deployed(streets).logits
    assert logits.dtype == torch.bfloat16 and logits.shape == (3, 19, 64, 128)
    assert next(deployed.parameters()).dtype == torch.bfloat16
    found = compare_labels(trained, logits, streets)
    assert 0 < found["differ"] < 0.01 * found["pixels"]
    assert found["widest_gap"] < 0.15  # logits reach 20


@pytest.mark.parametrize("faster", [True, False])
def test_precision_is_what_the_device_is_faster_with(faster, monkeypatch):
    monkeypatch.setattr(export, "faster_in_bfloat16", lambda device: faster)
    dtype = next(for_inference(shaken("slim"), CPU).parameters()).dtype
    assert dtype == (torch.bfloat16 if faster else torch.float32)


def test_comparison_of_labels_by_hand():
    ours = torch.tensor([[5.0, 1.0, 2.0, 0.0], [1.0, 1.4, 2.0005, 3.0]])[None, :, None]  # (1, 2, 1, 4)
    other = torch.tensor([[5.0, 1.5, 2.1, 0.0], [1.0, 1.4, 2.0005, 3.0]])[None, :, None]  # two pixels change sides

    def model(images):
        return minida.SegmentationOutput(ours)

    found = compare_labels(model, other, torch.zeros(1))
    assert found == {"pixels": 4, "near_ties": 1, "differ": 2, "widest_gap": pytest.approx(0.4)}
    assert compare_labels(model, ours, torch.zeros(1))["widest_gap"] == 0


def test_ways_are_timed_in_turns_after_a_warm_up():
    calls = []
    ways = [lambda: calls.append("a"), lambda: calls.append("b")]
    assert in_turns(ways, CPU, repeats=7).shape == (7, 2)
    assert calls == ["a", "b"] * 9
    calls.clear()
    assert in_turns(ways, CPU, repeats=7, seconds=0).shape == (5, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the resident memory is read from /proc")
def test_memory_is_the_peak_that_a_pass_adds():
    kept = []
    big = added_memory(lambda: torch.ones(64 << 18).sum(), CPU)  # 64 MiB
    small = added_memory(lambda: kept.append(1), CPU)
    assert 60 << 20 < big < 80 << 20
    assert small < 8 << 20


def test_work_is_two_flops_a_multiply_add_of_the_convolutions():
    network, total = minida.BiSeNet(19, "resnet18").eval(), 0

    def count(module, inputs, output):
        nonlocal total
        total += 2 * output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 96))
    assert work(minida.BiSeNet(19, "resnet18", embedding=8), (64, 96)) == (12_054_042, total)


def test_latency_of_a_trained_and_of_an_untrained_network(trained):
    row = latency(trained, (64, 128), 2, repeats=6, name="mine")
    assert (row.network, row.size, row.batch, row.runs) == ("mine", (64, 128), 2, 6)
    for form in (row.deployed, row.plain):
        assert 0 < form.ms <= form.p95_ms
        assert form.images_per_second == pytest.approx(2000 / form.ms)
    assert row.ratio == pytest.approx(row.plain.ms / row.deployed.ms)
    assert 0 <= row.labels_differ < 0.01
    untrained = latency(minida.BiSeNet(19, "slim"), (32, 64), repeats=5)
    assert untrained.network == "slim" and untrained.labels_differ is None
    place, head, first, second = table([asdict(row), asdict(untrained)]).splitlines()
    assert place.startswith(row.device)
    assert len({len(line) for line in (head, first, second)}) == 1
    assert first.split()[:3] == ["mine", "64x128", "2"] and "376,498" in second


def test_table_two_of_the_report_in_both_conventions_and_with_times():
    fcd, dsc = discriminator_costs((64, 128), batch=2, width=64)
    assert (fcd["discriminator"], fcd["parameters"], fcd["batch"]) == ("fcd", 2_781_121, 2)
    assert (dsc["discriminator"], dsc["parameters"], dsc["size"]) == ("dsc", 189_424, (64, 128))
    for row in (fcd, dsc):
        assert row["flops_with_upsampling"] - row["flops"] == 22 * 64 * 128
        assert 0 < row["forward_ms"] < row["update_ms"], "an update is two passes forward, two back and a step"
    # the report's 30.89 and 2.147 at full size, counted without running anything
    large = {
        name: convolution_flops(lambda kind=kind: kind(), (1, 19, 512, 1024)) for name, kind in DISCRIMINATORS.items()
    }
    assert large == {"fcd": 30_878_466_048, "dsc": 2_135_425_024} and large["fcd"] > 14 * large["dsc"]
    assert round((large["fcd"] + UPSAMPLING_OPERATIONS * 512 * 1024) / 1e9, 2) == 30.89
    assert round((large["dsc"] + UPSAMPLING_OPERATIONS * 512 * 1024) / 1e9, 3) == 2.147


def test_what_is_timed_is_the_batch_in_the_precision_of_training(monkeypatch):
    def answers(ways, device):
        seen.extend((way().shape[0], way().dtype) for way in ways[::2])
        return np.ones((1, len(ways)))

    seen = []
    monkeypatch.setattr(minida.latency, "in_turns", answers)
    for mixed in (True, False):
        monkeypatch.setattr(minida.latency, "faster_in_bfloat16", lambda device, mixed=mixed: mixed)
        fcd, dsc = discriminator_costs((32, 64), batch=3, width=2)
        assert fcd["precision"] == dsc["precision"] and fcd["precision"].startswith("bfloat16" if mixed else "float32")
    assert seen == [(3, torch.bfloat16), *[(3, torch.float32)] * 3]


def test_an_update_is_timed_with_its_gradients(monkeypatch):
    steps = []
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: steps.append([p.grad for p in self.param_groups[0]["params"]])
    )
    discriminator_costs((32, 64), width=2)
    assert len(steps) >= 2 * 7 and all(grad is not None and grad.abs().sum() > 0 for grad in steps[0])


def test_a_network_of_one_class_has_no_second_best():
    network = minida.BiSeNet(1, "slim").eval()
    images = torch.randn(1, 3, 32, 64)
    assert compare_labels(network, network(images).logits, images)["differ"] == 0


def test_latency_refuses_what_it_cannot_measure(monkeypatch):
    network = minida.BiSeNet(19, "slim")
    with pytest.raises(ValueError, match="batch of 0"):
        latency(network, (64, 128), 0)
    with pytest.raises(ValueError, match="size"):
        latency(network, (0, 128))

    def full(*_):
        raise RuntimeError("can't allocate memory\nlong story")

    monkeypatch.setattr(minida.latency, "for_inference", full)
    with pytest.raises(ValueError, match=r"batch of 1 at 64x128 fails \(can't allocate memory\); choose less"):
        latency(network, (64, 128))


@pytest.fixture(scope="module")
def content(trained):
    """The ONNX file of a network that has a representation head too, which has no place in it."""
    network = minida.BiSeNet(19, "slim", embedding=8)
    network.load_state_dict(trained.state_dict(), strict=False)
    return to_onnx(network, read_metadata(CHECKPOINT), (64, 128))


def write(file, trained, image=None):
    return write_onnx(trained, read_metadata(CHECKPOINT), file, (64, 128), image)


def test_onnx_file_gives_the_same_labels_at_every_batch(content, trained, streets):
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    for batch in (streets[:1], streets):
        (logits,) = session.run(["logits"], {"image": batch.numpy()})
        with torch.no_grad():
            expected = trained(batch).logits
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-3)
        differ = logits.argmax(1) != expected.argmax(1).numpy()
        best = expected.topk(2, dim=1).values
        assert not (differ & (best[:, 0] - best[:, 1] > 1e-3).numpy()).any()


def test_onnx_file_says_what_it_is_and_nothing_about_the_machine(content):
    import onnx

    proto = onnx.load_from_string(content)
    stored = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert [output.name for output in proto.graph.output] == ["logits"]
    assert proto.producer_name == "minida" and stored["size"] == [64, 128]
    assert tuple(stored["class_names"]) == minida.CLASSES
    assert stored["mean"] == [0.485, 0.456, 0.406] and stored["std"] == [0.229, 0.224, 0.225]
    assert not any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    for folder in (Path(export.__file__).parent, Path(torch.__file__).parent):
        assert str(folder).encode() not in content


def test_written_onnx_file_is_checked_and_whole(content, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "to_onnx", lambda *_: content)
    found = write(tmp_path / "new" / "x.onnx", trained, torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["x.onnx"]
    assert found["bytes"] == (tmp_path / "new" / "x.onnx").stat().st_size
    assert found["labels"]["pixels"] == 64 * 128 and found["labels"]["widest_gap"] < 1e-3
    assert set(found["ms"]) == {"plain", "deployed", "onnxruntime"} and min(found["ms"].values()) > 0


def test_onnx_file_with_other_labels_is_refused(content, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "to_onnx", lambda *_: content)
    right = export.open_onnx(content)

    def wrong(images):
        logits = right(images)
        logits[0, :, 5, 7] *= -1
        return logits

    monkeypatch.setattr(export, "open_onnx", lambda _: wrong)
    (tmp_path / "x.onnx").write_text("the one from before")
    with pytest.raises(ValueError, match=r"x\.onnx is not written: 1 of 8192 labels differ"):
        write(tmp_path / "x.onnx", trained)
    assert (tmp_path / "x.onnx").read_text() == "the one from before"
    assert len(list(tmp_path.iterdir())) == 1


def test_onnx_without_its_packages(content, trained, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(ValueError, match=r"pip install onnx onnxscript onnxruntime"):
            write(tmp_path / "x.onnx", trained)
    monkeypatch.setattr(export, "to_onnx", lambda *_: content)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = write(tmp_path / "x.onnx", trained)
    assert found["labels"] is None and found["ms"] is None
    assert (tmp_path / "x.onnx").read_bytes() == content


def test_onnx_file_that_cannot_be_written(content, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "to_onnx", lambda *_: content)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="x.onnx"):
        write(tmp_path / "file" / "x.onnx", trained)
