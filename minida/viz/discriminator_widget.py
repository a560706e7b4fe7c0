"""ipywidgets wiring for adversarial adaptation: what a discriminator says of the predictions of several networks."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from matplotlib.figure import Figure

from minida.data import SegmentationDataset, normalise
from minida.models import BiSeNet
from minida.models.discriminators import Discriminator
from minida.viz.figures import gallery
from minida.viz.prediction_widget import PredictionExplorer
from minida.viz.views import discriminator_map


class DiscriminatorExplorer(PredictionExplorer):
    """The images of several labelled data sets, the predictions of several BiSeNets, and one judge of them all.

    The networks predict as in evaluation, with their running averages, also where those are the target's: on the
    source the judge then sees predictions unlike those it was trained on.
    """

    views = ("image", "truth", "prediction", "discriminator")

    def __init__(
        self, networks: Mapping[str, BiSeNet], discriminator: Discriminator, datasets: Mapping[str, SegmentationDataset]
    ) -> None:
        self.discriminator = discriminator.to(next(iter(networks.values())).head.weight.device)
        self.judge = lru_cache(64)(self._judge)
        super().__init__(networks, datasets)
        self.view.value = "discriminator"

    @torch.no_grad()
    def _judge(self, name: str, domain: str, n: int) -> np.ndarray:
        """(h, w) probabilities that the prediction is on the target; h and w are 1/32 of the image's."""
        network = self.networks[name]
        image = normalise(self.pair(domain, n)[0][None].to(next(network.parameters()).device))  # (1, 3, H, W)
        return self.discriminator(network.probs(image))[0, 0].sigmoid().cpu().numpy()

    def paint(self, view: str, name: str, domain: str, n: int) -> np.ndarray:
        """One more view: the prediction under the discriminator's map."""
        if view != "discriminator":
            return super().paint(view, name, domain, n)
        return discriminator_map(super().paint("prediction", name, domain, n), self.judge(name, domain, n))

    def describe(self, name: str, domain: str, n: int) -> str:
        """What is shown, how much of it is right, and what the discriminator says."""
        said = self.judge(name, domain, n)
        cells = f"{(said > 0.5).sum()} of {said.size} cells above 50 % (vermillion)"
        words = f"The discriminator's probability of target is {said.mean():.0%} on average; {cells}."
        return f"{super().describe(name, domain, n)} {words}"

    def static(self, numbers: Sequence[int] = (0, 1)) -> Figure:
        """The same in a figure, without what the discriminator never sees: images of each domain in rows, truth and
        every network, judged, in columns.
        """
        places = [(domain, n) for domain in self.datasets for n in numbers]
        rows = [[self.pair(*place)[1], *(self.cell(name, *place) for name in self.networks)] for place in places]
        table = next(iter(self.datasets.values())).table
        fig = gallery(rows, ["truth", *self.networks], table, [f"{domain} {n}" for domain, n in places])
        words = "In each cell: the discriminator's probability of target in % (above 50: vermillion, below: blue)"
        fig.suptitle(words, size=9, x=0.01, ha="left")
        return fig

    def cell(self, name: str, domain: str, n: int) -> np.ndarray:
        return self.paint("discriminator", name, domain, n)
