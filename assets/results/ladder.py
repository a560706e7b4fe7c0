"""Make ladder.json again: `python assets/results/ladder.py [--only notebook|cpu|camvid] [--camvid DIR]`.

The ladder on MiniCity: every rung at the preset `notebook` over three seeds, the main rungs at `cpu` with one. What
labels.py, adversarial.py and supervised.py have stored is not trained again. With --camvid, the data set in SegNet's
layout, also ladder-camvid.json: its main rungs on real photographs of 120x160, 46 of them labelled (ssl), or adapted
to from MiniCity's game (uda). Run folders are kept in runs/ladder and runs/ladder-camvid. About four hours on two
cores.
"""

import json
import os
from pathlib import Path

import stored

from minida import compare

HERE = Path(__file__).resolve().parent
SSL, UDA = ("st", "dars", "u2pl"), ("dsc", "dsc-mpt", "dsc-dars")
PARTS = {  # --only: protocol, rungs (default all), seeds, settings
    "notebook": (("ssl", (), 3, {}), ("uda", (), 3, {})),
    "cpu": (("uda", (*UDA, "u2pl", "mpl-product", "mpl-meta"), 1, {}), ("ssl", ("cbst", *SSL, "mpl-meta"), 1, {})),
    "camvid": (("ssl", SSL, 3, {"size": (120, 160)}), ("uda", UDA, 3, {"size": (120, 160)})),
}  # fmt: skip


def plan(part: str, camvid: str) -> list[compare.Planned]:
    target = {"target": f"camvid:{camvid}"} if part == "camvid" else {}
    preset = "cpu" if part == "cpu" else "notebook"
    return [
        one
        for protocol, rungs, seeds, settings in PARTS[part]
        for one in compare.plan(rungs, [protocol], seeds, preset, settings | target)
    ]


def climb(part: str, camvid: str) -> None:
    name = "ladder-camvid" if part == "camvid" else "ladder"
    target, out = HERE / f"{name}.json", Path("runs") / name
    files = [HERE / f"{known}.json" for known in ("labels", "adversarial", "supervised")]
    known = [path for path in (*files, target, Path("runs") / "results") if path.exists()]
    compare.climb(plan(part, camvid), out, known, command="python assets/results/ladder.py")
    text = (out / "results.json").read_text(encoding="utf-8").replace(f"camvid:{camvid}", "camvid:DIR")
    stored.write(target, json.loads(text))


if __name__ == "__main__":
    options = stored.options(__doc__)
    options.add_argument("--camvid", default="", help="folder of CamVid's pictures and labels")
    given = options.parse_args()
    camvid = given.camvid and os.path.abspath(given.camvid)
    os.chdir(stored.ROOT)  # records name other runs by paths from here
    for part in PARTS:
        if given.only in part and (part != "camvid" or camvid):
            climb(part, camvid)
