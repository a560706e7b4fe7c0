"""Ratios of one run, by hand: `python tests/benchmarks/supervised.py` (an idle machine, about two minutes).

BiSeNet's training step and inference against the plain way (float32, default memory format, eager, torch's own
bilinear upsampling and cross-entropy, the head after the upsampling as the paper draws it), the slim network
against ResNet-18, the confusion matrix against a loop over classes, MiniCity's painter on one core.
"""

import minida  # noqa: I001 (before torch)

import time
from unittest import mock

import torch
import torch.nn.functional as F

from minida.config import make_config
from minida.device import describe_device, to_device
from minida.metrics import ConfusionMatrix
from minida.methods import Supervised, supervised
from minida.models import bisenet

SIZE, BATCH = (96, 192), 8


def medians(ways, repeats):
    """Median seconds of each way, run in turn so that a noisy moment hits all alike."""
    times = {name: [] for name in ways}
    for repeat in range(repeats + 2):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def plain_upsample(logits, height, width):
    return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)


def plain_loss(output, labels):
    return sum(F.cross_entropy(x, labels, ignore_index=255) for x in (output.logits, *output.aux))


class PlainBiSeNet(minida.BiSeNet):
    """The paper's order: x8 upsampling, then the 1x1 convolution at full size."""

    def forward(self, x):
        spatial, at16, at32 = self.features(x)
        joined = torch.cat([spatial, *(plain_upsample(f, *spatial.shape[2:]) for f in (at16, at32))], 1)
        logits = self.head(plain_upsample(self.fusion(joined), *x.shape[2:]))
        aux = [plain_upsample(head(f), *x.shape[2:]) for head, f in ((self.aux16, at16), (self.aux32, at32))]
        return minida.SegmentationOutput(logits, tuple(aux) if self.training else ())


def network_ways(backbone):
    images = torch.randn(BATCH, 3, *SIZE)
    labels = torch.randint(0, 19, (BATCH, *SIZE))
    last = images.contiguous(memory_format=torch.channels_last)
    device = torch.device("cpu")
    ours = Supervised(make_config("supervised", precision="bfloat16"), to_device(minida.BiSeNet(19, backbone), device))
    plain = Supervised(make_config("supervised", precision="float32"), PlainBiSeNet(19, backbone))

    def plain_step():
        with mock.patch.object(supervised, "segmentation_loss", plain_loss):
            plain.step(minida.Batch(images, labels))

    def infer(method, batch):
        method.model.eval()
        with torch.inference_mode(), method.autocast():
            method.model(batch)

    train = {"plain": plain_step, "ours": lambda: ours.step(minida.Batch(last, labels))}
    return train, {"plain": lambda: infer(plain, images), "ours": lambda: infer(ours, last)}


def confusion_ways():
    labels, guesses = torch.randint(0, 19, (8, 512, 1024)), torch.randint(0, 19, (8, 512, 1024))

    def loop():
        for c in range(19):
            (labels == c).sum(), (guesses == c).sum(), ((labels == c) & (guesses == c)).sum()

    return {"plain": loop, "ours": lambda: ConfusionMatrix(19).update(labels, guesses)}


def main():
    print(f"device: {describe_device(torch.device('cpu'))}, torch {torch.__version__}, batch {BATCH} at {SIZE}")
    train, infer = network_ways("resnet18")
    slim_train, slim_infer = network_ways("slim")
    rows = {
        "training step, ResNet-18": medians(train, 15),
        "inference, ResNet-18": medians(infer, 25),
        "confusion matrix, 8 x 512x1024": medians(confusion_ways(), 5),
    }
    for name, times in rows.items():
        ratio = times["plain"] / times["ours"]
        print(f"{name:32s} plain {1e3 * times['plain']:7.1f} ms, ours {1e3 * times['ours']:7.1f} ms: {ratio:.2f}x")
    for name, ways in (
        ("training", {"r18": train["ours"], "slim": slim_train["ours"]}),
        ("inference", {"r18": infer["ours"], "slim": slim_infer["ours"]}),
    ):
        times = medians(ways, 15)
        print(f"slim against ResNet-18, {name:10s} {1e3 * times['slim']:.1f} ms: {times['r18'] / times['slim']:.2f}x")
    torch.set_num_threads(1)
    for size in ((96, 192), (512, 1024)):
        for domain in ("game", "real"):
            city = minida.data.MiniCity(domain, size=size, n=16)
            times = medians({"paint": lambda city=city: [city.paint(i) for i in range(16)]}, 3)
            print(f"MiniCity {domain} at {size[0]}x{size[1]}: {16 / times['paint']:.0f} images a second on one core")


if __name__ == "__main__":
    assert bisenet.upsample is not plain_upsample
    main()
