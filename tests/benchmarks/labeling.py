"""Pseudo-labelling in numbers: `python tests/benchmarks/labeling.py` (an idle machine, about three minutes).

One thread, softmax outputs of 512x1024 pixels and 19 classes, each bound a ratio or a growth of this one run: DARS
against every confidence in a list for each class, sorted; MPT against masks and a sort for each class; `observe`
against `probs.max(1)`; and what DARS needs beside the predictions over a gigapixel. Exits with 1 where one is missed.
"""

import minida  # noqa: I001 (before torch)

import math
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from minida.labeling import DARS, MedianConfidence

CLASSES, SIZE = 19, (512, 1024)


def predictions(number=1, size=SIZE, seed=0):
    """(number, C, H, W) softmax, sure and smooth as a network's: coarse logits, upsampled, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 4 * torch.randn(number, CLASSES, size[0] // 32, size[1] // 32, generator=generator)
    logits = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (2 * logits).add_(torch.randn(logits.shape, generator=generator)).softmax(1)


def prior(batches):
    """The labelled set's frequencies: like those of the predictions, but not the same."""
    counts = sum(torch.bincount(probs.argmax(1).flatten(), minlength=CLASSES) for probs in batches)
    return counts.numpy() * np.linspace(0.7, 1.3, CLASSES)


def dars(batches, frequency, ratio=0.2):
    strategy = DARS(frequency, ratio)
    for probs in batches:
        strategy.observe(probs)
    strategy.fit()
    return [strategy.label(probs, [number]) for number, probs in enumerate(batches)]


def dars_in_lists(batches, frequency, ratio=0.2):
    """The plain way: a list of numbers for each class, sorted; then masks, and a draw of those to drop."""
    confidences = [[] for _ in range(CLASSES)]
    for probs in batches:
        best, predicted = probs.max(1)
        for c in range(CLASSES):
            confidences[c].extend(best[predicted == c].tolist())
    total = sum(map(len, confidences))
    limits, keep = [], []
    for values, share in zip(confidences, frequency / frequency.sum(), strict=True):
        values.sort(reverse=True)
        wanted = ratio * share * total
        limits.append(values[min(math.ceil(wanted), len(values)) - 1] if values and wanted else math.inf)
        keep.append(min(1, wanted / max(1, sum(value >= limits[-1] for value in values))))
    labels = []
    for probs in batches:
        best, predicted = probs.max(1)
        label = torch.full_like(predicted, minida.IGNORE)
        for c in range(CLASSES):
            label[(predicted == c) & (best >= limits[c]) & (torch.rand(best.shape) < keep[c])] = c
        labels.append(label)
    return labels


def mpt(probs, cap=0.9):
    strategy = MedianConfidence(CLASSES, cap)
    strategy.observe(probs)
    strategy.fit()
    return strategy.label(probs)


def mpt_by_sorting(probs, cap=0.9):
    best, predicted = probs.max(1)
    label = predicted.clone()
    for c in range(CLASSES):
        mask = predicted == c
        values = best[mask].sort().values
        if len(values):
            label[mask & (best < min(values[len(values) // 2].item(), cap))] = minida.IGNORE
    return label


def seconds(ways, repeats):
    """Median processor seconds of each way, run in turn so that noise hits all alike; the first turn warms up."""
    times = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.thread_time()  # one thread: what other programs take does not count
            way()
            if repeat or not repeats:
                times[name].append(time.thread_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def observer(probs):
    strategy = DARS(np.ones(CLASSES))
    return lambda: strategy.observe(probs)


def resident():
    """Resident memory in MB now, or None where the system has no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), None)


def growth(pixels=10**9, different=3):
    """Seconds and peak growth of the resident memory (MB, None if unknown) of DARS over that many pixels."""
    batches = [predictions(seed=seed) for seed in range(different)]
    dars([predictions(size=(64, 64))], np.ones(CLASSES))  # what a first call loads is not the statistic's
    before, samples, done = resident(), [], threading.Event()

    def watch():
        while not done.wait(0.002):
            samples.append(resident())

    strategy, watcher = DARS(np.ones(CLASSES)), threading.Thread(target=watch)
    start = time.perf_counter()
    if before is not None:
        watcher.start()
    for number in range(math.ceil(pixels / math.prod(SIZE))):
        strategy.observe(batches[number % different])
    strategy.fit()
    taken = time.perf_counter() - start
    done.set()
    if before is None:
        return taken, None
    watcher.join()
    return taken, max(samples, default=before) - before


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {CLASSES} classes, {SIZE[0]}x{SIZE[1]}")
    probs, sample = predictions(), [predictions(seed=seed) for seed in range(12)]  # 6.3 megapixels
    frequency, missed = prior(sample), []
    table = [  # what, ways, repeats, the least ratio of plain to ours
        ("DARS, 6 megapixels, end to end", dars_in_lists, dars, (sample, frequency), 1, 5),
        ("MPT, one image", mpt_by_sorting, mpt, (probs,), 9, 3),
    ]
    for name, plain, ours, given, repeats, least in table:
        ways = {"plain": lambda plain=plain, given=given: plain(*given), "ours": lambda o=ours, given=given: o(*given)}
        times = seconds(ways, repeats)
        ratio = times["plain"] / times["ours"]
        line = f"plain {1e3 * times['plain']:8.1f} ms, ours {1e3 * times['ours']:8.1f} ms: {ratio:5.2f}x"
        print(f"{name:32s} {line} (at least {least}x)")
        missed += [name] * (ratio < least)
    times = seconds({"max": lambda: probs.max(1), "observe": observer(probs)}, 15)
    ratio = times["observe"] / times["max"]
    line = f"max   {1e3 * times['max']:8.1f} ms, ours {1e3 * times['observe']:8.1f} ms: {ratio:5.2f}x"
    print(f"{'observe beside probs.max(1)':32s} {line} (at most 1.5x)")
    missed += ["observe"] * (ratio > 1.5)
    del sample
    taken, grown = growth()
    text = "unknown here" if grown is None else f"{grown:.1f} MB (at most 50 MB)"
    print(f"{'DARS, a gigapixel observed':32s} {taken:.0f} s, peak growth of resident memory {text}")
    missed += ["memory"] * (grown is not None and grown > 50)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
