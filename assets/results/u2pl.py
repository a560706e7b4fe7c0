"""Make u2pl.json again: `python assets/results/u2pl.py [--only TEXT]`.

U2PL on MiniCity under both protocols. ssl: 1/8 of `real` labelled; uda: game -> real. Student and control go on from
the supervised network of that eighth (ssl) or from the adversarial one (uda: adversarial.py's DSC) for as many steps
again; "from scratch" is the paper's way, one stage. Three seeds at the preset `notebook`, one at `cpu`. Run folders are
kept in runs/results. About three hours on two cores.
"""

from pathlib import Path

import stored

WAYS = {  # key of a run -> variant, options
    "": ("U2PL", []),
    "reliable": ("reliable only", ["--lambda-c", "0"]),
    "fixed": ("U2PL, fixed α", ["--alpha", "0.2,0.2"]),
    "everything": ("U2PL, no partition", ["--alpha", "0,0"]),
    "uncut": ("U2PL, no CutMix", ["--no-cutmix"]),
}


def plan() -> stored.Plan:
    found = stored.Plan()
    for preset, seed in (("notebook", 0), ("notebook", 1), ("notebook", 2), ("cpu", 0)):
        eighth, game = found.begin(preset, seed)
        for key, (variant, options) in WAYS.items():
            name = "-".join(filter(None, (preset, "u2pl", key, str(seed))))
            if preset == "notebook" or key in ("", "reliable"):
                found.add(name, variant, ["u2pl", *options, *eighth])
            if preset == "notebook" and key in ("", "reliable"):
                found.add(f"game-{name}", variant, ["u2pl", *options, *game])
        if preset == "notebook":
            found.add(f"game-{preset}-u2pl-slow-{seed}", "U2PL, lr 0.02", ["u2pl", "--lr", "0.02", *game])
            alone = [*stored.EIGHTH, "--preset", preset, "--seed", str(seed)]
            found.add(f"{preset}-u2pl-scratch-{seed}", "U2PL, from scratch", ["u2pl", *alone])
    return found


if __name__ == "__main__":
    found = plan()
    stored.make(Path(__file__), found.runs, stored.options(__doc__).parse_args().only, found.variants.get)
