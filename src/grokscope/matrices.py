"""The weight matrices of a network, found in its named tensors: convolutions, fused projections and ties understood."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from grokscope.visits import Kind, kind_of

LARGEST_KERNEL = 31
"""Trailing axes of a tensor that are all at most this long are taken for a kernel where no module says what it is."""

_FUSED = re.compile(r"(^|[._])(in_proj_weight|qkv|qkv_proj|Wqkv|W_pack|c_attn|to_qkv|query_key_value)(\.weight)?$")
_PER_HEAD = re.compile(r"query_key_value")
_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+)?(_reverse)?$")
_NO_WEIGHT = re.compile(r"(^|\.)(bias|b_\w+|bias_[kv]|bias_[ih]h\w*|\w+_bias|masked_bias|\w*mask)$")
"""Names of biases and masks, which may have any number of axes: one bias a head, GPT-2's causal mask ``attn.bias``."""
_EMBEDDING = re.compile(r"(^|\.)(W_E|W_pos|wte|wpe|\w*emb(ed(ding)?s?)?\w*)(\.weight)?$", re.IGNORECASE)
_GATES = {4: ("input", "forget", "cell", "output"), 3: ("reset", "update", "new")}
_PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class WeightMatrix:
    """One weight matrix of a network.

    Attributes:
        name: the tensor's name; a part of a fused tensor is ``name[query]``, a gate ``name[forget]``.
        kind: what it belongs to.
        tensor: its values, (rows, columns), or (out, in, *kernel) of a convolution.
        tied: other names of the same tensor.
    """

    name: str
    kind: Kind
    tensor: Tensor
    tied: tuple[str, ...] = ()

    @property
    def matrix(self) -> Tensor:
        """The weights as one matrix (rows, columns): a kernel is flattened to (out, in × positions)."""
        return self.tensor.flatten(1)

    @property
    def slices(self) -> Tensor:
        """The weights as (positions, rows, columns): one matrix for each position of a kernel, else one in all."""
        return self.tensor.flatten(2).permute(2, 0, 1) if self.tensor.ndim > 2 else self.tensor[None]


@dataclass(frozen=True)
class Structure:
    """What a module says of its parameters that their names and shapes do not.

    Attributes:
        kinds: name -> what it belongs to.
        ties: name -> the other names of the same parameter.
    """

    kinds: Mapping[str, Kind]
    ties: Mapping[str, Sequence[str]]


def structure_of(module: nn.Module) -> Structure:
    """Return what a module says of its parameters, in plain values."""
    return Structure(_kinds(module), _ties(module))


def weight_matrices(
    tensors: Mapping[str, Tensor], module: nn.Module | Structure | None = None
) -> tuple[list[WeightMatrix], dict[str, str]]:
    """Return the weight matrices among named tensors, and the reason why each other tensor of rank ≥ 2 is none.

    A tensor that appears under several names is given once. Fused query-key-value projections are split, and
    the gates of recurrent layers. Vectors (biases, norms) are passed over without a word, and so are biases and masks
    with more axes, which are known by their names.

    Args:
        tensors: name -> tensor, as ``state_dict()`` gives them.
        module: the module they belong to, or its structure, which tells convolutions and embeddings apart from their
            shapes.

    Example:
        >>> import torch
        >>> found, _ = weight_matrices({"attn.in_proj_weight": torch.zeros(6, 2), "attn.bias": torch.zeros(6)})
        >>> [(part.name, tuple(part.matrix.shape)) for part in found]  # doctest: +NORMALIZE_WHITESPACE
        [('attn.in_proj_weight[query]', (2, 2)), ('attn.in_proj_weight[key]', (2, 2)),
         ('attn.in_proj_weight[value]', (2, 2))]
    """
    known = structure_of(module) if isinstance(module, nn.Module) else module or Structure({}, {})
    names: dict[tuple[object, ...], str] = {}
    ties: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or is_bias(name):
            continue
        reason = why_no_matrix(tensor)
        if reason is not None:
            skipped[name] = reason
            continue
        where = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
        if where in names:
            ties.setdefault(names[where], []).append(name)
            continue
        names[where] = name
        kept[name] = tensor
    found = [
        replace(part, tied=tuple(dict.fromkeys([*ties.get(name, ()), *known.ties.get(name, ())])))
        for name, tensor in kept.items()
        for part in split(name, tensor, kind=known.kinds.get(name), state=state_width(name, tensors))
    ]
    return found, skipped


