"""Write both READMEs' results from the stored runs: `python assets/results/table.py`. A test fails when they drift."""

import hashlib
import json
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from minida import compare
from minida.compare.report import alike
from minida.config import CROPS
from minida.viz.ladder import cost_figure
from minida.viz.style import use_style

FOLDER = Path(__file__).resolve().parent
README, PICTURE = FOLDER.parents[1] / "README.md", FOLDER.parent / "ladder-{}.png"
DOCUMENTS = README, FOLDER / "README.md"  # in short, and everything
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
    ("uda", "`game` labelled, `real` without labels"),
)
SELF_TRAINING = {  # variants of self-training.json, in the table's order
    "teacher": "teacher: supervised on the labelled part", "trained on": "teacher, trained on as long (control)",
    "trained on, centroids": "the same, half of the crops drawn by centroids",
    "labelled images twice": "the same, 16 labelled images a step",
    **{f"1 : {k}{drawn}": f"{k} pseudo-labelled image{'s' * (k > 1)} for each labelled one{drawn}"
       for k in (1, 3, 7) for drawn in ("", ", centroids")},
    **{name + warm: f"1 : 1, centroids, {name}{warm}" for name in CROPS[1:] for warm in ("", ", warm-up")},
}  # fmt: skip
VARIANTS = {  # of labels.json, in the table's order
    "supervised": "teacher: supervised on the labelled part", "adversarial": "teacher: adversarial, DSC",
    "trained on": "teacher, trained on as long, no pseudo-labels", "ST": "ST", "MPT": "MPT", "CBST": "CBST",
    "DA": "DA", "DA + TS": "DA + TS", "DARS": "DARS", "DARS + IT": "DARS + IT (two rounds)",
    "DARS, later teacher": "DARS, from the teacher that was trained on",
    "trained on twice": "teacher, trained on twice as long, no pseudo-labels",
}  # fmt: skip
METHOD_WORDS = (
    "In %, on the val split of `real`; mean ± deviation over seeds. All but the first and those from scratch go on "
    "from the first row's weights, for as many steps again; what a step costs differs. Made again by `{command}`."
)
LADDER_WORDS = (
    "In %, slim network, on the val split of `real`; mean over three seeds, ± is half of its 95 % interval (Student's "
    "t: with three seeds 4.3 times the deviation over √3). A first stage gives a network that each rung goes on from, "
    "for as many steps; its control does so without the method. Differences are taken in pairs of equal seeds; a "
    "verdict stands only where their interval leaves out 0. The cost is of both stages' steps, in trainings of the "
    "first row (measured in turns on {device}, `{costs}`). Made again by `{command}`."
)
CAMVID = (
    ("ssl", "46 of CamVid's 367 training images labelled, the others without labels"),
    ("uda", "MiniCity's `game` labelled, CamVid's training images without labels"),
)
CAMVID_WORDS = (
    "In %, slim network from scratch, 600 steps a stage at 120×160, on CamVid's 101 val images, 11 classes; intervals "
    "and differences as above. Made again by `{command} --camvid DIR`."
)
SCORES = {"miou": "mIoU", "tail_miou": "tail mIoU"}
BELIEVED = {"label_coverage": "believed", "label_accuracy": "of those right"}
U2PL = {  # variants of u2pl.json, in the table's order
    "supervised": "supervised on the labelled part", "adversarial": "adversarial, DSC",
    "trained on": "the same, trained on as long (control)", "reliable only": "reliable pixels only (no L_c)",
    "U2PL": "U2PL", "U2PL, fixed α": "U2PL, α stays at 20 %", "U2PL, no partition": "U2PL, every pixel believed",
    "U2PL, no CutMix": "U2PL, without CutMix", "U2PL, from scratch": "U2PL, from scratch (the paper's one stage)",
    "U2PL, lr 0.02": "U2PL, a quarter of the rate",
}  # fmt: skip
MPL = {  # variants of mpl.json, in the table's order
    "supervised": "supervised on the labelled part", "adversarial": "adversarial, DSC",
    "trained on": "the same, trained on as long (control)", "pseudo-labels": "pseudo-labels (MPT), no feedback",
    "product": "MPL, feedback: product", "meta": "MPL, feedback: meta",
    "meta's two updates, no feedback": "MPL, two updates as with meta, no feedback",
    "no feedback, no consistency": "MPL, two updates, no feedback, no consistency",
    "meta, no consistency": "MPL, meta, no consistency",
    "product, student from scratch": "MPL, product, student from scratch",
    "meta, student from scratch": "MPL, meta, student from scratch",
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


def latencies(name: str = "latency") -> str:
    stored = read(name)
    rows, first = stored["records"], stored["records"][0]
    size = max(row["size"] for row in rows)
    large = {row["network"]: row for row in rows if (row["size"], row["batch"]) == (size, 1)}
    speed = [f"{name} {row['deployed']['images_per_second']:.0f}" for name, row in large.items()]
    cases = list(dict.fromkeys((tuple(row["size"]), row["batch"]) for row in rows))
    shown = f"{size[0]}×{size[1]}"
    lines = [
        f"Images of {shown} a second, one by one, on {first['device']}: **{', '.join(speed)}**.",
        "",
        f"| network | parameters without auxiliary heads | GFLOPs at {shown} | "
        + " | ".join(f"{h}×{w}, batch {b}" for (h, w), b in cases)
        + " |",
        "|---" * (3 + len(cases)) + "|",
    ]
    for network in large:
        own = [row for row in rows if row["network"] == network]
        times = [f"{row['deployed']['ms']:,.1f} ms ({row['ratio']:.1f}×)" for row in own]
        head = f"| {network} | {large[network]['parameters']:,} | {large[network]['flops'] / 1e9:.1f} | "
        lines.append(head + " | ".join(times) + " |")
    runs = sorted({row["runs"] for row in rows})
    tf32 = "" if "threads" in first["device"] else " (its convolutions in TF32, PyTorch's default)"
    passes = f"{runs[0]} to {runs[-1]}" if len(runs) > 1 else runs[0]
    return "\n".join(
        [
            *lines,
            "",
            f"Median of {passes} passes over the batch, from normalised images to logits (without "
            f"reading and resizing), untrained networks, on {first['device']}, {first['precision']}, torch "
            f"{first['torch']}; in brackets, how many times faster than the same network in plain eager float32, "
            f"measured in turns{tf32}. GFLOPs: twice the multiply-adds of the convolutions, one image. "
            f"(`{stored['command']}`)",
        ]
    )


def gpu() -> str:
    stored, found = read("gpu"), read("ladder-gpu")
    lines = ["| method | images a second | ms a step | waiting for data | memory, GiB |", "|---" * 5 + "|"]
    for name, row in stored["methods"].items():
        numbers = f"{row['images_per_second']:.0f} | {row['ms']:.0f} | {row['waiting']:.1%} | {row['memory_gib']:.1f}"
        lines.append(f"| {name} | {numbers} |")
    differ = max(row["labels_differ_on_cpu"] for row in stored["methods"].values())
    step, (network, *_) = found["step"], sorted(found["evaluations"], reverse=True)
    last = found["evaluations"][network][-1]
    return "\n".join(
        [
            *lines,
            "",
            f"Training at the preset `gpu` (512×1024, ResNet-18 where nothing else is said, {step['precision']}; the "
            "images of both domains count) on one "
            f"{stored['device']} with 16 cores, torch {stored['versions']['torch']}: the last 30 of 60 steps, with "
            f"8 processes that load the data (`{stored['command']}`). Where the crops change, the loaders start anew "
            "every few steps of so short a training, and little else was measured. Evaluated from its model file on "
            f"the CPU, in float32, at most {differ:.2%} of an image's labels differ. Without data a supervised step "
            f"takes {step['ms']:.0f} ms, {step['share']:.1%} of the rate of a large matrix product: small convolutions "
            "and many launches, not arithmetic. "
            f"A supervised training on `game` of {last['step']:,} steps took {last['seconds'] / 60:.1f} minutes and "
            f"ends at {100 * last['miou']:.1f} mIoU on `real` (seed 0, `{found['command']}`); the ladder's rungs at "
            "this preset have still to be run.",
        ]
    )


def performance() -> str:
    """What has a target, against the plain way or a bound."""
    stored = read("performance")
    lines = ["| what | plain | ours | ratio | target |", "|---" * 5 + "|"]
    for part in stored["parts"].values():
        for row in (row for row in part["rows"] if row["target"]):
            if "value" in row:
                numbers = f"| {_number(row['value'], row['unit'])} |"
            else:
                plain, ours = (_number(row[key], row["unit"]) for key in ("plain", "ours"))
                numbers = f"{plain} | {ours} | {row['ratio']:.2f}×"
            lines.append(f"| {row['what']} | {numbers} | {row['target']}{'' if row['met'] else ', missed'} |")
    first = next(iter(stored["parts"].values()))
    (workers,) = (row for row in stored["parts"]["data"]["rows"] if row["what"].endswith("beside workers=1"))
    slower = workers["ours"] / workers["plain"] - 1
    return "\n".join(
        [
            *lines,
            "",
            f"On {first['device']} (labelling, the contrastive term and the steps beside other steps on one), "
            f"torch {first['versions']['torch']}; plain and ours in turns in one run. Plain: float32, PyTorch's "
            "default memory order, its own upsampling and cross-entropy. A slim network's step is so short that its "
            "images take up to an eighth of it; a worker process hides that, but on two cores the step then takes "
            f"{slower:.0%} longer, so it is left to `workers`. "
            f"(`{stored['command']}`, which also measures memory and the time to the first trained step.)",
        ]
    )


def _number(value: float, unit: str) -> str:
    if unit == "of the time":
        return f"{value:.1%}"
    if unit == "bytes":
        return f"{value:,} bytes"
    return f"{value:,.{1 if abs(value) >= 10 else 2}f} {unit}"


def table() -> str:
    files = [read("adversarial"), read("supervised")]
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


def by_variant(runs: list[dict], order: dict[str, str], keys: dict[str, str], **shared: str) -> list[str]:
    """A table's lines, both presets one below the other: a row for each variant that has runs, in `order`."""
    lines = [f"| network, and what it learned from | {' | '.join(keys.values())} | seeds |"]
    lines += ["|---" * (len(keys) + 2) + "|"]
    for title, preset in (("ResNet-18", "cpu"), ("slim", "notebook")):
        for variant, name in order.items():
            wanted = {"preset": preset, "variant": variant, **shared}
            group = [run for run in runs if wanted.items() <= run.items()]
            if group:
                cells = [spread(group, key) for key in keys]
                lines.append(f"| {title}, {name} | {' | '.join(cells)} | {len(group)} |")
    return [*lines, ""]


def labels() -> str:
    """Every variant of self-training: both presets beside each other, and how good the last pseudo-labels were."""
    stored, lines = read("labels"), []
    for protocol, words in LABELS:
        lines += [f"**{protocol}**: {words}; with the adversarial term (Eq. 5)." if protocol == "uda" else
                  f"**{protocol}**: {words}.", ""]  # fmt: skip
        lines += by_variant(stored["runs"], VARIANTS, {**SCORES, **BELIEVED}, protocol=protocol)
    controls = dict.fromkeys(list(VARIANTS)[3:-1], "trained on")
    controls |= dict.fromkeys(("DARS + IT", "DARS, later teacher"), "trained on twice")
    words = against(stored["runs"], controls)
    return "\n".join([*lines, LABEL_WORDS.format(command=stored["command"]), "", words])


def u2pl() -> str:
    return of_method("u2pl", U2PL)


def mpl() -> str:
    return of_method("mpl", MPL)


def of_method(name: str, order: dict[str, str]) -> str:
    """The runs of one method's script under both protocols, its controls first."""
    stored, lines = read(name), []
    for protocol, words in LABELS:
        lines += [f"**{protocol}**: {words}.", "", *by_variant(stored["runs"], order, SCORES, protocol=protocol)]
    words = against(stored["runs"], dict.fromkeys(list(order)[3:], "trained on"))
    return "\n".join([*lines, METHOD_WORDS.format(command=stored["command"]), "", words])


def self_training() -> str:
    """Self-training after Zhu et al.: centroid sampling, ratios and schedules; then ten images of CamVid."""
    stored = read("self-training")
    lines = ["| slim, one eighth of `real` labelled; CBST's surer half | mIoU | tail mIoU | seeds | time |"]
    lines += ["|---|---|---|---|---|"]
    times = {(run["crops"], run["warmup"] > 0): run["faster"] for run in read("schedules")["runs"]}
    for variant, name in SELF_TRAINING.items():
        runs = [run for run in stored["runs"] if (run["variant"], run["preset"]) == (variant, "notebook")]
        if runs:
            crops, _, warm = variant.partition(", ")
            faster = times.get((crops, bool(warm)))
            cells = [spread(runs, key) for key in ("miou", "tail_miou")]
            time = f"{faster:.2f}× faster" if faster else ""
            lines.append(f"| {name} | {' | '.join(cells)} | {len(runs)} | {time} |")
    found = {}
    for run in stored["runs"]:
        if run["variant"].startswith("CamVid, "):
            found.setdefault(run["variant"].removeprefix("CamVid, "), []).append(run)
    camvid = ", ".join(f"{name} {spread(runs, 'miou')}" for name, runs in found.items())
    words = (
        "In %, on the val split of `real`; mean ± deviation over seeds. The time is a training's of 600 baseline steps "
        "or as many images, whole steps measured in turns on an idle machine (`assets/results/schedules.json`). Ten "
        f"labelled images of CamVid, 300 steps, 11 classes, mIoU by what the network starts from: {camvid}. "
        f"Made again by `{stored['command']}`."
    )
    return "\n".join([*lines, "", words])


def read(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def against(runs: list[dict], controls: dict[str, str]) -> str:
    """Points of mIoU of each variant over its control, in pairs of equal seeds, under both protocols and presets."""
    scores: dict[tuple[str, str, str], dict[int, dict]] = {}
    for run in runs:
        scores.setdefault((run["protocol"], run["preset"], run["variant"]), {})[run["seed"]] = run
    found = []
    for protocol, _ in LABELS:
        for title, preset in (("ResNet-18", "cpu"), ("slim", "notebook")):
            said = []
            for variant, control in controls.items():
                mine, other = (scores.get((protocol, preset, name), {}) for name in (variant, control))
                pairs = [(mine[seed], other[seed]) for seed in sorted(mine.keys() & other.keys())]
                gains = [100 * (run["miou"] - beside["miou"]) for run, beside in pairs if alike(run, beside)]
                if gains:
                    deviation = f" ± {np.std(gains, ddof=1):.1f}" if len(gains) > 1 else ""
                    said.append(f"{variant} {round(np.mean(gains), 1) + 0.0:+.1f}{deviation}")  # no -0.0
            if said:
                found.append(f"{protocol}, {title}: {', '.join(said)}")
    return f"mIoU against the control, in pairs of equal seeds on one machine: {'; '.join(found)}."


def costs(protocol: str) -> dict[str, float]:
    return {run["rung"]: run["training"] for run in read("ladder-cost")["runs"] if run["ladder"] == protocol}


def ladder() -> str:
    """Every rung at the preset notebook, both protocols."""
    return ladders("notebook")


def ladder_cpu() -> str:
    return ladders("cpu")


def ladder_camvid() -> str:
    """The main rungs on real photographs."""
    stored, lines = read("ladder-camvid"), []
    for protocol, words in CAMVID:
        table = compare.markdown(compare.rows(stored["runs"], protocol, "notebook"), protocol)
        lines += [f"**{protocol}**: {words}.", "", table, ""]
    return "\n".join([*lines, CAMVID_WORDS.format(command=stored["command"])])


def ladders(preset: str) -> str:
    stored, spent, lines = read("ladder"), read("ladder-cost"), []
    for protocol, words in LABELS:
        found = compare.rows(stored["runs"], protocol, preset)
        if found:
            table = compare.markdown(found, protocol, costs(protocol) if preset == "notebook" else None)
            lines += [f"**{protocol}**: {words}.", "", table, ""]
    words = LADDER_WORDS if preset == "notebook" else "One seed: no interval, no verdict. Made again by `{command}`."
    return "\n".join([*lines, words.format(command=stored["command"], costs=spent["command"], device=spent["device"])])


def digest() -> str:
    """Of what the pictures show."""
    files = [(FOLDER / f"{name}.json").read_bytes() for name in ("ladder", "ladder-cost")]
    return hashlib.sha256(b"".join(files)).hexdigest()


def draw() -> None:
    """The ladders' pictures; each says which runs it shows."""
    with matplotlib.rc_context():
        use_style()
        for protocol in compare.LADDERS:
            figure = cost_figure(compare.rows(read("ladder")["runs"], protocol, "notebook"), costs(protocol))
            figure.savefig(str(PICTURE).format(protocol), dpi=130, metadata={"Source": digest()})


def drawn(protocol: str) -> str:
    with Image.open(str(PICTURE).format(protocol)) as picture:
        return picture.info.get("Source", "")


TABLES = {
    "ladder": ladder, "ladder-cpu": ladder_cpu, "ladder-camvid": ladder_camvid, "results": table, "labels": labels,
    "self-training": self_training, "u2pl": u2pl, "mpl": mpl, "latency": latencies,
    "latency-gpu": partial(latencies, "latency-gpu"), "gpu": gpu,
    "performance": performance,
}  # fmt: skip


def updated(document: str) -> str:
    """A document with the tables between their marks replaced."""
    for name, text in TABLES.items():
        start, end = (mark.format(name) for mark in MARKS)
        before, found, rest = document.partition(start)
        if found:
            document = f"{before}{start}\n\n{text()}\n\n{end}{rest.partition(end)[2]}"
    return document


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
    draw()
    print(table(), ladder(), latencies(), sep="\n\n")
