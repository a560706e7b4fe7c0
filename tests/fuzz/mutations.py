"""Seeded ways to spoil an input: bytes, JSON, texts, tables of words, pictures. All randomness comes from `rng`."""

import io
import json
import math
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from PIL import Image

ODD_VALUES = (
    None, True, False, 0, -1, 1, 2, 7, 255, 256, 0.5, -0.5, 1e308, 2**31, 2**63, -(2**64), 10**30, 1e-300, math.nan,
    math.inf, -math.inf, "", " ", "x", "0", "1/0", "nan", "inf", "-1", "1e999", "a\nb", "\0", "\u2028", "🚗", "\ud800",
    "../../outside/secret", "/etc/passwd", "C:\\x", "a" * 5000, [], {}, [[]], [1, 2], [0, 0], [math.nan, 1], ["a", "b"],
    [1, 2, 3], [True, None], {"a": 1}, {"": {}}, [[[[[[]]]]]],
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "\n", "\r", "\t", "\0", "\x1b[2J", "\u2028", "\x85", "'", '"', "\\", "/", "//", "..", "../", "../../",
    "~", "~root", "?", "&", "=", "#", "%00", "%", ":", "::", ",", "*", "[", "{}", "{0}", "%s", "$HOME", "`x`", "-",
    "--", "--json", "-1", "0", "00", "1e999", "nan", "inf", "-inf", "1_000", "٣", "²", "½", "0x10", "9" * 30, "; rm x",
    "9" * 5000, "é", "e\u0301", "🚗", "\ud800", "\ufeff", "\u202e", "a" * 300, "a/" * 300, "A" * 70000, "None", "true",
)  # fmt: skip
DEEP = 100_000  # brackets of a JSON text that no parser's stack can hold
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr", "PA")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "TGA", "ICO", "PDF")


