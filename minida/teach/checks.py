"""Checks that name the likely mistake. An exercise is data: a solution, cases, and named wrong answers."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

from minida.viz.views import to_array


@dataclass(frozen=True)
class Exercise:
    """`mistakes` maps what a student reads to a function that makes the mistake, or an error it raises."""

    task: str
    solution: Callable
    cases: Sequence[tuple]
    mistakes: Mapping[str, Callable | type[Exception]]


@lru_cache
def _exercises(number: str) -> Mapping[str, Exercise]:
    """The table EXERCISES of notebooks/exercises/nbNN.py: found from the working folder, else from this checkout."""
    folders = (Path.cwd(), Path(__file__).parents[2] / "notebooks")
    files = [folder / "exercises" / f"nb{number}.py" for folder in folders]
    for file in filter(Path.is_file, files):
        spec = spec_from_file_location(f"minida_exercises_{number}", file)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.EXERCISES
    return {}


def exercise(id: str) -> Exercise:
    """The exercise "NN.name" of notebook NN. Raises: ValueError for an unknown id."""
    found = _exercises(id.partition(".")[0])
    if id not in found:
        raise ValueError(f"exercise {id!r} is unknown; expected {', '.join(found) or 'an id such as 00.iou'}")
    return found[id]


def check(id: str, attempt: Callable) -> Callable:
    """Print whether an attempt is right, or its likely mistake; return it if right, else the library's."""
    task = exercise(id)
    answers, expected = _run(attempt, task.cases), _run(task.solution, task.cases)
    if all(map(_untried, answers)):
        print(f"{id}: not tried yet.")
    elif all(map(_close, answers, expected)):
        print(f"{id}: right, in all {len(expected)} cases.")
        return attempt
    else:
        print(f"{id}: not right yet. {_diagnosis(answers, expected, task)}")
    print("The notebook goes on with the library's own function.")
    return task.solution


def _run(function: Callable, cases: Sequence[tuple]) -> list:
    """The answers; an error is an answer too, because the notebook has to go on."""
    answers = []
    for case in cases:
        try:
            answers.append(function(*copy.deepcopy(case)))
        except Exception as error:
            answers.append(error)
    return answers


def _untried(answer: object) -> bool:
    """None, `...` or a bare NotImplementedError; PyTorch's own errors of that type carry a message."""
    return answer is None or answer is ... or (isinstance(answer, NotImplementedError) and not answer.args)


def _close(answer: object, expected: object) -> bool:
    try:
        answer, expected = (to_array(value).astype(float) for value in (answer, expected))
    except (TypeError, ValueError):  # an error, None, a ragged list, text
        return False
    return answer.shape == expected.shape and np.allclose(answer, expected, 1e-4, 1e-4, equal_nan=True)


def _diagnosis(answers: list, expected: list, task: Exercise) -> str:
    """The mistake that explains the first wrong answer and as many others as possible; else that answer."""
    wrong = next(i for i, pair in enumerate(zip(answers, expected, strict=True)) if not _close(*pair))
    best = (0, "")
    for name, mistake in task.mistakes.items():
        if isinstance(mistake, type):
            score = len(answers) if isinstance(answers[wrong], mistake) else 0
        else:
            agree = list(map(_close, answers, _run(mistake, task.cases)))
            score = sum(agree) if agree[wrong] else 0
        best = max(best, (score, name), key=lambda found: found[0])
    if best[0]:
        return f"The likely mistake: {best[1]}."
    case = f"Case {wrong + 1} of {len(expected)}"
    if isinstance(answers[wrong], Exception):
        return f"{case} stops with {type(answers[wrong]).__name__}: {answers[wrong]}."
    return f"{case}: expected {_brief(expected[wrong])}, got {_brief(answers[wrong])}."


def _brief(value: object) -> str:
    if not _close(value, value):
        return repr(value)
    array = to_array(value)
    if array.size > 8:
        return f"shape {array.shape} with mean {array.astype(float).mean():.4f}"
    return np.array2string(array, precision=4, separator=", ").replace("\n", "")
