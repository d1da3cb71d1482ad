"""Weight matrices found in named tensors: what each is, how fused ones are cut, what is left out and why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from grokscope.matrices import WeightMatrix, is_bias, split, state_width, weight_matrices, why_no_matrix
from grokscope.snapshot import Snapshot


def counted(*shape: int) -> Tensor:
    """Return a tensor whose entries are 0, 1, 2, …"""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


def found_in(module: nn.Module) -> list[WeightMatrix]:
    """Return the weight matrices of a module, as a snapshot finds them."""
    return weight_matrices({name: p.detach() for name, p in module.named_parameters()}, module)[0]


def kinds_in(module: nn.Module) -> dict[str, str]:
    return {part.name: part.kind for part in found_in(module)}


# -- what belongs to what --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "kind", "shape"),
    [
        (nn.Linear(3, 5), "linear", (5, 3)),
        (nn.Bilinear(2, 3, 4), "linear", (8, 3)),
        (nn.Embedding(7, 3), "embedding", (7, 3)),
        (nn.EmbeddingBag(7, 3), "embedding", (7, 3)),
        (nn.Conv1d(2, 4, 3), "convolution", (4, 6)),
        (nn.Conv2d(2, 4, (3, 5)), "convolution", (4, 30)),
        (nn.Conv3d(2, 4, 2), "convolution", (4, 16)),
        (nn.ConvTranspose2d(2, 4, 3), "convolution", (2, 36)),
        (nn.Conv2d(4, 4, 3, groups=4), "convolution", (4, 9)),
        (nn.RNN(3, 4), "recurrent", (4, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_a_layer_of_torch(module: nn.Module, kind: str, shape: tuple[int, int]) -> None:
    first = found_in(module)[0]
    assert (first.kind, tuple(first.matrix.shape)) == (kind, shape)


def test_a_kernel_as_one_matrix_and_as_one_for_each_position() -> None:
    kernel = counted(2, 3, 2, 2)
    (part,) = split("conv.weight", kernel)
    assert torch.equal(part.matrix, kernel.reshape(2, 12))
    assert part.slices.shape == (4, 2, 3)
    for row in range(2):
        for column in range(2):
            assert torch.equal(part.slices[2 * row + column], kernel[:, :, row, column])


def test_a_matrix_is_its_own_only_slice() -> None:
    (part,) = split("head.weight", counted(2, 3))
    assert torch.equal(part.slices, counted(1, 2, 3))
    assert torch.equal(part.matrix, counted(2, 3))


def test_a_stack_of_heads_is_no_kernel() -> None:
    heads = counted(4, 8, 64)
    (part,) = split("attn.W_Q", heads)
    assert (part.kind, part.matrix.shape) == ("linear", (32, 64))
    assert torch.equal(part.matrix, heads.reshape(32, 64))
    (short,) = split("attn.W_Q", counted(4, 64, 8))
    assert short.kind == "convolution"  # nothing but a module can tell: eight positions, or heads of width eight
    assert next(split("conv.weight", counted(4, 2, 40), kind="convolution")).matrix.shape == (4, 80)
    (positions,) = split("pos_embed", counted(1, 5, 64))
    assert (positions.kind, positions.matrix.shape) == ("embedding", (5, 64))


@pytest.mark.parametrize("name", ["W_E", "wte.weight", "model.embed_tokens.weight", "W_pos", "tok_embeddings.weight"])
def test_embeddings_are_known_by_their_names(name: str) -> None:
    assert next(split(name, counted(5, 2))).kind == "embedding"
    assert next(split("model.head.weight", counted(5, 2))).kind == "linear"


# -- fused ones ------------------------------------------------------------------------------------

FUSED = ("attn.c_attn.weight", "attn.in_proj_weight", "blocks.0.qkv.weight", "Wqkv.weight", "to_qkv.weight")


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_projection_is_split_in_both_orientations(name: str) -> None:
    query, key, value = counted(3, 4, 4)
    for fused in (torch.cat([query, key, value]), torch.cat([query, key, value], dim=1)):
        parts = list(split(name, fused))
        assert [part.name for part in parts] == [f"{name}[{word}]" for word in ("query", "key", "value")]
        for part, wanted in zip(parts, (query, key, value), strict=True):
            assert part.kind == "attention"
            assert torch.equal(part.matrix, wanted)


def test_what_only_looks_fused_is_left_whole() -> None:
    names = {
        "attn.c_attn.weight": (10, 4),  # fewer keys than queries: no thirds
        "mlp.up.weight": (12, 4),  # three times as many rows, and no projection
        "attn.query_key_value.weight": (12, 4),  # cut head by head, not into thirds
    }
    for name, shape in names.items():
        assert [part.name for part in split(name, counted(*shape))] == [name]


def test_the_projections_of_multihead_attention() -> None:
    assert list(kinds_in(nn.MultiheadAttention(4, 2))) == [
        "in_proj_weight[query]",
        "in_proj_weight[key]",
        "in_proj_weight[value]",
        "out_proj.weight",
    ]
    apart = kinds_in(nn.MultiheadAttention(4, 2, kdim=5, vdim=6, add_bias_kv=True))
    assert apart == dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight"), "attention") | {
        "out_proj.weight": "linear"
    }


GATES = {
    nn.LSTM: ("input", "forget", "cell", "output"),
    nn.GRU: ("reset", "update", "new"),
}


@pytest.mark.parametrize("layer", GATES, ids=lambda layer: layer.__name__)
def test_gates_are_split(layer: Any) -> None:
    module = layer(3, 4, num_layers=2, bidirectional=True)
    for known in (found_in(module), weight_matrices(module.state_dict())[0]):
        assert {part.kind for part in known} == {"recurrent"}
        assert len(known) == 2 * 2 * 2 * len(GATES[layer])
        parts = {part.name: part.matrix for part in known}
        for index, gate in enumerate(GATES[layer]):
            wanted = module.weight_ih_l1_reverse.detach()[4 * index : 4 * index + 4]
            assert torch.equal(parts[f"weight_ih_l1_reverse[{gate}]"], wanted)


def test_an_lstm_with_a_projection() -> None:
    """Its weight_hh is as wide as the projection, not as the cell."""
    shapes = {part.name: tuple(part.matrix.shape) for part in found_in(nn.LSTM(3, 4, proj_size=2))}
    assert shapes["weight_hh_l0[forget]"] == (4, 2)
    assert shapes["weight_ih_l0[cell]"] == (4, 3)
    assert shapes["weight_hr_l0"] == (2, 4)
    assert len(shapes) == 9


@pytest.mark.parametrize(("cell", "parts"), [(nn.LSTMCell, 8), (nn.GRUCell, 6), (nn.RNNCell, 2)])
def test_cells(cell: Any, parts: int) -> None:
    assert len(found_in(cell(3, 4))) == len(weight_matrices(cell(3, 4).state_dict())[0]) == parts


def test_a_state_whose_width_is_not_known_is_not_cut() -> None:
    assert state_width("lstm.weight_ih_l0", {"lstm.weight_hh_l0": torch.zeros(16, 4)}) == 4
    assert state_width("lstm.weight_ih_l0", {}) is None
    assert state_width("head.weight", {"head.weight": torch.zeros(2, 2)}) is None
    assert [part.name for part in split("weight_ih_l0", counted(16, 3))] == ["weight_ih_l0"]


# -- ties ------------------------------------------------------------------------------------------


def test_a_tied_tensor_comes_once_with_its_names() -> None:
    shared = counted(4, 3)
    found, _ = weight_matrices({"wte": shared, "head": shared, "other": shared.clone(), "part": shared[:2]})
    assert [(part.name, part.tied) for part in found] == [("wte", ("head",)), ("other", ()), ("part", ())]


def test_ties_that_named_parameters_leaves_out() -> None:
    model = zoo.animal("gpt").model
    for known in (
        found_in(model),  # one name only
        weight_matrices(model.state_dict(), model)[0],  # both names
        weight_matrices(model.state_dict())[0],
        Snapshot.of(model).matrices(),
    ):
        tied = {part.name: part.tied for part in known if part.tied}
        assert tied == {"wte.weight": ("lm_head.weight",)}


def test_the_parts_of_a_tied_fused_tensor_are_all_tied() -> None:
    shared = counted(6, 2)
    found, _ = weight_matrices({"0.qkv.weight": shared, "1.qkv.weight": shared})
    assert [part.tied for part in found] == [("1.qkv.weight",)] * 3


# -- what is none ----------------------------------------------------------------------------------


def test_vectors_biases_and_masks_are_passed_over() -> None:
    tensors = {
        "norm.weight": torch.ones(4),
        "h.0.attn.bias": torch.ones(1, 1, 64, 64),
        "h.0.attn.masked_bias": torch.tensor(0.0),
        "blocks.0.attn.b_Q": torch.ones(2, 8),
        "attn.bias_k": torch.ones(1, 1, 4),
        "weight_mask": torch.ones(4, 4),
    }
    assert weight_matrices(tensors) == ([], {})
    assert not is_bias("relative_attention_bias.weight")
    assert not is_bias("W_b")


REASONS = {
    "meta": (torch.empty(2, 2, device="meta"), "is on the meta device, where tensors have no values: load the"),
    "integer": (torch.ones(2, 2, dtype=torch.int8), "holds int8, not real weights: dequantise it first."),
    "bool": (torch.ones(2, 2, dtype=torch.bool), "holds bool, not real weights: dequantise it first."),
    "complex": (torch.ones(2, 2, dtype=torch.complex64), "holds complex numbers, which spectra of weights are not"),
    "empty": (torch.ones(0, 2), "is empty: its shape is (0, 2)."),
    "sparse": (torch.eye(2).to_sparse(), "is stored as sparse_coo, not as a dense tensor: call to_dense() on it"),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_a_tensor_is_none(name: str) -> None:
    tensor, reason = REASONS[name]
    found, skipped = weight_matrices({name: tensor, "good": torch.ones(2, 2)})
    assert [part.name for part in found] == ["good"]
    assert list(skipped) == [name]
    assert skipped[name].startswith(reason)
    assert skipped[name].endswith(".")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_every_floating_type_is_one(dtype: torch.dtype) -> None:
    assert why_no_matrix(torch.ones(2, 2).to(dtype)) is None


@pytest.mark.parametrize("name", zoo.ZOO)
def test_every_entry_of_a_network_is_in_one_matrix(name: str) -> None:
    """Splitting loses nothing and gives nothing twice."""
    model = zoo.animal(name).model
    weights = [p for p in model.parameters() if p.ndim > 1]
    assert sum(part.matrix.numel() for part in found_in(model)) == sum(p.numel() for p in weights)
    assert sum(float(part.matrix.double().sum()) for part in found_in(model)) == pytest.approx(
        sum(float(p.detach().double().sum()) for p in weights)
    )