def spoil_bytes(rng: Random, data: bytes, head: int | None = None) -> bytes:
    """One to three wounds; of the first `head` bytes alone, where it is given."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        end = min(head or len(data), len(data))
        data = rng.choice(BYTES)(rng, bytearray(data), max(end, 1))
    return data


def _place(rng: Random, data: bytearray, end: int) -> tuple[int, int]:
    start = rng.randrange(max(1, min(end, len(data))))
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 64, 512)))


def _flip(rng: Random, data: bytearray, end: int) -> bytes:
    if data:
        data[_place(rng, data, end)[0]] ^= 1 << rng.randrange(8)
    return bytes(data)


def _replace(rng: Random, data: bytearray, end: int) -> bytes:
    start, stop = _place(rng, data, end)
    data[start:stop] = rng.randbytes(stop - start)
    return bytes(data)


def _cut(rng: Random, data: bytearray, end: int) -> bytes:
    return bytes(data[: rng.choice((0, 1, 7, 8, 9, len(data) // 2, max(0, len(data) - 1), rng.randrange(end)))])


def _remove(rng: Random, data: bytearray, end: int) -> bytes:
    start, stop = _place(rng, data, end)
    return bytes(data[:start] + data[stop:])


def _insert(rng: Random, data: bytearray, end: int) -> bytes:
    start, _ = _place(rng, data, end)
    return bytes(data[:start] + rng.randbytes(rng.choice((1, 3, 8, 100))) + data[start:])


def _swap(rng: Random, data: bytearray, end: int) -> bytes:
    (a, b), (c, d) = sorted((_place(rng, data, end), _place(rng, data, end)))
    if b <= c:
        data[a:d] = data[c:d] + data[b:c] + data[a:b]
    return bytes(data)


def _zero(rng: Random, data: bytearray, end: int) -> bytes:
    start, stop = _place(rng, data, end)
    data[start:stop] = bytes([rng.choice((0, 255))]) * (stop - start)
    return bytes(data)


def _double(rng: Random, data: bytearray, end: int) -> bytes:
    start, stop = _place(rng, data, end)
    return bytes(data[:stop] + data[start:])


def _header(rng: Random, data: bytearray, end: int) -> bytes:
    data[: rng.choice((1, 4, 8, 16))] = rng.choice((b"", b"PK\x03\x04", b"\x80\x04.", b"%!PS", b"\x93NUMPY", b"GIF89a"))
    return bytes(data)


def _append(rng: Random, data: bytearray, end: int) -> bytes:
    return bytes(data) + rng.choice((b"\0", b"\n", rng.randbytes(64), bytes(data[:100])))


BYTES: Sequence[Callable[[Random, bytearray, int], bytes]] = (
    _flip, _flip, _flip, _replace, _cut, _remove, _insert, _swap, _zero, _double, _header, _append,
)  # fmt: skip


def _places(value: Any, path: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [path, *(place for key, item in items for place in _places(item, (*path, key)))]


def spoil_value(rng: Random, value: Any, odd: Sequence[Any] = ODD_VALUES) -> Any:
    """A copy of nested dicts and lists with one or two places replaced, left out, doubled or added to."""
    for _ in range(rng.choice((1, 1, 2))):
        value = _spoil_at(rng, value, rng.choice(_places(value)), odd)
    return value


def _spoil_at(rng: Random, value: Any, path: tuple, odd: Sequence[Any]) -> Any:
    if path:
        key, *rest = path
        changed = dict(value) if isinstance(value, dict) else list(value)
        if not rest and rng.random() < 0.25:
            del changed[key]
        else:
            changed[key] = _spoil_at(rng, value[key], tuple(rest), odd)
        return changed
    if isinstance(value, dict) and rng.random() < 0.4:
        return {**value, rng.choice(("extra", "", "__class__", "\n", "name", "step")): rng.choice(odd)}
    if isinstance(value, list) and rng.random() < 0.4:
        return [*value, *(value or [rng.choice(odd)])]
    if type(value) in (int, float) and rng.random() < 0.4:
        return rng.choice((-value, value + 1, value * 1000, value + 0.5, str(value), [value], bool(value)))
    if isinstance(value, str) and rng.random() < 0.4:
        return spoil_text(rng, value)
    return rng.choice(odd)


def spoil_json(rng: Random, value: Any) -> bytes:
    """The bytes of a JSON file with a spoiled value, or a spoiled text."""
    text = json.dumps(value)
    kind = rng.randrange(10)
    if kind < 6:
        return json.dumps(spoil_value(rng, value)).encode()
    if kind == 6:
        opened = rng.choice(("[", '{"a":', '[{"name":'))
        return (opened * DEEP).encode()
    if kind == 7:
        number = rng.choice(("9" * 5000, "1e99999", "-1e99999", "NaN", "-Infinity", "1.0", '"\\ud800"'))
        digits = [i for i, letter in enumerate(text) if letter.isdigit()] or [0]
        place = rng.choice(digits)
        return (text[:place] + number + text[place + 1 :]).encode()
    return spoil_bytes(rng, rng.choice((text.encode(), text.encode("utf-16"), b"\xef\xbb\xbf" + text.encode())))


def spoil_text(rng: Random, text: str, pieces: Sequence[str] = ODD_TEXTS) -> str:
    """One to three changes: a piece put in, in the place of another or at an end; letters lost, doubled, swapped."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.randrange(len(text) + 1)
        stop = min(len(text), start + rng.choice((0, 0, 1, 1, 3, 10)))
        new = rng.choice((rng.choice(pieces), rng.choice(pieces), text[start:stop] * 2, text[start:stop][::-1], ""))
        text = rng.choice((text[:start] + new + text[stop:], text[:start] + new + text[stop:], new + text, text + new))
    return text


def odd_picture(rng: Random, size: tuple[int, int]) -> bytes:
    """A picture file of any mode, format and size near (h, w): most are no label map, and some no photograph."""
    h, w = rng.choice((size, size, size, (1, 1), (size[1], size[0]), (size[0] + 1, size[1]), (1, 500)))
    mode = rng.choice(MODES)
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, rng.choice((2, 19, 34, 256)), (h, w), np.uint8)
    image, file = Image.fromarray(pixels, "L"), io.BytesIO()
    if mode in ("I;16", "I", "F"):
        image = Image.fromarray(pixels.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 255)
    elif mode == "PA":
        image = image.convert("LA")
    else:
        image = image.convert(mode)
    options = {"bits": rng.choice((1, 2, 4, 8))} if mode == "P" else {}
    try:
        image.save(file, rng.choice((*FORMATS, "PNG", "PNG", "PNG")), **options)
    except (OSError, ValueError, KeyError):  # not every format has every mode
        return rng.randbytes(200)
    return file.getvalue()


def png_of_any_header(rng: Random, data: bytes) -> bytes:
    """A PNG whose header says something else, with the checksum that belongs to it."""
    import zlib

    width, height = rng.choice((0, 1, 20, 36, 2**16, 2**31 - 1, 2**32 - 1)), rng.choice((20, 36, 0, 10**6))
    bits, colours = rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 5))
    rest = (rng.choice((0, 0, 1)), rng.choice((0, 0, 1)), rng.choice((0, 0, 1, 2)))
    fields = struct.pack(">IIBBBBB", width, height, bits, colours, *rest)
    chunk = b"IHDR" + fields
    return data[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
