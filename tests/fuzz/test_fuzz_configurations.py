"""Configurations: fields of any type and value, from Python."""

import dataclasses
from pathlib import Path
from random import Random

from harness import Case, campaign
from mutations import ODD_VALUES, spoil_text, spoil_value

from minida.config import PRESETS, Config, make_config
from minida.methods import METHODS, configure
from minida.schedule import stages

FIELDS = [field.name for field in dataclasses.fields(Config)]
GOOD = {field.name: field.default for field in dataclasses.fields(Config) if field.name not in ("method", "preset")}


def make(method: object, preset: object, given: dict, direct: bool) -> tuple:
    """The configuration and all that it plans; its numbers are in range."""
    config = make_config(method, preset, **given) if direct else configure(method, preset, **given)
    assert config.steps >= 1 and config.batch_size >= 2 and min(config.size) >= 32, config
    assert all(type(getattr(config, name)) is int for name in ("steps", "batch_size", "seed", "workers")), config
    kind = METHODS[config.method]
    plan = stages(config, kind.rounds(config), lambda number: (config.batch_size, config.batch_size))
    assert plan[-1].start + plan[-1].phase.steps >= 1
    return dataclasses.asdict(config), config.learning_rate, config.labeled_fraction


def case(rng: Random, inside: Path) -> Case:
    method, preset = rng.choice(list(METHODS)), rng.choice(list(PRESETS))
    own = {option for kind in METHODS.values() for option in kind.options} - set(METHODS[method].options)
    known = [name for name in GOOD if name not in own]
    given = {name: GOOD[name] for name in rng.sample(known, rng.randrange(4))}
    for name in rng.sample(known, rng.choice((1, 1, 2))):
        good = GOOD[name]
        given[name] = rng.choice((spoil_value(rng, good), rng.choice(ODD_VALUES)))
    if rng.random() < 0.1:
        given[spoil_text(rng, rng.choice(FIELDS))] = 1
    if rng.random() < 0.1:
        method = spoil_text(rng, method)
    if rng.random() < 0.1:
        preset = spoil_text(rng, preset)
    given = {key: value for key, value in given.items() if key not in ("name", "method", "preset")}
    direct = rng.random() < 0.3
    return f"{method!r} {preset!r} {given!r}", lambda: make(method, preset, given, direct and method in METHODS)


def test_configurations(tmp_path: Path) -> None:
    campaign("configurations", case, tmp_path, names=(*FIELDS, "option", "preset", "method"))
