"""`minida assignment TASK NAME`."""

import argparse
import dataclasses
from typing import Any

from minida import classroom


def run(options: argparse.Namespace) -> dict[str, Any]:
    """What the task did, as data; said in words too, but for --json."""
    source, limits = options.source or classroom.SOURCE, classroom.Limits(cell=options.seconds)
    if options.task == "check":
        marks = classroom.check(options.name, limits)
        if not options.json:
            print(*(f"{mark.grade_id:24}{mark.message or 'passes the visible tests'}" for mark in marks), sep="\n")
        return {"marks": [dataclasses.asdict(mark) for mark in marks]}
    if options.task == "release":
        file = classroom.release(options.name, options.out or "build/release", source)
        if not options.json:
            print(f"written: {file}")
        return {"file": str(file)}
    out = options.out or f"build/marks/{options.name}"
    if options.task == "feedback":
        files = list(classroom.feedback(out))
        if not options.json:
            print(*(f"written: {file}" for file in files), sep="\n")
        return {"files": [str(file) for file in files]}
    if not options.submissions:
        raise ValueError("grade needs --submissions DIR")
    if not options.json:
        print(classroom.isolation())
    marks = classroom.grade_all(options.name, options.submissions, out, source, limits, not options.json)
    if not options.json:
        for student, theirs in marks.items():
            print(f"{student:24}{sum(mark.points or 0 for mark in theirs)} of {sum(mark.most for mark in theirs)}")
        print(f"written: {out}/{classroom.TABLE}")
    return {"out": out, "marks": {who: [dataclasses.asdict(mark) for mark in some] for who, some in marks.items()}}
