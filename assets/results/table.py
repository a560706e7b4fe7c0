"""Write the README's results from the stored runs: `python assets/results/table.py`. A test fails when they drift."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
README = FOLDER.parents[1] / "README.md"
MARKS = "<!-- {}: made by python assets/results/table.py -->", "<!-- end of {} -->"
ROWS = (
    ("ResNet-18, trained on `game` (source-only)", "cpu-source-only"),
    ("ResNet-18, batch norm's averages from `real` (λ = 0)", "cpu-zero"),
    ("ResNet-18, adversarial, DSC", "cpu-dsc"),
    ("ResNet-18, adversarial, FCD", "cpu-fcd"),
    ("ResNet-18, trained on `real` (oracle)", "cpu-oracle"),
    ("slim, trained on `game` (source-only)", "notebook-source-only"),
    ("slim, batch norm's averages from `real` (λ = 0)", "notebook-zero"),
    ("slim, adversarial, DSC", "notebook-dsc"),
    ("slim, adversarial, FCD", "notebook-fcd"),
    ("slim, trained on `real` (oracle)", "notebook-oracle"),
)


LABEL_WORDS = (
    "In %, on the val split of `real`; mean ± deviation over seeds. Compare with 'trained on as long', not with "
    "the teacher: a student goes on from its teacher's weights for as many steps again (DARS + IT: twice), and more "
    'steps alone help. "Believed" is the share of the unlabelled training pixels that got a pseudo-label in the last '
    "round. Made again by `{command}`."
)
LABELS = (  # protocol, what is said above its table
    ("ssl", "one eighth of `real` labelled, the other seven eighths without labels"),
    ("uda", "`game` labelled, `real` without labels; with the adversarial term (Eq. 5)"),
)
VARIANTS = {  # of labels.json, in the table's order
    "supervised": "teacher: supervised on the labelled part", "adversarial": "teacher: adversarial, DSC",
    "trained on": "teacher, trained on as long, no pseudo-labels", "ST": "ST", "MPT": "MPT", "CBST": "CBST",
    "DA": "DA", "DA + TS": "DA + TS", "DARS": "DARS", "DARS + IT": "DARS + IT (two rounds)",
    "DARS, later teacher": "DARS, from the teacher that was trained on",
    "trained on twice": "teacher, trained on twice as long, no pseudo-labels",
}  # fmt: skip


def spread(runs: list[dict], key: str) -> str:
    values = 100 * np.array([run[key] for run in runs if key in run])
    if not len(values):
        return ""
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(runs) > 1 else f"{values[0]:.1f}"


def gain(found: dict[str, list[dict]], preset: str, name: str) -> float:
    """Points of mIoU over λ = 0, over the seeds that both have."""
    scores = {run["seed"]: run["miou"] for run in found[f"{preset}-zero"]}
    return 100 * np.mean(
        [run["miou"] - scores[run["seed"]] for run in found[f"{preset}-{name}"] if run["seed"] in scores]
    )


def latencies() -> str:
    stored = json.loads((FOLDER / "latency.json").read_text(encoding="utf-8"))
    rows, first = stored["records"], stored["records"][0]
    large = {row["network"]: row for row in rows if (row["size"], row["batch"]) == ([512, 1024], 1)}
    speed = [f"{name} {row['deployed']['images_per_second']:.0f}" for name, row in large.items()]
    cases = list(dict.fromkeys((tuple(row["size"]), row["batch"]) for row in rows))
    lines = [
        f"Images of 512×1024 a second, one by one, on {first['device']}: **{', '.join(speed)}**.",
        "",
        "| network | parameters without auxiliary heads | GFLOPs at 512×1024 | "
        + " | ".join(f"{h}×{w}, batch {b}" for (h, w), b in cases)
        + " |",
        "|---" * (3 + len(cases)) + "|",
    ]
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        times = [f"{row['deployed']['ms']:,.1f} ms ({row['ratio']:.1f}×)" for row in own]
        head = f"| {name} | {large[name]['parameters']:,} | {large[name]['flops'] / 1e9:.1f} | "
        lines.append(head + " | ".join(times) + " |")
    runs = [row["runs"] for row in rows]
    return "\n".join(
        [
            *lines,
            "",
            f"Median of {min(runs)} to {max(runs)} passes over the batch, from normalised images to logits (without "
            f"reading and resizing), untrained networks, on {first['device']}, {first['precision']}, torch "
            f"{first['torch']}; in brackets, how many times faster than the same network in plain eager float32, "
            "measured in turns. GFLOPs: twice the multiply-adds of the convolutions, one image. No GPU was timed yet. "
            f"(`{stored['command']}`)",
        ]
    )


def table() -> str:
    files = [
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("adversarial", "supervised")
    ]
    runs = {record["name"]: record for stored in files for record in stored["runs"]}
    lines = [
        "| network on streets of `real` (val) | mIoU | tail mIoU | pixels right | seeds |",
        "|---|---|---|---|---|",
    ]
    found = {}
    for title, prefix in ROWS:
        found[prefix] = group = [run for name, run in runs.items() if name.rpartition("-")[0] == prefix]
        cells = [spread(group, key) for key in ("miou", "tail_miou", "pixel_accuracy")]
        lines.append(f"| {title} | {' | '.join(cells)} | {len(group)} |")
    ratio = np.mean([r["miou"] for r in found["cpu-source-only"]]) / np.mean([r["miou"] for r in found["cpu-oracle"]])
    example = found["cpu-oracle"][0]
    lines += [
        "",
        f"In %, mean ± standard deviation over seeds. The source-only ResNet-18 keeps {100 * ratio:.0f} % of the "
        f"oracle's mIoU: that is the gap this course works on. 500 training and 500 val images of 96×192 each, "
        f"{example['steps']:,} steps (`cpu` preset) or {found['notebook-oracle'][0]['steps']} (`notebook`), from "
        f"scratch, on {example['device'].split(',')[0]}, {example['precision']}.",
        "",
        "Read the adversarial rows against λ = 0, not against source-only. There the target's images set batch norm's "
        "running averages, and no gradient of theirs reaches the network. mIoU against λ = 0: "
        + "; ".join(
            f"{title}, DSC {gain(found, preset, 'dsc'):+.1f}, FCD {gain(found, preset, 'fcd'):+.1f}, "
            f"source-only {gain(found, preset, 'source-only'):+.1f}"
            for title, preset in (("ResNet-18", "cpu"), ("slim", "notebook"))
        )
        + ".",
    ]
    if "camvid-0" in runs:
        run = runs["camvid-0"]
        lines += [
            "",
            f"Real photographs: CamVid's 367 training images from scratch, ResNet-18 at {run['size'][0]}×"
            f"{run['size'][1]}, {run['steps']:,} steps, {run['seconds'] / 60:.1f} minutes on {run['device']}: "
            f"**{100 * run['miou']:.1f} mIoU** over 11 classes on its val split, counted at 360×480 (one seed; "
            f"`{run['command']}`).",
        ]
    made = " and ".join(f"`{stored['command']}`" for stored in files)
    lines += ["", f"Made again by {made}; every run is in the `.json` beside its script."]
    return "\n".join(lines)


def labels() -> str:
    """Every variant of self-training: both presets beside each other, and how good the last pseudo-labels were."""
    stored = json.loads((FOLDER / "labels.json").read_text(encoding="utf-8"))
    keys, lines = ("miou", "tail_miou", "label_coverage", "label_accuracy"), []
    for protocol, words in LABELS:
        lines += [f"**{protocol}**: {words}.", ""]
        lines += ["| network, and what it learned from | mIoU | tail mIoU | believed | of those right | seeds |"]
        lines += ["|---|---|---|---|---|---|"]
        for title, preset in (("ResNet-18", "cpu"), ("slim", "notebook")):
            for variant, name in VARIANTS.items():
                key = {"protocol": protocol, "preset": preset, "variant": variant}
                runs = [run for run in stored["runs"] if key.items() <= run.items()]
                if runs:
                    cells = [spread(runs, key) for key in keys]
                    lines.append(f"| {title}, {name} | {' | '.join(cells)} | {len(runs)} |")
        lines.append("")
    gains = [gains_of(stored["runs"], protocol, preset) for protocol, _ in LABELS for preset in ("cpu", "notebook")]
    words = f"mIoU against the control, over the seeds that both have: {'; '.join(filter(None, gains))}."
    return "\n".join([*lines, LABEL_WORDS.format(command=stored["command"]), "", words])


def gains_of(runs: list[dict], protocol: str, preset: str) -> str:
    """Points of mIoU of each kind of self-training over its control; "" where there is none."""
    found: dict[str, dict[int, float]] = {}
    for run in runs:
        if (run["protocol"], run["preset"]) == (protocol, preset) and run["variant"] in VARIANTS:  # no learning rates
            found.setdefault(run["variant"], {})[run["seed"]] = 100 * run["miou"]
    said = []
    for variant, scores in found.items():
        longer = variant in ("DARS + IT", "DARS, later teacher")
        control = found.get("trained on twice" if longer else "trained on", {})
        both = scores.keys() & control.keys()
        if both and "label_coverage" in next(r for r in runs if r["variant"] == variant):
            gain = np.mean([scores[seed] - control[seed] for seed in both])
            said.append(f"{variant} {round(gain, 1) + 0.0:+.1f}")  # no -0.0
    return f"{protocol}, {'ResNet-18' if preset == 'cpu' else 'slim'}: {', '.join(said)}" if said else ""


def updated(readme: str) -> str:
    """The README with the tables between their marks replaced."""
    for name, text in (("results", table()), ("labels", labels()), ("latency", latencies())):
        start, end = (mark.format(name) for mark in MARKS)
        before, _, rest = readme.partition(start)
        readme = f"{before}{start}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
    return readme


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(table(), labels(), latencies(), sep="\n\n")
