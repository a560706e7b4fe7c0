"""Make supervised.json again: `python assets/results/supervised.py [--only TEXT] [--camvid DIR]`.

Source-only and oracle at the presets `notebook` and `cpu`, the optimisers and the ablation of notebook 01, each with
three seeds;
with --camvid the real photographs, one seed. Run folders are kept in runs/results: a finished run is not run
again, a stopped one goes on. About an hour on two cores.
"""

from pathlib import Path

import stored
from stored import GAME

REAL = ["--source", "minicity:real"]
PLAIN = ["--scale", "1,1", "--jitter", "0", "--blur", "0", "--noise", "0"]
CHECKPOINTS = {"slim-game": "notebook-source-only-0", "slim-real": "notebook-oracle-0"}


def commands(camvid: str | None) -> dict[str, list[str]]:
    """Arguments of `minida train supervised` by the name of the run."""
    table = {}
    for preset in ("notebook", "cpu"):
        for seed in (0, 1, 2):
            end = ["--preset", preset, "--seed", str(seed)]
            table[f"{preset}-source-only-{seed}"] = [*GAME, *end]
            table[f"{preset}-oracle-{seed}"] = [*REAL, *end]
    for optimizer in ("adam", "rmsprop"):  # sgd is the oracle above
        for seed in (0, 1, 2):
            end = ["--preset", "notebook", "--optimizer", optimizer, "--seed", str(seed)]
            table[f"notebook-{optimizer}-{seed}"] = [*REAL, *end]
    for seed in (0, 1, 2):
        end = ["--preset", "notebook", "--seed", str(seed)]
        table[f"notebook-unaugmented-{seed}"] = [*GAME, *PLAIN, *end]
    if camvid:
        table["camvid-0"] = ["--source", f"camvid:{camvid}", "--preset", "cpu", "--size", "176x240", "--steps", "1500"]
    return table


def main() -> None:
    parser = stored.options(__doc__)
    parser.add_argument("--camvid", metavar="DIR", help="CamVid in SegNet's layout: one run more")
    options = parser.parse_args()
    runs = {name: ["supervised", *arguments] for name, arguments in commands(options.camvid).items()}
    stored.make(
        Path(__file__), runs, options.only, lambda name: "not augmented" if "unaugmented" in name else None,
        options.camvid or "",
    )  # fmt: skip
    stored.keep(CHECKPOINTS)


if __name__ == "__main__":
    main()
