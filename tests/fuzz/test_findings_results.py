"""What fuzzing found in configurations, command lines, results and the classroom's files, a test each."""

import json
from pathlib import Path

import pytest
from harness import refused
from test_fuzz_classroom import GOOD_MARKS, MARK, NAME, SOURCE, Nobody
from test_fuzz_results import PLANNED, RESULTS, record, tables

from minida import classroom
from minida.__main__ import main
from minida.classroom import format, grading, plain
from minida.classroom.grading import code_of
from minida.compare.report import rows
from minida.compare.store import Store, read_runs
from minida.config import make_config
from minida.device import resolve_device
from minida.methods import configure
from minida.options import parse_training
from minida.teach.results import costs_table, latency_table, results_table

NAN = float("nan")


# Configurations and command lines


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", "4"), ("steps", 4.0), ("steps", True), ("steps", 10**400), ("source", 5), ("backbone", NAN),
        ("size", 5.5), ("size", "ab"), ("size", {32, 64}), ("ratio", [0.5]), ("lr", float("inf")), ("jitter", NAN),
        ("scale", (NAN, 1)), ("momentum", -1.0), ("weight_decay", -1.0), ("power", -1.0), ("workers", -1), ("seed", -1),
        ("rounds", 10**9), ("labeled", "1e999"), ("flip", 1), ("strategy", ["st"]), ("device", [True, None]),
    ],
)  # fmt: skip
def test_a_field_of_another_type_or_no_number(field: str, value: object) -> None:
    refused(f"{field} is .*; expected", configure, "dars", "smoke", **{field: value})
    assert make_config("dars", "smoke", size=64, ratio=[0, 1], labeled=1).size == (64, 64)


@pytest.mark.parametrize("words", [["train", "supervised", "--stepz\n3"], ["info", "a\u2028b"], ["no\nverb"]])
def test_a_word_with_a_newline_gets_one_line(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1
    refused("unrecognized", parse_training, ["supervised", "a\nb"])


def test_an_error_of_several_lines_is_said_in_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("minida.train", fail)
    assert main(["train", "supervised"]) == 2 and capsys.readouterr().err == "minida: two lines\n"


def test_a_device_without_memory_computes_nothing() -> None:
    refused("device 'meta' cannot be used", resolve_device, "meta")


# Results


@pytest.mark.parametrize(
    "changes",
    [
        {"rung": None}, {"rung": ["x"]}, {"total_seconds": "1"}, {"command": 5}, {"iou": {"road": "x"}},
        {"iou": {"road": NAN}},
        {"seconds": float("inf")}, {"miou": NAN}, {"name": "a\nb", "seed": -1}, {"name": "{}", "miou": "{0}"},
    ],
)  # fmt: skip
def test_records_that_no_ladder_wrote(tmp_path: Path, changes: dict) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"runs": [record(**changes)]}))
    refused(r"results\.json: .* of run 0 .* is .*; expected", read_runs, tmp_path / "results.json")


def test_a_command_that_is_no_text_in_a_record_of_no_ladder(tmp_path: Path) -> None:
    run = {key: value for key, value in record(command=5).items() if key not in ("ladder", "key")}
    (tmp_path / "results.json").write_text(json.dumps({"runs": [run]}))
    refused("command of run 0", Store, [tmp_path / "results.json"])


def test_records_of_run_folders_are_looked_at_too(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"init": 5}')
    (folder / "result.json").write_text(json.dumps({**record(), "miou": "x"}))
    refused(r"result\.json: miou of it is 'x'", Store, [tmp_path / "runs"])
    (folder / "result.json").write_text(json.dumps(record()))
    refused(r"config\.json: init is 5; expected a text", Store, [tmp_path / "runs"])


def test_json_deeper_than_the_stack(tmp_path: Path) -> None:
    file = tmp_path / "marks.json"
    file.write_text("[" * 100_000)
    for call in (read_runs, results_table, latency_table, costs_table, format.read):
        more = (["seed"],) if call is results_table else ()
        refused(r"marks\.json", call, file, *more)
    refused("no marks", lambda: list(classroom.feedback(tmp_path)))
    refused("no plain data", plain.decode, "[" * 100_000)


def test_an_oracle_no_better_than_the_baseline() -> None:
    """There is no gap, so no share of it."""
    assert "source-only" in tables(RESULTS["runs"])
    assert {row.share for row in rows([record(one) for one in PLANNED], "uda", "notebook")} == {None}


@pytest.mark.parametrize(
    "changes", [{"miou": NAN}, {"miou": "x"}, {"miou": [], "preset": "x"}, {"seed": []}, {"miou": 1e308}]
)
def test_a_table_of_no_numbers(tmp_path: Path, changes: dict) -> None:
    (tmp_path / "stored.json").write_text(json.dumps({"command": "x", "runs": [record(**changes), record(seed=2)]}))
    refused(r"stored\.json: holds no results for this table", results_table, tmp_path / "stored.json", ["preset"])


