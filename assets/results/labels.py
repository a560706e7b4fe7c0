"""Make labels.json again: `python assets/results/labels.py [--only TEXT]`.

Pseudo-labels on MiniCity under both protocols. ssl: 1/8 of `real` labelled, the supervised network of that eighth is
the teacher of every strategy. uda: game -> real, the adversarial network (adversarial.py's DSC) is the teacher, and
the student is trained with Eq. 5. Three seeds at the preset `notebook`, one at `cpu`. Then what notebook 03 compares,
the learning rates of the report's Fig. 7. Run folders are kept in runs/results; every record also says how good the
last round's pseudo-labels were. About four hours on two cores.
"""

from pathlib import Path

import stored
from stored import EIGHTH, GAME

from minida import data
from minida.data.pseudo import PseudoLabelled
from minida.metrics import PseudoLabelQuality

# The controls are the teacher trained for as many steps again without pseudo-labels. "DARS, later teacher" starts from
# the first control; its own, and that of DARS + IT, is the second: twice as many steps.
STRATEGIES = {"ST": "st", "CBST": "cbst", "DA": "da", "DARS": "dars", "MPT": "mpt"}
RATES = ("0.16", "0.04", "0.0008")  # the report's 5e-2, 1.25e-2 and 2.5e-4, against 0.08 for its 2.5e-2
MORE = {  # of ssl: name of a run -> variant, arguments
    "ts": ("DA + TS", ["--strategy", "da", "--temperature", "1.5"]),
    "it": ("DARS + IT", ["--strategy", "dars", "--rounds", "2", "--ratio", "0.5,0.8", "--strength", "0.5,1"]),
}


def commands() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Arguments of `minida train` by the name of the run, a teacher before its students; and each run's variant."""
    runs, names = {}, {}
    for preset, seeds in (("notebook", (0, 1, 2)), ("cpu", (0,))):
        for seed in seeds:
            rest = ["--preset", preset, "--seed", str(seed)]
            teacher, adapted = f"{preset}-eighth-{seed}", f"{preset}-dsc-{seed}"
            names[teacher], runs[teacher] = "supervised", ["supervised", *EIGHTH, *rest]
            names[adapted], runs[adapted] = "adversarial", ["adversarial", "--discriminator", "dsc", *GAME, *rest]
            from_teacher, from_adapted = (["--init", f"runs/results/{name}", *rest] for name in (teacher, adapted))
            cases = [  # name, variant, method and options of ssl, of uda
                ("long", "trained on", ["supervised"], ["adversarial", "--discriminator", "dsc"]),
                *((key, title, ["dars"] if key == "dars" else ["self-training", "--strategy", key],
                   ["pseudo"] if key == "mpt" else ["pseudo", "--strategy", key])
                  for title, key in STRATEGIES.items()),
                *((key, title, ["self-training", *options], None) for key, (title, options) in MORE.items()),
            ]  # fmt: skip
            for key, title, ssl, uda in cases:
                for domain, method, end in (("eighth", ssl, EIGHTH + from_teacher), ("game", uda, GAME + from_adapted)):
                    if method is not None:
                        name = f"{preset}-{domain}-{key}-{seed}"
                        names[name], runs[name] = title, [*method, *end]
            name, again = f"{preset}-eighth-long2-{seed}", ["--init", f"runs/results/{preset}-eighth-long-{seed}"]
            names[name], runs[name] = "trained on twice", ["supervised", *EIGHTH, *again, *rest]
            name = f"{preset}-eighth-late-{seed}"
            names[name], runs[name] = "DARS, later teacher", ["dars", *EIGHTH, *again, *rest]
            for rate in RATES if preset == "notebook" else ():
                name = f"{preset}-rate-{rate}-{seed}"
                names[name] = f"lr {rate}"
                runs[name] = ["pseudo", *GAME, "--lr", rate, *from_adapted]
    return runs, names


def judged(record: dict) -> dict:
    """How good the last round's pseudo-labels were: the target's labels are read for this alone."""
    path = max((stored.RUNS / record["name"]).glob("pseudo-labels-*.npy"), default=None)
    if path is None:
        return {}
    if record["protocol"] == "ssl":
        images = data.open(record["source"], "train", record["size"])
        images = data.labeled_split(images, 1 / 8, record["seed"])[1]
    else:
        images = data.open(record["target"], "train", record["size"])
    images.prepare()
    pseudo, quality = PseudoLabelled(images, path), PseudoLabelQuality(19)
    for index in range(len(images)):
        quality.update(pseudo.labels(index), images[index][1])
    coverage, accuracy = quality.coverage(), quality.accuracy()
    return {
        "label_coverage": coverage.overall,
        "label_accuracy": accuracy.overall,
        "label_kl": quality.kl(images.class_frequency()),  # to the shares of the truth
        "label_coverage_per_class": coverage.per_class.tolist(),
        "label_accuracy_per_class": [None if value != value else value for value in accuracy.per_class.tolist()],
    }


if __name__ == "__main__":
    runs, names = commands()
    stored.make(Path(__file__), runs, stored.options(__doc__).parse_args().only, names.get, judge=judged)
    stored.keep({"slim-eighth": "notebook-eighth-0"})
