"""Training methods by name. A new method is one new file and one line here."""

from minida.methods.adversarial import Adversarial
from minida.methods.base import Method
from minida.methods.supervised import Supervised

METHODS: dict[str, type[Method]] = {"supervised": Supervised, "adversarial": Adversarial}

__all__ = ["METHODS", "Adversarial", "Method", "Supervised"]
