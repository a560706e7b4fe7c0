"""The page that needs no Python, before a browser opens it: what is in the file, and what it refuses."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
import torch

from minida.data import MiniCity
from minida.labeling.base import max_probability
from minida.labeling.statistic import BINS, bin_of
from minida.models import BiSeNet
from minida.viz import page
from minida.viz.label_judge import LabelJudge

SIZE, COUNT, PRIOR = (48, 96), 3, np.arange(1, 20)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return BiSeNet(19, "slim").eval()


def streets(split="val"):
    return MiniCity("real", split, SIZE, n=COUNT)


def content(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def unpacked(text, kind):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def test_it_holds_what_the_network_said(model, tmp_path):
    path = page.write_page(tmp_path / "new" / "page.html", model, streets(), PRIOR)
    text, data = content(path)
    judge = LabelJudge(model, streets(), PRIOR)
    best, predicted = max_probability(judge.probs)
    assert (unpacked(data["predicted"], "u1") == predicted.numpy().flatten()).all()
    assert (unpacked(data["confidence"], "<f4") == best.numpy().flatten()).all(), "to the last bit"
    assert (unpacked(data["bin"], "<u2") == bin_of(1 - best).numpy().flatten()).all()
    assert (unpacked(data["truth"], "u1") == judge.truth.numpy().flatten()).all()
    assert np.allclose(data["prior"], PRIOR / PRIOR.sum()) and data["ids"] == judge.ids.tolist()
    assert len(data["images"]) == COUNT and data["statistic"]["bins"] == BINS and data["size"] == list(SIZE)


def test_it_is_one_file_that_asks_for_nothing(model, tmp_path):
    path = page.write_page(tmp_path / "page.html", model, streets(), PRIOR)
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < page.MOST and list(tmp_path.iterdir()) == [path]
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)
    assert not re.search(r"https?:|src=\"(?!data:)|href=|@import|url\(", outside)
    assert "default-src 'none'" in outside
    again = page.write_page(tmp_path / "again.html", model, streets(), PRIOR)
    assert again.read_bytes() == path.read_bytes()


def test_names_cannot_end_the_script(model, tmp_path, monkeypatch):
    data = streets()
    data.spec = "</script><script>alert(1)"
    text, stored = content(page.write_page(tmp_path / "page.html", model, data, PRIOR))
    assert stored["data"] == data.spec and "<script>alert" not in text


def test_what_it_refuses(model, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(ValueError, match=r"prior has the shape \(5,\)"):
        page.write_page(path, model, streets(), PRIOR[:5])
    monkeypatch.setattr(page, "MOST", 1000)
    with pytest.raises(ValueError, match="more than 1,000; take fewer or smaller images"):
        page.write_page(path, model, streets(), PRIOR)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
