"""Where no library is the referee: the tangent kernel as PyTorch's tutorial has it, neural collapse in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

import zoo
from grokscope.linalg.neural_collapse import neural_collapse
from grokscope.linalg.ntk import empirical_ntk

pytestmark = pytest.mark.referee


def tutorial_ntk(model: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Return the kernel as "Neural Tangent Kernels" of the tutorials of torch.func does, summed over outputs."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def single(tensors: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, tensors, (x.unsqueeze(0),)).squeeze(0)

    jacobian = vmap(jacrev(single), (None, 0))(parameters, inputs)
    return torch.stack([torch.einsum("Naf,Maf->NM", j.flatten(2), j.flatten(2)) for j in jacobian.values()]).sum(0)


@pytest.mark.parametrize("animal", ["mlp", "cnn"])
@pytest.mark.parametrize("memory", [2**28, 2**15])
def test_ntk(animal: str, memory: int) -> None:
    found = zoo.animal(animal)
    model, inputs = found.model.double().eval(), found.train[0].double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    kernel = empirical_ntk(lambda p, x: functional_call(model, dict(p), (x,)), parameters, inputs, memory=memory)
    torch.testing.assert_close(kernel, tutorial_ntk(model, inputs), rtol=1e-10, atol=1e-12)


def test_neural_collapse() -> None:
    """Papyan, Han and Donoho 2020, with the matrices d × d written out."""
    draw = np.random.default_rng(2)
    classes = np.repeat(np.arange(4), [9, 12, 10, 9])
    features = draw.normal(size=(4, 6))[classes] + 0.3 * draw.normal(size=(40, 6))
    weights = draw.normal(size=(4, 6))
    means = np.stack([features[classes == k].mean(0) for k in range(4)])
    centred = means - means.mean(0)
    within = np.mean([np.outer(h, h) for h in features - means[classes]], axis=0)
    between = np.mean([np.outer(m, m) for m in centred], axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    cosines = [centred[i] @ centred[j] / lengths[i] / lengths[j] for i in range(4) for j in range(i)]
    expected = {
        "within": np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / 4,
        "means_equinorm": lengths.std() / lengths.mean(),
        "means_equiangular": np.std(cosines),
        "means_widest": np.mean(np.abs(np.array(cosines) + 1 / 3)),
        "self_duality": np.sum((weights / np.linalg.norm(weights) - centred / np.linalg.norm(centred)) ** 2),
    }
    found = neural_collapse(*(torch.from_numpy(array) for array in (features, classes, weights)))
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9)
