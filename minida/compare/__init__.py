"""The ladder: every method of the course under one protocol, over seeds, with intervals and costs.

Fair means here: the same data, evaluation and student, and the same number of the final network's gradient steps
(MPL's student with feedback "meta" takes two updates a step, so half as many steps). A first stage of `steps`
(source-only, adversarial, supervised, …) gives the network that a second stage of `steps` goes on from; a rung is a
second stage. Rungs without pseudo-labels are trained on in the same way: they are the controls. What a method needs
beside that (teachers, discriminators, rounds) shows in its total time. The last network is judged, never the best
epoch: that would be a choice by the target's labels.
"""

from minida.compare.report import Row, markdown, rows
from minida.compare.rungs import LADDERS, Rung
from minida.compare.store import Store, read_runs
from minida.compare.training import Planned, climb, open_store, plan

__all__ = ["LADDERS", "Planned", "Row", "Rung", "Store", "climb", "markdown", "open_store", "plan", "read_runs", "rows"]
