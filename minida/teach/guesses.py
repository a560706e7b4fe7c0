"""Predict before you run: guesses live in a small file beside the notebook; results are held against them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets
from IPython.display import display

STORE = Path(".minida/guesses.json")  # relative: Jupyter starts a kernel in its notebook's folder


def _load() -> dict:
    try:
        return json.loads(STORE.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _record(key: str, value: float | str, choices: Sequence[str] | None) -> None:
    if choices is not None and value not in choices:
        raise ValueError(f"guess {key!r}: {value!r} is none of the choices {', '.join(choices)}")
    try:
        value = value if choices is not None else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"guess {key!r}: {value!r} is no number; write a number such as 25") from None
    STORE.parent.mkdir(exist_ok=True)
    draft = STORE.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(_load() | {key: value}, indent=1), encoding="utf-8")
    os.replace(draft, STORE)  # a crash leaves the old guesses whole


def _box(key: str, known: float | str | None, choices: Sequence[str] | None) -> widgets.Widget:
    """A field that records what is typed or chosen."""
    if choices is None:
        box = widgets.Text("" if known is None else f"{known:g}", continuous_update=False)
    else:
        box = widgets.Dropdown(options=["", *choices], value=known if known in choices else "")
    box.description = "Your guess"
    box.observe(lambda change: change["new"] and _record(key, change["new"], choices), "value")
    return box


def _said(value: float | str, unit: str) -> str:
    return f"{value if isinstance(value, str) else format(float(value), '.3g')} {unit}".strip()


def guess(
    key: str, question: str, value: float | str | None = None, choices: Sequence | None = None, unit: str = ""
) -> None:
    """Ask before running: a `value` is recorded; without one, the question and a box to answer it appear.

    Raises: ValueError for a value that is no number, or none of the `choices`.
    """
    print(question + (f" ({', '.join(choices)})" if choices else f" ({unit})" if unit else ""))
    if value is not None:
        _record(key, value, choices)
    known = _load().get(key)
    if known is not None:
        print(f"Your guess: {_said(known, unit)}.")
    if value is None:
        print("Write value=... into this cell and run it again, or use the box. It works without a guess, too.")
        display(_box(key, known, choices))


def compare(key: str, result: float | str, tolerance: float | None = None, unit: str = "") -> None:
    """Hold the recorded guess against `result`; `tolerance` is absolute, 10 % of the result if not given."""
    known = _load().get(key)
    print(f"The result: {_said(result, unit)}.")
    if known is None:
        print("You recorded no guess. Next time, guess first: a surprise is what stays in mind.")
    elif isinstance(known, str) or isinstance(result, str):
        verdict = "You saw it coming." if known == result else "A surprise: find out why."
        print(f"Your guess: {_said(known, unit)}. {verdict}")
    else:
        off, bound = known - float(result), 0.1 * abs(result) if tolerance is None else tolerance
        distance = f"Too {'high' if off > 0 else 'low'} by {_said(abs(off), unit)}. What did you not expect?"
        print(f"Your guess: {_said(known, unit)}. {'Close!' if abs(off) <= bound else distance}")
