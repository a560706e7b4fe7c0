"""The numbers of world.toml: the two domains, every mixture of them, and the shapes of things."""

import tomllib
from collections import namedtuple
from functools import lru_cache
from pathlib import Path
from typing import Any

Range = tuple[float, float]  # a scene draws its value between the two


def _freeze(value):
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


def _mix(a, b, t: float):
    return tuple(_mix(x, y, t) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + (b - a) * t


@lru_cache(maxsize=1)
def tables() -> dict[str, dict[str, Any]]:
    """The sections of world.toml: domain, shape, limbs, signs."""
    text = Path(__file__).with_name("world.toml").read_text(encoding="utf-8")
    return {name: {k: _freeze(v) for k, v in rows.items()} for name, rows in tomllib.loads(text).items()}


@lru_cache(maxsize=16)
def blend(gap: float) -> Any:
    """The domain `gap` of the way from game (0) to real (1), as a named tuple: every number moves in step."""
    rows = tables()["domain"]
    return namedtuple("Domain", rows)(*(_mix(game, real, gap) for game, real in rows.values()))
