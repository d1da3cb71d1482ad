"""Quantised weights, known by their types and by the names of what is stored beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from grokscope.weight_files.base import Entry

FIRST = "dequantise it first (transformers: model.dequantize()) and scan what that saves."
_PACKED = ("qweight", "weight_packed")
_BESIDE = (
    *("qzeros", "scales", "g_idx", "SCB", "weight_format", "weight_scale", "weight_zero_point", "weight_shape"),
    *("weight_g_idx", "bias_scale"),
)
_SCALES = ("_scale_inv", "_scale")


def quantised(entries: Mapping[str, Entry]) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """Return what is quantised among the tensors of a file.

    Returns:
        name -> why it cannot be measured; name of a float8 tensor -> that of the one number it is to be multiplied
        by; and the names of all tensors that only say how others are quantised.

    Example:
        >>> entries = {n: Entry(n, (8, 8), "int32") for n in ("up.qweight", "up.qzeros", "up.scales")}
        >>> reasons, _, beside = quantised(entries)
        >>> list(reasons), sorted(beside)
        (['up.qweight'], ['up.qzeros', 'up.scales'])
    """
    reasons: dict[str, str] = {}
    scales: dict[str, str] = {}
    beside: set[str] = set()
    for name, entry in entries.items():
        base, _, last = name.rpartition(".")
        base = f"{base}." if base else ""
        scheme = _scheme(entries, name, base, last)
        if scheme is not None:
            reasons[name] = f"holds {entry.dtype}, weights quantised {scheme}: {FIRST}"
            beside |= {f"{base}{one}" for one in _BESIDE if f"{base}{one}" in entries}
            beside |= {other for other in entries if other.startswith(f"{name}.")}
        elif entry.dtype.startswith("float8"):
            scale = next((name + ending for ending in _SCALES if name + ending in entries), None)
            if scale is None:
                continue
            beside.add(scale)
            if math.prod(entries[scale].shape) == 1:
                scales[name] = scale
            else:
                reasons[name] = f"holds {entry.dtype} with scales in {scale}, weights quantised in blocks: {FIRST}"
    return reasons, scales, beside


def _scheme(entries: Mapping[str, Entry], name: str, base: str, last: str) -> str | None:
    if last in _PACKED:
        return "and packed (GPTQ, AWQ or alike)"
    if entries[name].dtype not in ("int8", "uint8"):
        return None
    if f"{name}.absmax" in entries:
        return "to 4 bits by bitsandbytes"
    if f"{base}SCB" in entries:
        return "to 8 bits by bitsandbytes"
    return "with a scale beside them" if f"{name}_scale" in entries else None
