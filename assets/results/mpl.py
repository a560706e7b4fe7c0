"""Make mpl.json again: `python assets/results/mpl.py [--only TEXT]`.

Meta Pseudo Labels on MiniCity. uda: game -> real, teacher and student from the adversarial network (adversarial.py's
DSC), or the student from scratch; plain pseudo-labels (MPT) and the adversarial network trained on as long beside it.
ssl, where Pham et al. have it: 1/8 of `real` labelled, from the supervised network of that eighth. Three seeds at the
preset `notebook`, one at `cpu`. Run folders are kept in runs/results. About four hours on two cores.
"""

from pathlib import Path

import stored

WAYS = {  # key of a run -> variant, options
    "meta": ("meta", ["--feedback", "meta"]),
    "product": ("product", ["--feedback", "product"]),
    "none": ("meta's two updates, no feedback", ["--feedback", "none"]),
    "meta-quiet": ("meta, no consistency", ["--feedback", "meta", "--consistency", "none"]),
    "none-quiet": ("no feedback, no consistency", ["--feedback", "none", "--consistency", "none"]),
    "meta-scratch": ("meta, student from scratch", ["--feedback", "meta", "--student", "scratch"]),
    "product-scratch": ("product, student from scratch", ["--feedback", "product", "--student", "scratch"]),
}


def plan() -> stored.Plan:
    found = stored.Plan()
    for preset, seed in (("notebook", 0), ("notebook", 1), ("notebook", 2), ("cpu", 0)):
        eighth, game = found.begin(preset, seed)
        found.add(f"{preset}-game-mpt-{seed}", "pseudo-labels", ["pseudo", *game])
        for key, (variant, options) in WAYS.items():
            if preset == "notebook" or key in ("meta", "product"):
                found.add(f"{preset}-mpl-{key}-{seed}", variant, ["mpl", *options, *game])
        if preset == "notebook":
            found.add(f"{preset}-eighth-mpl-{seed}", "meta", ["mpl", *eighth])
            told = ["mpl", "--feedback", "none", *eighth]
            found.add(f"{preset}-eighth-mpl-none-{seed}", "meta's two updates, no feedback", told)
    return found


if __name__ == "__main__":
    found = plan()
    stored.make(Path(__file__), found.runs, stored.options(__doc__).parse_args().only, found.variants.get)
