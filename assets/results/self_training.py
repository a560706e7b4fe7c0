"""Make self-training.json again: `python assets/results/self_training.py [--only TEXT] [--camvid DIR]`.

Self-training after Zhu et al. on MiniCity, 1/8 of `real` labelled: with and without centroid sampling, by the ratio of
pseudo-labelled to labelled images, with crop schedules, with other students, and what its result is worth on another
label set (CamVid, ten labelled images). The teachers are those of labels.py. Three seeds at the preset `notebook`;
other students (slim after ResNet-18, and the other way round) have one. About three hours on two cores.
"""

from pathlib import Path

import stored
from stored import EIGHTH

HALF = ["self-training", "--strategy", "cbst", "--ratio", "0.5"]  # each class's surer half
SCHEDULES = ("coarse2fine", "fine2coarse", "coarse2fine+", "fine2coarse+")


def commands(camvid: str | None) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Arguments of `minida train` by the name of the run, and each run's variant."""
    cases = {  # name -> variant, method and options
        "long": ("trained on", ["supervised"]),
        "long-c": ("trained on, centroids", ["supervised", "--centroids", "0.5"]),
        "double": ("labelled images twice", ["supervised", "--batch-size", "16"]),
        "plain": ("1 : 1", HALF),
        "c": ("1 : 1, centroids", [*HALF, "--centroids", "0.5"]),
    }
    for mix in ("3", "7"):
        cases[f"mix{mix}"] = (f"1 : {mix}", [*HALF, "--mix", mix])
        cases[f"mix{mix}-c"] = (f"1 : {mix}, centroids", [*HALF, "--mix", mix, "--centroids", "0.5"])
    for crops in SCHEDULES:
        for name, warmup in ((crops, "0"), (f"{crops}, warm-up", "0.1")):
            options = ["--centroids", "0.5", "--crops", crops, "--warmup", warmup]
            cases[f"{crops}-{warmup}"] = (name, [*HALF, *options])
    runs, names = {}, {}
    for seed in ("0", "1", "2"):
        teacher = f"notebook-eighth-{seed}"
        names[teacher], runs[teacher] = "teacher", ["supervised", *EIGHTH, "--preset", "notebook", "--seed", seed]
        rest = [*EIGHTH, "--init", f"runs/results/{teacher}", "--preset", "notebook", "--seed", seed]
        for key, (title, options) in cases.items():
            name = f"notebook-eighth-long-{seed}" if key == "long" else f"zhu-{key}-{seed}"
            names[name], runs[name] = title, [*options, *rest]
        if camvid:
            few = ["supervised", "--source", f"camvid:{camvid}", "--labeled", "10/367", "--preset", "notebook"]
            starts = {"scratch": None, "teacher": teacher, "trained on": f"notebook-eighth-long-{seed}"}
            for title, start in {**starts, "self-trained": f"zhu-c-{seed}"}.items():
                name = f"zhu-camvid-{title.replace(' ', '-')}-{seed}"
                given = ["--init", f"runs/results/{start}"] if start else []
                names[name], runs[name] = f"CamVid, {title}", [*few, *given, "--steps", "300", "--seed", seed]
    rest = [*EIGHTH, "--preset", "notebook", "--seed", "0"]  # other students: both from scratch, for as many steps
    large, first = "zhu-teacher-resnet18-0", "notebook-eighth-0"
    names[large], runs[large] = "teacher resnet18", ["supervised", "--backbone", "resnet18", *rest]
    for student, teacher in (("slim", large), ("resnet18", first)):
        name = f"zhu-student-{student}-0"
        names[name] = f"student {student}, from scratch"
        given = ["--teacher", f"runs/results/{teacher}", "--student", "scratch", "--backbone", student]
        runs[name] = [*HALF, *given, *rest]
    return runs, names


if __name__ == "__main__":
    parser = stored.options(__doc__)
    parser.add_argument("--camvid", help="folder of CamVid; without it these runs stay as they are")
    given = parser.parse_args()
    runs, names = commands(given.camvid)
    stored.make(Path(__file__), runs, given.only, names.get, given.camvid or "")
