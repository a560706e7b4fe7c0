"""Strategies by name, and from a file of one's own."""

import difflib
import importlib.util
import inspect
import sys
from functools import partial
from pathlib import Path
from typing import Any

from minida.labeling.base import LabelingStrategy
from minida.labeling.cbst import ClassBalanced
from minida.labeling.confidence import Confidence
from minida.labeling.dars import DARS
from minida.labeling.entropy import EntropyPartition
from minida.labeling.mpt import MedianConfidence

STRATEGIES = {
    "st": Confidence, "mpt": MedianConfidence, "cbst": ClassBalanced,
    "da": partial(DARS, sample=False), "dars": DARS, "entropy": EntropyPartition,
}  # fmt: skip


def make_strategy(
    name: str | type[LabelingStrategy], only: frozenset[str] = frozenset(), **given: Any
) -> LabelingStrategy:
    """A strategy of STRATEGIES, of a file ("my_file.py:MyStrategy"), or of a class at hand.

    `given` is whatever a strategy may ask for (num_classes, class_frequency, ratio, cap, seed, temperature, …); each
    takes what its constructor names, and seed and temperature where it passes `**options` on. What is in `only` was
    asked for by a person, so it has to be taken. Raises: ValueError for an unknown name, a file without such a class,
    a constructor that wants something else.
    """
    kind = name if isinstance(name, type) else STRATEGIES.get(name) or _from_file(name)
    parameters = inspect.signature(kind).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    asked = {*parameters, "seed", "temperature"} if open_ended else {*parameters}
    if unknown := sorted(only - asked):
        raise ValueError(f"{unknown[0]} is no option of strategy {name!r}; leave it out")
    try:
        made = kind(**{key: value for key, value in given.items() if key in asked})
    except TypeError as error:
        known = ", ".join(sorted(given))
        raise ValueError(f"strategy {name!r} cannot be made ({error}); it can ask for {known}") from None
    if not hasattr(made, "num_classes"):
        raise ValueError(f"strategy {name!r} did not call super().__init__(num_classes); add it to its constructor")
    return made


def _from_file(name: str) -> type[LabelingStrategy]:
    file, _, wanted = name.rpartition(":")
    if not file.endswith(".py"):
        close = difflib.get_close_matches(name, STRATEGIES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(STRATEGIES)}"
        raise ValueError(f"unknown strategy {name!r}; {hint} (or FILE.py:CLASS)")
    if not Path(file).is_file():
        raise ValueError(f"{file}: no such file; expected FILE.py:CLASS, such as my_file.py:MyStrategy")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # of a file of the user's, any
        raise ValueError(f"{file}: cannot be imported ({type(error).__name__}: {error}); correct it") from error
    kind = getattr(module, wanted, None)
    if not (isinstance(kind, type) and issubclass(kind, LabelingStrategy)) or inspect.isabstract(kind):
        raise ValueError(f"{file} has no strategy {wanted!r}; expected a subclass of LabelingStrategy, with a rule")
    return kind