@pytest.mark.parametrize("table", [latency_table, costs_table])
def test_a_table_of_other_records(tmp_path: Path, table) -> None:
    (tmp_path / "stored.json").write_text('{"command": "x", "records": [{}]}')
    refused(r"stored\.json: holds no results for this table", table, tmp_path / "stored.json")


# The classroom


@pytest.mark.parametrize("student", ["../../outside", "/other/x", "a/b", "..\\x", "a\0b", "\ud800"])
def test_marks_write_no_page_elsewhere(tmp_path: Path, student: str) -> None:
    out = tmp_path / "deep" / "marks"
    out.mkdir(parents=True)
    (out / "marks.json").write_text(json.dumps({"assignment": NAME, "marks": {student: [MARK]}}))
    refused(r"marks\.json: no marks", lambda: list(classroom.feedback(out)))
    assert [path.name for path in tmp_path.rglob("*.html")] == []


@pytest.mark.parametrize(
    "mark",
    [{"points": "2"}, {"points": NAN}, {"points": -1}, {"most": None}, {"grade_id": 5}, {"message": []}, {"x": 1}],
)
def test_marks_that_are_none(tmp_path: Path, mark: dict) -> None:
    (tmp_path / "marks.json").write_text(json.dumps({**GOOD_MARKS, "marks": {"ada": [{**MARK, **mark}]}}))
    refused(r"marks\.json: no marks", lambda: list(classroom.feedback(tmp_path)))
    (tmp_path / "marks.json").write_text(json.dumps({"marks": {"ada": [MARK]}}))
    refused(r"marks\.json: no marks", lambda: list(classroom.feedback(tmp_path)))


@pytest.mark.parametrize(
    "content",
    [
        b"student,assignment,one\nada,\xff,2\n",
        b"name,assignment,one\nada,03-pseudo-labels,2\n",
        b'student,assignment\n"' + b"a" * 200_000,
        b"student,assignment,one\nada,03-pseudo-labels," + b"9" * 400 + b"\n",
        b'student,assignment,one\n"a\nb",03-pseudo-labels,x\n',
    ],
)  # fmt: skip
def test_a_table_of_marks_that_was_saved_otherwise(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "grades.csv").write_bytes(content)
    refused(r"grades\.csv: ", classroom._by_hand, tmp_path / "grades.csv", NAME)


def test_a_row_of_marks_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "grades.csv").write_text(f"assignment,one,student\n{NAME},2\n")
    assert classroom._by_hand(tmp_path / "grades.csv", NAME) == {("", "one"): "2"}


def edited(path: Path, test: dict | None = None, source: str | None = None, kind: str = "grade") -> Path:
    """The assignment, with other metadata in its first test cell (or answer: kind="solution"), or another text."""
    notebook = json.loads(SOURCE.read_text(encoding="utf-8"))
    told = [cell["metadata"].get("nbgrader", {}) for cell in notebook["cells"]]
    place = next(i for i, one in enumerate(told) if one.get(kind) and one.get("grade") != one.get("solution"))
    kept = {**told[place], **(test or {})}
    notebook["cells"][place]["metadata"]["nbgrader"] = {key: value for key, value in kept.items() if value is not None}
    if source is not None:
        notebook["cells"][place]["source"] = source
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def test_a_submission_whose_names_are_no_text_costs_nobody_else(tmp_path: Path) -> None:
    path = edited(tmp_path / "x.ipynb", {"grade_id": ["a"]}, kind="solution")
    assert list(code_of(format.read(SOURCE), format.read(path)))


@pytest.mark.parametrize("wrong", [{"points": None}, {"points": "2"}, {"grade_id": ""}])
def test_a_notebook_that_has_lost_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict) -> None:
    monkeypatch.setattr(grading, "Student", Nobody)
    refused(r"x\.ipynb: cell \d+ has lost", classroom.check, edited(tmp_path / "x.ipynb", wrong))


def test_a_test_that_is_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "Student", Nobody)
    marks = classroom.check(edited(tmp_path / "x.ipynb", source="assert ("))
    assert any("SyntaxError" in mark.message for mark in marks)
    edited(tmp_path / "source" / NAME / f"{NAME}.ipynb", source="assert (")
    refused(f"{NAME}: no Python", classroom.release, NAME, tmp_path / "out", tmp_path / "source")
    edited(tmp_path / "source" / NAME / f"{NAME}.ipynb", {"grade_id": None})
    refused("no grade_id", classroom.open_source, NAME, tmp_path / "source")


def test_half_a_surrogate_cannot_be_written_again(tmp_path: Path) -> None:
    refused(r"x\.ipynb: no notebook", format.read, edited(tmp_path / "x.ipynb", source="# \ud800"))


def test_an_answer_larger_than_any_number() -> None:
    refused("no plain data", plain.decode, '{"float": "0x1p99999"}')
