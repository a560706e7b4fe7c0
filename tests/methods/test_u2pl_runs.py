"""What U2PL's configuration means, and that a run resumes with its memory and keeps its teacher."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

import minida
from minida.methods import METHODS, U2PL, configure

TINY = {"source": "minicity:game?n=8", "target": "minicity:real?n=8", "size": (32, 64), "precision": "float32"}
TINY |= {"progress": False, "embedding": 8, "bank": 60, "eval_every": 100}


def same(network, other):
    """Whether two networks are equal to the last bit, running averages included."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(value, wanted) for value, wanted in pairs)


@pytest.mark.parametrize(("protocol", "expected"), [("uda", "target"), ("ssl", "joint")])
def test_its_defaults(protocol, expected):
    share = {"labeled": "1/4"} if protocol == "ssl" else {}
    config = configure("u2pl", "smoke", protocol=protocol, **share)
    assert METHODS["u2pl"] is U2PL and config.batch_norm == expected
    assert config.target == ("minicity:real" if protocol == "uda" else None)
    assert (config.alpha, config.lambda_c, config.embedding, config.bank, config.cutmix) == (
        (0.2, 0),
        0.1,
        64,
        2000,
        True,
    )
    assert configure("u2pl", "smoke", protocol=protocol, batch_norm="source", **share).batch_norm == "source"
    gpu = configure("u2pl", "gpu", protocol=protocol, **share)
    assert (gpu.embedding, gpu.bank) == (256, 30000), "the released configuration's"
    assert gpu.batch_norm == ("joint" if protocol == "ssl" else "separate")


@pytest.mark.parametrize(
    "option", [{"alpha": 0.3}, {"lambda_c": 0.5}, {"embedding": 32}, {"bank": 100}, {"cutmix": False}]
)
def test_other_methods_refuse_its_options(option):
    (name, value), *_ = option.items()
    for method in ("supervised", "adversarial", "dars"):
        with pytest.raises(ValueError) as caught:
            configure(method, "smoke", **option)
        assert str(caught.value) == f"{name} is {value!r}, but {method} does not use it; leave it out"


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"alpha": 1.5}, "alpha is (1.5, 1.5); expected shares, such as 0.2,0"),
        ({"alpha": (0.2, 0.1, 0.0)}, "alpha is (0.2, 0.1, 0.0); expected shares, such as 0.2,0"),
        ({"alpha": (0.2, -0.1)}, "alpha is (0.2, -0.1); expected shares, such as 0.2,0"),
        ({"lambda_c": -1.0}, "lambda_c is -1.0; expected 0 or more, and finite"),
        ({"lambda_c": float("nan")}, "lambda_c is nan; expected 0 or more, and finite"),
        ({"embedding": 0}, "embedding is 0; expected 1 or more"),
        ({"bank": 0}, "bank is 0; expected 1 or more"),
        ({"batch_norm": "mixed"}, "batch_norm is 'mixed'; expected joint, separate, source, target"),
        ({"strategy": "dars"}, "strategy is 'dars', but u2pl does not use it; leave it out"),
    ],
)
def test_wrong_options_are_one_line(wrong, line):
    with pytest.raises(ValueError) as caught:
        configure("u2pl", "smoke", **wrong)
    assert str(caught.value) == line


def test_one_number_is_the_share_of_the_whole_training():
    assert configure("u2pl", "smoke", alpha=0.3).alpha == (0.3, 0.3)
    assert configure("u2pl", "smoke", alpha=[0.3, 0.1]).alpha == (0.3, 0.1)


def test_a_run_resumes_exactly_with_its_memory_and_keeps_its_teacher(tmp_path):
    """Stopped within the first window of ten batches, and in the next one."""
    options = {**TINY, "steps": 13, "lambda_c": 0.5}
    whole, stops = minida.train("u2pl", "smoke", out=tmp_path / "whole", **options), [3, 11]

    def stop(step, record):
        if stops and step == stops[0]:
            stops.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)

    for step in (3, 11):
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step};"):
            minida.train("u2pl", "smoke", out=tmp_path / "cut", resume=step > 3, callback=stop, **options)
    resumed = minida.train("u2pl", "smoke", out=tmp_path / "cut", resume=True, **options)
    assert same(resumed.model, whole.model)
    for file in ("model.safetensors", "teacher.safetensors"):
        ours, wanted = (load_file(folder / file) for folder in (resumed.folder, whole.folder))
        assert ours.keys() == wanted.keys() and all(torch.equal(ours[name], wanted[name]) for name in ours)
    for mine, theirs in zip(resumed.history, whole.history, strict=True):
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}
    assert {"loss", "supervised", "unsupervised", "contrastive"} <= set(whole.history[0])

    teacher, student = (minida.load(whole.folder / f"{name}.safetensors") for name in ("teacher", "model"))
    assert same(student, whole.model) and not same(teacher, student) and teacher.embedding_width == 8
    assert not teacher.training and teacher.num_classes == 19
    record = json.loads((whole.folder / "result.json").read_text())
    assert (record["alpha"], record["lambda_c"], record["embedding"], record["bank"]) == ([0.2, 0], 0.5, 8, 60)
    assert (record["cutmix"], record["batch_norm"], record["target"]) == (True, "target", "minicity:real?n=8")


def test_ssl_and_a_given_start(tmp_path):
    """A model of another method, without an embedding, is where both student and teacher start."""
    ssl = {**TINY, "steps": 2, "protocol": "ssl", "labeled": "1/2", "target": None, "lr": 1e-9}
    plain = {name: value for name, value in ssl.items() if name not in ("embedding", "bank")}
    begun = minida.train("supervised", "smoke", out=tmp_path / "begun", **plain).model
    result = minida.train("u2pl", "smoke", out=tmp_path / "run", init=str(tmp_path / "begun"), **ssl)
    for network in (result.model, minida.load(tmp_path / "run" / "teacher.safetensors")):
        ours = dict(network.named_parameters())
        for name, value in begun.named_parameters():
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-6)
    assert result.report.miou > 0
