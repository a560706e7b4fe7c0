"""What goes between grader and student: plain data, the same types again, and nothing else."""

import base64
import json

import numpy as np
import pytest
import torch

from minida.classroom.plain import decode, encode


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -(10**30),
        0.1,
        float("inf"),
        "a\u00e4",
        [1, (2.5, None)],
        {"a": 1, 2: [True]},
        (),
        {},
        {(1, 2): "x"},
    ],
    ids=str,
)
def test_comes_back_as_it_was(value):
    again = decode(encode(value))
    assert again == value and type(again) is type(value)


def test_nan_and_arrays():
    assert np.isnan(decode(encode(float("nan"))))
    for array in (
        np.arange(6, dtype=np.uint8).reshape(2, 3).T,
        np.zeros((0, 3)),
        np.array(2.5),
        np.array([True, False]),
    ):
        again = decode(encode(array))
        assert again.dtype == array.dtype and again.shape == array.shape and (again == array).all()
    tensor = decode(encode({"a": torch.arange(3.0)}))["a"]
    assert torch.equal(tensor, torch.arange(3.0)) and torch.equal(
        decode(encode(torch.ones(2, requires_grad=True))), torch.ones(2)
    )
    assert decode(encode(np.float32(0.5))) == 0.5 and type(decode(encode(np.int64(2)))) is int


def test_a_liar_becomes_what_it_is():
    class Liar(float):
        def __eq__(self, other):
            return True

        def hex(self):
            return float.hex(4.0)

    assert decode(encode(Liar(3))) == 3 != 4 and type(decode(encode(Liar(3)))) is float
    assert decode(encode([Liar(3)])) != [4]


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 0, np.array([object()]), b"x", 1j])
def test_anything_else_is_named(value):
    with pytest.raises(TypeError, match="is no plain data"):
        encode(value)


ARRAY = {"dtype": "d", "shape": [2], "array": base64.b64encode(bytes(16)).decode()}


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[1]", "3", '{"os": "system"}', '{"int": "1", "float": "2"}', '{"float": "x"}', '{"list": 3}',
     json.dumps({**ARRAY, "dtype": "O"}), json.dumps({**ARRAY, "shape": [3]}), json.dumps({**ARRAY, "array": "!"}),
     json.dumps({**ARRAY, "shape": [-1, -1]}), '{"list": ' * 5000 + "[]" + "}" * 5000,
     '{"list": [' * 5000 + "]}" * 5000, '{"list": {"a": "b"}}', '{"tuple": "ab"}', '{"dict": {"ab": "c"}}'],
)  # fmt: skip
def test_what_is_no_plain_data_is_refused(text):
    with pytest.raises(ValueError, match="no plain data"):
        decode(text)
