"""Make adversarial.json again: `python assets/results/adversarial.py [--only TEXT]`.

Source-only, λ = 0 and both discriminators on MiniCity's game -> real: three seeds at the preset `notebook`, one at
`cpu`; then what notebook 02 compares: whose statistics batch norm takes, λ, the discriminator's optimiser. Run folders
are kept in runs/results, where supervised.py's source-only runs are found again. About an hour and a half on two cores.
"""

from pathlib import Path

import stored
from stored import GAME

VARIANTS = {  # name of the run: its part in the tables, arguments
    "source-only": ("source-only", ["supervised"]),
    "zero": ("λ = 0", ["adversarial", "--lambda-adv", "0"]),
    "dsc": ("DSC", ["adversarial", "--discriminator", "dsc"]),
    "fcd": ("FCD", ["adversarial", "--discriminator", "fcd"]),
    "dsc-strong": ("DSC", ["adversarial", "--lambda-adv", "0.01"]),
    "zero-joint": ("λ = 0", ["adversarial", "--lambda-adv", "0", "--batch-norm", "joint"]),
    "dsc-joint": ("DSC", ["adversarial", "--lambda-adv", "0.01", "--batch-norm", "joint"]),
    "dsc-sgd": ("DSC", ["adversarial", "--discriminator-optimizer", "sgd"]),
    "dsc-rmsprop": ("DSC", ["adversarial", "--discriminator-optimizer", "rmsprop"]),
}
FIRST = ("source-only", "zero", "dsc", "fcd", "dsc-strong")  # at `cpu` too


def commands() -> dict[str, list[str]]:
    cases = [("notebook", name, seed) for name in VARIANTS for seed in (0, 1, 2)]
    cases += [("cpu", name, 0) for name in FIRST]
    return {
        f"{preset}-{name}-{seed}": [*VARIANTS[name][1], *GAME, "--preset", preset, "--seed", str(seed)]
        for preset, name, seed in cases
    }


def variant(name: str) -> str:
    return VARIANTS[name.split("-", 1)[1].rpartition("-")[0]][0]


if __name__ == "__main__":
    stored.make(Path(__file__), commands(), stored.options(__doc__).parse_args().only, variant)
    stored.keep({"slim-dsc": "notebook-dsc-0"})
