"""A student's page: what each exercise got and why, without tests and solutions."""

from collections.abc import Mapping, Sequence
from html import escape

from minida.classroom.grading import Mark

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 46em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .5em .8em; border-bottom: 1px solid #ddd; vertical-align: top }}
td:nth-child(2) {{ white-space: nowrap }}
.total {{ font-size: 1.3em }}
@media (prefers-color-scheme: dark) {{ body {{ color: #eee; background: #1b1b1b }} th, td {{ border-color: #444 }} }}
</style>
<h1>{title}</h1>
<p>{student}</p>
<p class="total"><strong>{total:g}</strong> of {most} points{waiting}</p>
<table>
<tr><th scope="col">exercise</th><th scope="col">points</th><th scope="col">what was seen</th></tr>
{rows}
</table>
</html>
"""  # noqa: E501


def page(assignment: str, student: str, marks: Sequence[Mark], by_hand: Mapping[tuple[str, str], str]) -> str:
    """HTML; `by_hand`: (student, grade_id) -> points that a person gave."""
    rows, total, waiting = [], 0.0, False
    for mark in marks:
        points, words = mark.points, mark.message
        if points is None:
            text = by_hand.get((student, mark.grade_id), "")
            points = float(text) if text else None
            words, waiting = ("marked by hand", waiting) if points is not None else ("not marked yet", True)
        elif points == mark.most:
            words = "right"
        total += points or 0
        shown = "–" if points is None else f"{points:g}"
        cells = (escape(mark.grade_id), f"{shown} of {mark.most}", escape(words))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return PAGE.format(
        title=escape(assignment), student=escape(student), total=total, most=sum(mark.most for mark in marks),
        waiting=", a written answer is not marked yet" if waiting else "", rows="\n".join(rows),
    )  # fmt: skip
