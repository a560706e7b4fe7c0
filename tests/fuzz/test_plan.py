"""How much is fuzzed, and that the harness itself sees what it has to see."""

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import harness
import pytest
import torch
from harness import PLAN, RAN, SPENT, TIMES, Verdict, verdict
from mutations import spoil_bytes, spoil_json, spoil_text


def test_the_plan_has_ten_thousand_inputs_and_all_of_it_was_run() -> None:
    assert sum(PLAN.values()) >= 10_000
    if len(RAN) == len(PLAN) and not harness.ONLY:  # else some tests were left out
        assert all(RAN[target] == max(1, round(PLAN[target] * TIMES)) for target in PLAN)
        print(f"{sum(RAN.values())} inputs in {sum(SPENT.values()):.0f} s")


def test_every_target_has_a_test() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_fuzz_*.py"))
    assert [target for target in PLAN if f'campaign("{target}"' not in text] == []


def judged(inside: Path, call, names: tuple[str, ...] = ()) -> Verdict:
    inside.mkdir(parents=True, exist_ok=True)
    return verdict(call, inside, names)


def raises(error: BaseException):
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    "error",
    [
        KeyError("step"), TypeError("x"), OSError("disk"), ValueError(""), ValueError("two\nlines"), SystemExit(1),
        RecursionError("deep"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ValueError("names nothing"),
    ],
)  # fmt: skip
def test_what_is_no_documented_line_is_a_failure(tmp_path: Path, error: BaseException) -> None:
    assert judged(tmp_path / "inside", raises(error), ("file.json",)).kind == "failure"


def test_a_documented_line_and_an_answer_are_none(tmp_path: Path) -> None:
    assert judged(tmp_path / "inside", raises(ValueError("file.json: damaged")), ("file.json",)).kind == "refused"
    assert judged(tmp_path / "inside", lambda: [1.0, {"a": torch.ones(2)}]).kind == "ok"


@pytest.mark.parametrize("answer", [float("nan"), [{"a": (torch.tensor([1.0, float("nan")]),)}]])
def test_a_nan_is_a_failure(tmp_path: Path, answer: object) -> None:
    assert judged(tmp_path / "inside", lambda: answer) == Verdict("failure", "a NaN in the answer")


def test_what_lies_beside_is_neither_read_nor_written(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    for call in (
        lambda: (outside / "secret").read_text(), lambda: (outside / "new").write_text("x"),
        lambda: (inside / "../../new").write_text("x"), lambda: (outside / "secret").unlink(),
        lambda: (tmp_path / "folder").mkdir(), lambda: shutil.rmtree(outside),
        lambda: os.rename(outside / "secret", inside / "mine"), lambda: os.system("true"),
    ):  # fmt: skip
        assert "Forbidden" in judged(inside, call).said
    assert [path.name for path in outside.iterdir()] == ["secret"] and not (tmp_path / "new").exists()
    assert judged(inside, lambda: (inside / "mine").write_text("x")).kind == "ok"


def test_an_escape_that_is_swallowed_is_seen_all_the_same(tmp_path: Path) -> None:
    def quiet() -> str:
        try:
            return (tmp_path / "outside" / "secret").read_text()
        except BaseException:
            return ""

    assert "reads" in judged(tmp_path / "inside", quiet).said


def test_nothing_may_be_unpickled(tmp_path: Path) -> None:
    data, file = pickle.dumps(Path), tmp_path / "inside" / "x.pt"
    file.parent.mkdir()
    torch.save({"a": torch.ones(1)}, file)
    for call in (
        lambda: pickle.loads(data),
        lambda: pickle.Unpickler(file.open("rb")).load(),
        lambda: torch.load(file),
    ):
        assert judged(tmp_path / "inside", call).kind == "failure"
    assert judged(tmp_path / "inside", lambda: torch.load(file, weights_only=True)).kind == "ok"


def test_a_hang_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(harness.signal, "setitimer"):
        pytest.skip("no timer on this system")
    monkeypatch.setattr(harness, "alarm", lambda: real_alarm(0.2))
    begin = time.perf_counter()
    assert "Hang" in judged(tmp_path / "inside", lambda: time.sleep(30)).said and time.perf_counter() - begin < 10


real_alarm = harness.alarm


def test_the_same_seed_spoils_in_the_same_way() -> None:
    for spoil, value in ((spoil_bytes, b"0123456789" * 9), (spoil_json, {"a": [1, 2.5, "x"]}), (spoil_text, "a spec")):
        first, again = ([spoil(harness.Random(n), value) for n in range(50)] for _ in range(2))
        assert first == again and len({*map(repr, first)}) > 30
        plain = json.dumps(value).encode() if spoil is spoil_json else value
        assert sum(spoiled != plain for spoiled in first) > 30
