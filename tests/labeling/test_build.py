import pytest
import torch

from minida.labeling import DARS, STRATEGIES, ClassBalanced, make_strategy, problems

pytestmark = pytest.mark.filterwarnings("error")

MINE = """
import numpy as np
from minida.labeling import LabelingStrategy, Thresholds

class MyStrategy(LabelingStrategy):
    def __init__(self, num_classes, cap=0.5, **options):
        super().__init__(num_classes, **options)
        self.cap = cap

    def rule(self, seen, progress):
        return Thresholds(np.where(seen.total > 0, self.cap, np.inf), np.ones(self.num_classes))

class Unfinished(LabelingStrategy):
    pass

something = 3
"""


def test_each_name_takes_what_its_strategy_asks_for():
    given = {"num_classes": 4, "class_frequency": [1, 1, 1, 5], "ratio": 0.3, "cap": 0.7, "alpha0": 0.1}
    given |= {"seed": 9, "temperature": 2.0}
    for name in STRATEGIES:
        strategy = make_strategy(name, **given)
        assert (strategy.num_classes, strategy.seed, strategy.temperature) == (4, 9, 2.0)
    assert make_strategy("mpt", **given).cap == 0.7 and make_strategy("entropy", **given).alpha0 == 0.1
    assert make_strategy("cbst", **given).ratio == make_strategy("dars", **given).ratio == (0.3, 0.3)
    assert make_strategy("dars", **given).sample and not make_strategy("da", **given).sample
    assert type(make_strategy("da", **given)) is DARS and type(make_strategy("cbst", **given)) is ClassBalanced
    assert make_strategy("dars", **given).prior.tolist() == [1 / 8, 1 / 8, 1 / 8, 5 / 8]


def test_what_a_person_asks_for_has_to_be_taken():
    given = {"num_classes": 3, "class_frequency": [1, 1, 1]}
    assert make_strategy("st", frozenset(["threshold"]), **given, threshold=0.8).threshold == 0.8
    with pytest.raises(ValueError, match="cap is no option of strategy 'dars'; leave it out"):
        make_strategy("dars", frozenset(["ratio", "cap"]), **given, ratio=0.2, cap=0.9)
    with pytest.raises(ValueError, match="give one of both"):
        make_strategy("st", **given, threshold=0.8, ratio=0.2)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            "    def __init__(self, num_classes, mine):\n        super().__init__(num_classes)",
            "cannot be made .*'mine'",
        ),
        ("    def __init__(self, num_classes):\n        self.mine = 1", "did not call super"),
    ],
)
def test_a_constructor_that_cannot_be_used(tmp_path, body, line):
    start = "from minida.labeling import LabelingStrategy\n\n\nclass Odd(LabelingStrategy):\n"
    text = f"{start}{body}\n\n    def rule(self, seen, progress):\n        return seen.total, seen.total\n"
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(ValueError, match=line):
        make_strategy(f"{tmp_path / 'odd.py'}:Odd", num_classes=3, seed=0)


def test_a_file_may_hold_dataclasses(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += "@dataclass\nclass Options:\n    share: float = 0.5\n"
    (tmp_path / "with_dataclass.py").write_text(text + MINE)
    make_strategy(f"{tmp_path / 'with_dataclass.py'}:MyStrategy", num_classes=2, cap=0.75)


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "my_file.py").write_text(MINE)
    given = {"num_classes": 2, "ratio": 0.2, "seed": 3, "temperature": 1.5}
    strategy = make_strategy(f"{tmp_path / 'my_file.py'}:MyStrategy", **given, cap=0.75)
    assert (strategy.cap, strategy.seed, strategy.temperature) == (0.75, 3, 1.5)
    assert problems(strategy) == []
    strategy = make_strategy(f"{tmp_path / 'my_file.py'}:MyStrategy", num_classes=2, cap=0.75)
    probs = torch.tensor([[0.8, 0.3, 0.6], [0.2, 0.7, 0.4]])[None, :, None]  # (1, 2, 1, 3)
    strategy.observe(probs)
    strategy.fit()
    assert strategy.label(probs).tolist() == [[[0, 255, 255]]]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("darts", "unknown strategy 'darts'; did you mean 'dars'?"),
        ("magic", "unknown strategy 'magic'; choose one of: st, mpt, cbst, da, dars, entropy"),
        ("FILE.py", "or FILE.py:CLASS"),
        ("nowhere.py:MyStrategy", "nowhere.py: no such file; expected FILE.py:CLASS"),
        ("my_file.py:Other", "my_file.py has no strategy 'Other'; expected a subclass of"),
        ("my_file.py:something", "my_file.py has no strategy 'something'"),
        ("my_file.py:np", "my_file.py has no strategy 'np'"),
        ("bad_syntax.py:MyStrategy", "bad_syntax.py: cannot be imported (SyntaxError"),
        (
            "bad_import.py:MyStrategy",
            "bad_import.py: cannot be imported (ModuleNotFoundError: No module named 'no_such_",
        ),
    ],
)
def test_a_wrong_name_is_one_clear_line(name, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_file.py").write_text(MINE)
    (tmp_path / "bad_syntax.py").write_text("class MyStrategy(:\n")
    (tmp_path / "bad_import.py").write_text("import no_such_module\n")
    with pytest.raises(ValueError) as error:
        make_strategy(name, num_classes=2)
    assert line in str(error.value) and "\n" not in str(error.value)
