"""Tables of stored results: grouped, filtered, with the deviation over seeds."""

import json

import pytest

from minida.__main__ import main
from minida.teach.results import costs_table, latency_table, results_table


def run(seed, miou, **fields):
    return {"seed": seed, "miou": miou, "tail_miou": miou / 2, "pixel_accuracy": 0.9, **fields}


@pytest.fixture
def stored(tmp_path):
    runs = [
        *(run(seed, miou, optimizer="sgd", preset="notebook") for seed, miou in enumerate((0.5, 0.52, 0.54))),
        run(0, 0.3, optimizer="adam", preset="notebook"),
        run(0, 0.7, optimizer="sgd", preset="cpu"),
        run(0, 0.4, optimizer="sgd", preset="notebook", variant="plain"),
    ]
    file = tmp_path / "supervised.json"
    file.write_text(json.dumps({"command": "make them again", "runs": runs}))
    return file


def test_mean_and_sample_deviation_over_seeds(stored):
    head, sgd, adam, made = results_table(stored, ["optimizer"], preset="notebook", variant=None).splitlines()
    assert head.split()[:2] == ["optimizer", "seeds"]
    assert sgd.split()[:5] == ["sgd", "3", "52.0", "±", "2.0"]  # by hand: 50, 52, 54
    assert adam.split()[:3] == ["adam", "1", "30.0"] and "±" not in adam  # one run has no deviation
    assert made == "made by: make them again"


def test_a_seed_counts_once(stored):
    content = json.loads(stored.read_text())
    content["runs"] *= 2
    stored.write_text(json.dumps(content))
    assert "52.0 ± 2.0" in results_table(stored, ["optimizer"], preset="notebook", variant=None)


def test_a_missing_field_is_the_default(stored):
    table = results_table(stored, ["optimizer", "variant"], preset=["notebook"])
    assert [line.split()[:2] for line in table.splitlines()[1:-1]] == [
        ["sgd", "default"], ["adam", "default"], ["sgd", "plain"],
    ]  # fmt: skip


def test_says_how_to_make_what_is_missing(tmp_path, stored):
    for text in (
        results_table(tmp_path / "none.json", ["optimizer"], "minida train supervised"),
        results_table(stored, ["optimizer"], "minida train supervised", preset="gpu"),
    ):
        assert "no stored results here yet" in text
    assert "minida train supervised" in results_table(tmp_path / "none.json", ["seed"], "minida train supervised")


def test_stored_latencies_are_shown_as_bench_shows_them(capsys, tmp_path):
    main(["bench", "slim", "--size", "32x64", "--batch", "1", "2", "--repeats", "5"])
    shown = capsys.readouterr().out.splitlines()
    main(["bench", "slim", "--size", "32x64", "--batch", "1", "2", "--repeats", "5", "--json"])
    (tmp_path / "latency.json").write_text(capsys.readouterr().out)
    place, heads, *rows, made = latency_table(tmp_path / "latency.json").splitlines()
    assert place == shown[0] and heads.split() == shown[1].split() and made.endswith("--size 32x64 --batch 1 2")
    assert [row.split()[:3] for row in rows] == [["slim", "32x64", "1"], ["slim", "32x64", "2"]]


def test_stored_costs_of_the_discriminators(tmp_path):
    row = {"discriminator": "fcd", "size": [512, 1024], "batch": 1, "parameters": 2781121, "flops": 30878466048}
    row |= {"flops_with_upsampling": 30890000384, "forward_ms": 170.26, "update_ms": 1277.1}
    row |= {"device": "A", "precision": "float32", "torch": "2"}
    steps = [{"preset": "cpu", "training": name, "ms": ms} for name, ms in (("source-only", 130.4), ("fcd", 380.6))]
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({"command": "python make.py", "records": [row], "steps": steps}))
    head, line, step, made = costs_table(file).splitlines()
    assert line.split() == ["fcd", "512x1024", "1", "2,781,121", "30.878", "30.890", "170.3", "1277.1"]
    assert len(head) == len(line)
    assert step == "a whole training step, preset cpu: source-only 130 ms, fcd 381 ms"
    assert made == "A, float32, torch 2; made by: python make.py"
