"""The label explorer as one HTML file that needs no Python and no network: a link for a class, a phone's screen.

It holds the class and the confidence of every pixel of a few images, as a network gave them, and counts, fits and
labels in JavaScript; its labels are the library's, pixel for pixel (a test compares them in a browser).
"""

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minida.data import SegmentationDataset
from minida.labeling import statistic
from minida.labeling.base import max_probability
from minida.models import BiSeNet
from minida.storage import write_atomically
from minida.viz.label_judge import LabelJudge
from minida.viz.label_views import VIEWS, sure_map
from minida.viz.views import encode

TEMPLATE = Path(__file__).with_name("page.html")
MOST = 10 * 2**20  # bytes of a page


def write_page(
    path: str | Path, model: BiSeNet, dataset: SegmentationDataset, prior: Sequence[float], count: int | None = None
) -> Path:
    """Write the page for the first `count` images, as LabelJudge sees them; the same input gives the same bytes.

    Raises: ValueError, as LabelJudge, and for a page that would be larger than 10 MB.
    """
    judge = LabelJudge(model, dataset, prior, count)
    best, predicted = max_probability(judge.probs)  # (N, H, W)
    high, wide = best.shape[1:]
    frequency = judge.prior / judge.prior.sum()
    content = {
        "names": dataset.table.names, "palette": dataset.table.palette.tolist(), "prior": frequency.tolist(),
        "views": VIEWS, "size": [high, wide], "ids": judge.ids.tolist(), "data": str(dataset.spec),
        "images": ["data:image/jpeg;base64," + _text(encode(image)) for image in judge.images],
        "cividis": sure_map(np.arange(256)[None] / 255)[0].tolist(),
        "statistic": {
            "bins": statistic.BINS, "unit": statistic._A_UNIT, "low": statistic._LOW, "fine": statistic._FINE,
            "rounding": statistic._ROUNDING,
        },
        "predicted": _packed(predicted.byte().numpy()),
        "confidence": _packed(best.float().numpy().astype("<f4")),
        "bin": _packed(statistic.bin_of(1 - best).numpy().astype("<u2")),
        "truth": _packed(judge.truth.byte().numpy()),
    }  # fmt: skip
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")  # nothing in it ends the script
    page = TEMPLATE.read_text(encoding="utf-8").replace('"DATA"', data).encode()
    if len(page) > MOST:
        raise ValueError(f"the page would have {len(page):,} bytes, more than {MOST:,}; take fewer or smaller images")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, lambda part: part.write_bytes(page))
    return target


def _packed(values: np.ndarray) -> str:
    return _text(zlib.compress(values.tobytes(), 9))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
