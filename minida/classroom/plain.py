"""Plain data as text: what goes between the grader and a student's process. Nothing is unpickled, no class crosses.

Numbers, text, None, lists, tuples, dictionaries, NumPy arrays and torch tensors become JSON; whoever reads it has new
objects of exactly these types. So an answer that equals everything, or that prints one thing and is another, cannot
reach a test.
"""

import base64
import json
from typing import Any

import numpy as np

LARGEST = 64 * 2**20  # characters of one answer
KINDS = "?bBhHiIlLqQefd"  # NumPy's codes of boolean, integer and floating-point arrays


def encode(value: Any) -> str:
    """Text for a plain value. Raises: TypeError that names what is not plain; ValueError for one that is too large."""
    text = json.dumps(_packed(value))
    if len(text) > LARGEST:
        raise ValueError(f"the answer has {len(text):,} characters; expected at most {LARGEST:,}")
    return text


def decode(text: str) -> Any:
    """The value in a text of `encode`, whoever wrote it. Raises: ValueError for any other text."""
    try:
        return _unpacked(json.loads(text))
    except (TypeError, KeyError, AttributeError, OverflowError, RecursionError, ValueError) as error:
        raise ValueError(f"no plain data: {str(error)[:200]}") from None


def _packed(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value if value is None or isinstance(value, bool) else str.__str__(value)
    if isinstance(value, int):
        return {"int": str(int.__int__(value))}
    if isinstance(value, float):
        return {"float": float.__float__(value).hex()}
    if isinstance(value, np.generic):
        return _packed(value.item())
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        array = value.detach().cpu()
        array = array.float() if str(array.dtype) == "torch.bfloat16" else array
        return {**_packed(array.numpy()), "torch": True}
    if isinstance(value, np.ndarray):
        if value.dtype.char not in KINDS:
            raise TypeError(f"an array of {value.dtype} is no plain data; expected numbers")
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": data, "dtype": value.dtype.newbyteorder("=").char, "shape": list(value.shape)}
    if isinstance(value, dict):
        return {"dict": [[_packed(key), _packed(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [_packed(item) for item in value]}
    raise TypeError(f"{type(value).__name__} is no plain data; expected numbers, text, lists, dictionaries or arrays")


def _unpacked(value: Any) -> Any:
    if not isinstance(value, dict):
        if value is None or isinstance(value, bool | str):
            return value
        raise ValueError(f"a bare {type(value).__name__}")
    if "array" in value:
        if value["dtype"] not in KINDS:
            raise ValueError("an array of no numbers")
        array = np.frombuffer(base64.b64decode(value["array"], validate=True), value["dtype"])
        array = array.reshape(value["shape"]).copy()
        if not value.get("torch"):
            return array
        import torch

        return torch.from_numpy(array)
    ((kind, inside),) = value.items()
    if kind == "int":
        return int(inside)
    if kind == "float":
        return float.fromhex(inside)
    if not isinstance(inside, list):
        raise ValueError(f"a {kind} in a {type(inside).__name__}")
    if kind == "dict":
        return {_unpacked(key): _unpacked(item) for key, item in inside}
    if kind in ("list", "tuple"):
        items = [_unpacked(item) for item in inside]
        return items if kind == "list" else tuple(items)
    raise ValueError(f"a {kind}")


def answer(names: dict[str, Any], name: str, question: str) -> None:
    """In the student's process: call a function of the notebook, and show its answer as a message of its own kind."""
    from IPython.display import display

    try:
        args, kwargs = decode(question)
        said = {"answer": encode(names[name](*args, **kwargs))}
    except KeyError as error:
        said = {"error": f"NameError: {name} is not defined" if error.args == (name,) else f"KeyError: {error}"}
    except Exception as error:
        said = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
    display({"application/x-minida": json.dumps(said)}, raw=True)