def is_bias(name: str) -> bool:
    """Tell whether a tensor's name is that of a bias or a mask.

    Example:
        >>> [is_bias(name) for name in ("h.0.attn.bias", "blocks.0.attn.b_Q", "head.weight")]
        [True, True, False]
    """
    return _NO_WEIGHT.search(name) is not None


def why_no_matrix(tensor: Tensor) -> str | None:
    """Return the sentence that says why a tensor of rank ≥ 2 is no weight matrix, or None if it is one."""
    if tensor.is_meta:
        return "is on the meta device, where tensors have no values: load the weights first."
    if tensor.layout != torch.strided:
        kind = str(tensor.layout).removeprefix("torch.")
        return f"is stored as {kind}, not as a dense tensor: call to_dense() on it first."
    if tensor.is_quantized or not (tensor.is_floating_point() or tensor.is_complex()):
        return f"holds {str(tensor.dtype).removeprefix('torch.')}, not real weights: dequantise it first."
    if tensor.is_complex():
        return "holds complex numbers, which spectra of weights are not defined for here."
    if tensor.numel() == 0:
        return f"is empty: its shape is {tuple(tensor.shape)}."
    return None


def state_width(name: str, tensors: Mapping[str, Tensor]) -> int | None:
    """Return the width of the cell of a recurrent layer that a weight belongs to, from those beside it; or None.

    The projected output of an LSTM is narrower than its cell: ``weight_hr`` then tells, not ``weight_hh``.
    """
    match = _RECURRENT.search(name)
    if match is None or match[1] == "hr":
        return None
    begin, end = name[: match.start(1)], name[match.end(1) :]
    beside = tensors.get(f"{begin}hr{end}", tensors.get(f"{begin}hh{end}"))
    return beside.shape[-1] if beside is not None and beside.ndim == 2 else None


def split(name: str, tensor: Tensor, *, kind: Kind | None = None, state: int | None = None) -> Iterator[WeightMatrix]:
    """Yield the weight matrices that a named tensor of rank ≥ 2 holds: one, or the parts of a fused one.

    Args:
        name: the tensor's name.
        tensor: its values.
        kind: what it belongs to, where that is known.
        state: width of the state of the recurrent layer it belongs to, where that is known.
    """
    tensor = tensor.detach()
    if tensor.ndim > 2:
        if kind == "convolution" or (kind is None and max(tensor.shape[2:]) <= LARGEST_KERNEL):
            yield WeightMatrix(name, "convolution", tensor)
        else:
            # one matrix a head, say: heads × head width rows
            yield WeightMatrix(name, kind or _named(name), tensor.flatten(0, -2))
        return
    rows, columns = tensor.shape
    if _RECURRENT.search(name) and kind in (None, "recurrent"):
        gates = _GATES.get(rows // state, ("",)) if state and rows % state == 0 else ("",)
        for gate, part in zip(gates, tensor.chunk(len(gates)), strict=True):
            yield WeightMatrix(f"{name}[{gate}]" if len(gates) > 1 else name, "recurrent", part)
    elif _FUSED.search(name) and not _PER_HEAD.search(name) and rows == 3 * columns:
        for part_name, part in zip(_PARTS, tensor.chunk(3), strict=True):
            yield WeightMatrix(f"{name}[{part_name}]", "attention", part)
    elif _FUSED.search(name) and not _PER_HEAD.search(name) and columns == 3 * rows:
        # stored as (in, out)
        for part_name, part in zip(_PARTS, tensor.chunk(3, dim=1), strict=True):
            yield WeightMatrix(f"{name}[{part_name}]", "attention", part)
    else:
        yield WeightMatrix(name, kind or _named(name), tensor)


def _named(name: str) -> Kind:
    """Return what a tensor of a name belongs to, where no module says it."""
    return "embedding" if _EMBEDDING.search(name) else "linear"


def _ties(module: nn.Module) -> dict[str, list[str]]:
    """Return the other names of each parameter that has several: ``named_parameters`` gives the first name alone."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    groups = [group for group in names.values() if len(group) > 1]
    return {each: [name for name in group if name != each] for group in groups for each in group}


def _kinds(module: nn.Module) -> dict[str, Kind]:
    """Return what the parameters of a module's own layers belong to, by name."""
    found: dict[str, Kind] = {}
    for path, part in module.named_modules():
        kind = kind_of(part)
        for name, _ in part.named_parameters(recurse=False):
            full = f"{path}.{name}" if path else name
            if kind is None:
                continue
            if kind == "recurrent" or kind == "attention" or name in ("weight", "in_proj_weight"):
                found[full] = kind
    return found
