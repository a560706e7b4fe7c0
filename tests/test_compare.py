"""The ladder: what is trained, what is not trained again, and what its numbers allow one to say."""

import dataclasses
import json

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

import minida
from minida import compare, trainer
from minida.__main__ import main
from minida.compare import training
from minida.compare.report import T, interval, plus_minus
from minida.compare.store import identity, settings_of
from minida.viz.ladder import class_figure, cost_figure

TINY = {"size": (32, 64), "source": "minicity:game?n=16", "target": "minicity:real?n=16", "precision": "float32"}


def planned(methods, protocol="ssl", seeds=1, **settings):
    return compare.plan(methods, [protocol], seeds, "smoke", {**TINY, "steps": 2, **settings})


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were really trained."""
    names, train = [], minida.train

    def watch(method, preset, **options):
        names.append(options["out"].name)
        return train(method, preset, **options)

    monkeypatch.setattr("minida.compare.training.train", watch)
    return names


def test_a_plan_has_the_controls_and_both_stages():
    names = [one.name.removeprefix("smoke-uda-") for one in planned(["dsc-dars"], "uda", seeds=2)]
    first = ["source-only-1", "source-only", "batch-norm-1", "batch-norm", "dsc-1", "dsc", "dsc-dars"]
    first += ["oracle-1", "oracle"]
    assert names == [f"{name}-{seed}" for seed in (0, 1) for name in first]
    by_name = {one.rung: one for one in planned(["dsc-dars", "dsc-dars-it", "mpl-meta"], "uda", steps=6)}
    assert by_name["dsc-dars"].start is by_name["dsc"].start is by_name["dsc-1"]
    assert not by_name["dsc-1"].needed and by_name["dsc"].needed
    assert by_name["dsc-dars"].config.steps == 6, "as many steps as the control's"
    assert (by_name["dsc-dars-it"].config.steps, by_name["dsc-dars-it"].config.rounds) == (3, 2), "over both rounds"
    assert by_name["mpl-meta"].config.steps == 3, "each with two updates of the student"
    assert {one.config.evaluated for one in by_name.values()} == {TINY["target"]}
    assert {one.config.protocol for one in planned(["u2pl"]) if "oracle" not in one.rung} == {"ssl"}


def test_every_rung_can_be_configured_and_its_command_says_it_all():
    for protocol, ladder in compare.LADDERS.items():
        plan = compare.plan([], [protocol], 1, "notebook", {})
        assert {one.rung for one in plan} == set(ladder)
        for one in plan:
            said = settings_of(one.command)
            init = said.pop("init")
            config = json.loads(json.dumps(dataclasses.asdict(one.config)))
            assert said == {key: value for key, value in config.items() if key != "init"}, one.command
            assert init == (one.start.name if one.start else None)
        controls = {rung.control for rung in ladder.values()} - {None}
        assert all(ladder[name].start for name in controls), "a control has both stages too"


def test_what_is_no_rung_is_said_at_once():
    with pytest.raises(ValueError, match=r"dsc: no such rung under ssl; choose among supervised, mpt"):
        compare.plan(["dsc"], ["ssl"])
    with pytest.raises(ValueError, match="seeds is 0"):
        compare.plan([], ["ssl"], seeds=0)


def test_pretrained_weights_are_for_the_first_stage():
    plan = planned(["st"], weights="imagenet")
    assert len(plan) == 5 and plan[0].start is None
    assert all(one.config.weights == ("imagenet" if one.start is None else None) for one in plan)


def test_a_climb_trains_each_network_once_and_nothing_again(tmp_path, trained):
    plan = planned(["st", "mpl-meta"])
    records, store = compare.climb(plan, tmp_path, progress=False)
    assert trained == [
        "smoke-ssl-supervised-1-0", "smoke-ssl-supervised-0", "smoke-ssl-st-0", "smoke-ssl-mpl-meta-0",
        "smoke-ssl-oracle-1-0", "smoke-ssl-oracle-0",
    ]  # fmt: skip
    assert [record["rung"] for record in records] == ["supervised", "st", "mpl-meta", "oracle"]
    first = json.loads((tmp_path / "runs" / "smoke-ssl-supervised-1-0" / "result.json").read_text())["seconds"]
    for record in records[:3]:
        own = json.loads((tmp_path / "runs" / record["name"] / "result.json").read_text())
        assert record["total_seconds"] == pytest.approx(own["seconds"] + first, abs=0.1)
        assert record["miou"] == own["miou"] and own["init"].endswith("smoke-ssl-supervised-1-0")
    assert len(store.folders) == 6

    trained.clear()
    stored = (tmp_path / "results.json").read_bytes()
    again, _ = compare.climb(planned(["st", "mpl-meta"]), tmp_path, progress=False)
    assert again == records and not trained and (tmp_path / "results.json").read_bytes() == stored


def test_results_alone_save_the_training_but_not_the_network(tmp_path, trained):
    records, _ = compare.climb(planned(["st"]), tmp_path / "first", progress=False)
    trained.clear()
    known = [tmp_path / "first" / "results.json"]
    again, store = compare.climb(planned(["st"]), tmp_path / "second", known, progress=False)
    assert not trained and not store.folders and again == records, "with the time of all stages"
    compare.climb(planned(["st", "cbst"]), tmp_path / "second", known, progress=False)
    assert trained == ["smoke-ssl-supervised-1-0", "smoke-ssl-cbst-0"], "its start has to be there"
    known = compare.open_store(tmp_path / "second").records
    assert {one.key for one in planned(["st", "cbst"]) if one.needed} < known.keys()


def test_a_killed_climb_loses_one_run_at_most_and_goes_on_within_it(tmp_path, trained, monkeypatch):
    inner = training.train

    def stop(step, record):
        if step == 3:
            raise RuntimeError("pulled the plug")

    def pulled(method, preset, **options):
        return inner(method, preset, **options, callback=stop if options["out"].name.endswith("-st-0") else None)

    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "train", pulled)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        compare.climb(planned(["st"], steps=4), tmp_path, progress=False)
    assert [run["rung"] for run in compare.read_runs(tmp_path / "results.json")] == ["supervised"]
    begun = (tmp_path / "runs" / "smoke-ssl-st-0" / "checkpoint.pt").exists()
    monkeypatch.setattr(training, "train", inner)
    trained.clear()
    compare.climb(planned(["st"], steps=4), tmp_path, progress=False)
    assert begun and trained[0] == "smoke-ssl-st-0" and len(trained) == 3


def test_a_run_from_an_unknown_start_is_not_known(tmp_path):
    commands = {"c": "minida train supervised", "a": "minida train supervised --init elsewhere/b", "d": "other words"}
    scores = {"seed": 0, "seconds": 1.0, "miou": 0.5, "tail_miou": 0.5, "pixel_accuracy": None}
    scores |= {"iou": {}, "device": "a CPU", "precision": "float32"}
    runs = [{"name": name, "command": command, **scores} for name, command in commands.items()]
    (tmp_path / "results.json").write_text(json.dumps({"runs": runs}))
    found = compare.Store([tmp_path / "results.json"]).records
    assert [record["name"] for record in found.values()] == ["c"]
    runs[2]["command"] = "minida train supervised --colour red"
    (tmp_path / "results.json").write_text(json.dumps({"runs": runs}))
    with pytest.raises(ValueError, match="results.json: the command of d: .*--colour red"):
        compare.Store([tmp_path / "results.json"])
    del runs[2]
    runs.append({"name": "b", "command": "minida train supervised --seed 3", **scores})
    (tmp_path / "results.json").write_text(json.dumps({"runs": runs}))
    found = compare.Store([tmp_path / "results.json"]).records
    assert sorted(record["name"] for record in found.values()) == ["a", "b", "c"]


def test_other_settings_are_another_run_and_are_not_written_over(tmp_path, trained):
    compare.climb(planned([], protocol="ssl", steps=1)[:2], tmp_path, progress=False)
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(ValueError, match=r"results.json: smoke-ssl-supervised-0 was run with other settings"):
        compare.climb(planned([], protocol="ssl", steps=2)[:2], tmp_path, progress=False)
    assert (tmp_path / "results.json").read_bytes() == before


def test_an_identity_knows_what_matters():
    first, second = planned(["st"])[:2]
    config = json.loads(json.dumps(dataclasses.asdict(first.config)))
    assert identity(config, None) == first.key != second.key
    assert identity({**config, "device": "cuda", "workers": 8, "eval_every": 7}, None) == first.key
    for change in ({"steps": 3}, {"seed": 1}, {"lr": 0.1}, {"scale": [1, 1]}):
        assert identity({**config, **change}, None) != first.key
    assert identity(config, "another start") != first.key


def record(rung, seed, miou, **more):
    said = {"rung": rung, "seed": seed, "miou": miou, "tail_miou": miou / 2, "pixel_accuracy": 0.8, "ladder": "uda"}
    said |= {"preset": "cpu", "iou": {"road": miou, "train": None}, "total_seconds": 120.0, "seconds": 60.0}
    return said | {"name": f"{rung}-{seed}", "device": "a CPU", "precision": "float32"} | more


def ladder(gains, **more):
    runs = [record("source-only", seed, 0.2) for seed in range(3)] + [record("oracle", seed, 0.6) for seed in range(3)]
    runs += [record("dsc", seed, 0.3 + 0.02 * seed) for seed in range(3)]
    return runs + [record("dsc-dars", seed, 0.3 + 0.02 * seed + gain, **more) for seed, gain in enumerate(gains)]


def test_differences_are_taken_in_pairs():
    """By hand: gains of 2, 3 and 4 points have deviation 1, so the interval is 3 ± 4.303 / √3."""
    found = {row.rung: row for row in compare.rows(ladder((0.02, 0.03, 0.04)), "uda", "cpu")}
    row = found["dsc-dars"]
    assert row.difference == pytest.approx(3) and row.spread == pytest.approx(4.303 / 3**0.5)
    assert row.interval > row.spread, "the seeds differ more than the pairs do"
    assert row.verdict == "better" and row.control == "adversarial, DSC"
    assert row.share == pytest.approx((0.35 - 0.2) / 0.4) and found["oracle"].share == 1
    assert row.minutes == 2 and row.iou["road"] == pytest.approx(35) and np.isnan(row.iou["train"])
    assert found["source-only"].control is None and found["source-only"].verdict == ""


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.02, 0.03, 0.04), "better"), ((-0.02, -0.03, -0.04), "worse"), ((0.0, 0.03, 0.06), ""), ((0.03,), "")],
)
def test_better_is_said_only_where_the_interval_leaves_out_0(gains, verdict):
    row = next(row for row in compare.rows(ladder(gains), "uda", "cpu") if row.rung == "dsc-dars")
    assert row.verdict == verdict
    line = next(line for line in compare.markdown([row], "uda").splitlines() if "DARS" in line)
    assert "| cost |" in compare.markdown([row], "uda", {"dsc-dars": 4.26}).splitlines()[0]
    assert "| 4.3× |" in compare.markdown([row], "uda", {"dsc-dars": 4.26})
    assert [cell.strip() for cell in line.split("|")][7] == verdict


def test_runs_of_other_devices_make_no_pair():
    row = compare.rows(ladder((0.02, 0.03, 0.04), device="a GPU"), "uda", "cpu")[-2]
    assert row.rung == "dsc-dars" and row.difference is None and row.control is None and row.verdict == ""


def test_intervals():
    assert interval([1.0]) is None
    assert interval([1.0, 3.0]) == pytest.approx(12.706)  # deviation √2, over √2
    values = np.random.default_rng(0).normal(size=100)
    assert interval(values) == pytest.approx(1.96 * values.std(ddof=1) / 10)
    assert list(T) == sorted(T, reverse=True) and len(T) == 30
    assert (plus_minus(1.25, 0.5, "+"), plus_minus(-1, None, "+"), plus_minus(None, None)) == ("+1.2 ± 0.5", "-1.0", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "expected one JSON object"),
        ("{}", "no list 'runs'"),
        ('{"runs": [7]}', "run 0 is 7; expected an object"),
        ('{"runs": [{"seed": 1}]}', r"name of run 0 \(None\) is None; expected a text"),
        ('{"runs": [{"name": "a", "seed": -1}]}', r"seed of run 0 \(a\) is -1; expected a whole number"),
        ('{"runs": [{"name": "a", "seed": true}]}', "seed of run 0"),
        ('{"runs": [{"name": "a", "seed": 1, "seconds": 2, "miou": 34.1}]}', "miou of run 0 .* is 34.1; .* 0 to 1"),
        ('{"runs": [{"name": "a", "seed": 1, "seconds": 2, "miou": NaN}]}', "miou of run 0"),
        ('{"runs": [{"name": "a", "seed": 1, "seconds": 2, "miou": null}]}', "miou of run 0 .* expected a number from"),
        ('{"runs": [{"name": "a", "seed": 1, "seconds": 2, "miou": 1}]}', "tail_miou of run 0"),
    ],
)
def test_a_damaged_results_file_is_named(tmp_path, text, words):
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"results.json: .*{words}"):
        compare.read_runs(file)


def test_the_command_line(tmp_path, capsys):
    arguments = ["compare", "--preset", "smoke", "--protocol", "uda", "--methods", "dsc-mpt", "--seeds", "2"]
    arguments += ["--size", "32x64", "--steps", "2", "--source", TINY["source"], "--target", TINY["target"]]
    arguments += ["--out", str(tmp_path)]
    assert main([*arguments, "--plan"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 18 and all(line.startswith("to run  minida train ") for line in listed)
    assert not (tmp_path / "results.json").exists()
    look = dict(mpl.rcParams)
    assert main([*arguments, "--json"]) == 0
    assert dict(mpl.rcParams) == look, "the caller's figures keep their look"
    found = json.loads(capsys.readouterr().out)
    assert [run["rung"] for run in found["runs"]][:5] == ["source-only", "batch-norm", "dsc", "dsc-mpt", "oracle"]
    names = {"uda.md", "uda-cost.png", "uda-classes.png", "uda-gallery.png"}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "results.json", "runs"}
    table = (tmp_path / "uda.md").read_text()
    assert table.count("\n") == 7 and "| DSC + MPT |" in table and "of the gap closed" in table
    for name in names - {"uda.md"}:
        picture = np.array(Image.open(tmp_path / name).convert("L"))
        assert picture.std() > 10 and picture.shape[1] == 1170
    assert json.loads((tmp_path / "results.json").read_text())["command"].startswith("minida compare --preset smoke")
    assert main([*arguments, "--plan"]) == 0
    assert all(line.startswith("known ") for line in capsys.readouterr().out.splitlines())
    assert main(["compare", "--methods", "nothing"]) == 2
    assert "nothing: no such rung" in capsys.readouterr().err


def test_figures_show_every_rung():
    found = compare.rows(ladder((0.02, 0.03, 0.04)), "uda", "cpu")
    cost, classes = cost_figure(found[::-1]), class_figure(found)
    times = cost_figure(found[::-1], {"source-only": 1, "dsc": 4, "dsc-mpt": 5, "dsc-dars": 7, "oracle": 1})
    assert times.axes[1].get_xlabel() == "in trainings of the baseline" and cost.axes[1].get_xlabel() == "in minutes"
    order = ["source-only   20.0", "adversarial, DSC   32.0", "DSC + DARS   35.0", "oracle   60.0"]  # the best on top
    assert [label.get_text() for label in cost.axes[0].get_yticklabels()] == order
    assert cost.axes[0].get_ylim() == (-0.7, 3.7) == cost.axes[1].get_ylim(), "each row has its line in both"
    assert [bar.get_width() for bar in times.axes[1].patches] == [1, 4, 7, 1]
    assert [text.get_text() for text in times.axes[1].texts] == ["1.0×", "4.0×", "7.0×", "1.0×"]
    points = times.axes[0].containers
    assert [point.lines[0].get_xdata()[0] for point in points] == pytest.approx([20, 32, 35, 60])
    assert [point.lines[0].get_ydata()[0] for point in points] == [0, 1, 2, 3]
    ends = points[2].lines[2][0].get_segments()[0][:, 0]
    assert ends == pytest.approx([35 - found[2].interval, 35 + found[2].interval]), "the interval, by its row"
    assert [label.get_text() for label in classes.axes[0].get_yticklabels()] == [row.title for row in found]
    cells = [text.get_text() for text in classes.axes[0].texts]
    assert cells.count("–") == len(found) and "35" in cells, "an absent class is a dash"
