"""Forward passes that can be differentiated twice, whatever layers they are made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from grokscope.differentiation import twice_differentiable
from grokscope.forward import outputs
from grokscope.snapshot import Snapshot


@pytest.mark.parametrize("name", zoo.ZOO)
def test_every_model_has_a_second_derivative_by_its_parameters(name: str) -> None:
    snapshot = Snapshot.of((animal := zoo.animal(name)).model, train=animal.train)
    inputs, targets = snapshot.probe("train").inputs, snapshot.probe("train").targets
    assert targets is not None
    parameters = {key: tensor.clone().requires_grad_() for key, tensor in snapshot.parameters.items()}
    torch.manual_seed(0)
    direction = [torch.randn_like(tensor) for tensor in parameters.values()]

    def slope(create: bool) -> tuple[Tensor, ...]:
        logits = snapshot.predict_with(parameters, inputs)
        loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten())
        return torch.autograd.grad(loss, list(parameters.values()), create_graph=create)

    with twice_differentiable():
        along = sum((a * b).sum() for a, b in zip(slope(True), direction, strict=True))
        assert isinstance(along, Tensor)
        product = torch.autograd.grad(along, list(parameters.values()))
    assert all(bool(part.isfinite().all()) for part in product)
    assert any(bool(part.any()) for part in product)
    with torch.no_grad(), twice_differentiable():
        same = snapshot.predict_with({}, inputs)
    torch.testing.assert_close(same, snapshot.predict(inputs), rtol=1e-4, atol=1e-5)


def test_attention_and_encoder_layers_have_a_forward_derivative() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
    parameters = {key: tensor.detach() for key, tensor in layer.named_parameters()}
    inputs = torch.randn(1, 3, 4)

    def call(points: Tensor) -> Tensor:
        return outputs(torch.func.functional_call(layer, parameters, (points,)))

    with twice_differentiable(), torch.no_grad():
        forward = torch.func.jvp(call, (inputs,), (torch.ones_like(inputs),))[1]
        backward = torch.func.grad(lambda points: call(points).sum())(inputs)
    assert torch.allclose(forward.sum(), backward.sum(), atol=1e-5)


def test_all_switches_are_put_back_after_an_error_too() -> None:
    def state() -> tuple[bool, ...]:
        cuda, mkldnn = torch.backends.cuda, torch.backends.mkldnn
        return (
            *(cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()),
            *(torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
            *(bool(mkldnn.enabled), torch.backends.mha.get_fastpath_enabled()),
        )

    before = state()
    with twice_differentiable():
        assert not torch.backends.cudnn.enabled
        assert state() != before
    assert state() == before
    with pytest.raises(RuntimeError), twice_differentiable():
        torch.zeros(2).view(3)
    assert state() == before
