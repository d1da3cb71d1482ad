"""Training loops as outsiders write them, on the zoo, with room for a monitor."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import zoo

CHEAP = ("performance", "weights", "norms", "htsr", "sparsity", "feature_rank:where=activations")
"""Measures that look at weights, at activations and at predictions."""


def train(
    name: str,
    watch: Callable[[torch.nn.Module, Any], Callable[[int], Any] | None] = lambda model, animal: None,
    *,
    steps: int = 4,
    prepare: Callable[[torch.nn.Module], Any] = lambda model: model,
    autocast: bool = False,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Train one of the zoo with Adam; return everything that a monitor must not have changed.

    ``watch(model, animal)`` returns what is called with the number of each update. The loop draws from every
    generator (dropout, batches by NumPy, a coin by ``random``), so that one draw too many shows.
    """
    animal = zoo.animal(name, seed=seed)
    model = prepare(animal.model).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    model.train()
    call = watch(model, animal)
    losses = []
    for step in range(steps):
        rows = torch.from_numpy(np.random.permutation(len(animal.train[0]))[:16].copy())
        optimizer.zero_grad()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
            inputs, targets = (tensor[rows].to(device) for tensor in animal.train)
            loss = zoo.loss_of(model(inputs), targets) * random.choice([0.5, 1.0])
            if call is not None and autocast:
                call(step)  # between forward and backward, in the middle of everything
        loss.backward()
        if call is not None and not autocast:
            call(step)
        optimizer.step()
        losses.append(loss.detach().clone())
    return {
        "parameters": {key: tensor.detach().clone() for key, tensor in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "optimizer": copy.deepcopy(optimizer.state_dict()["state"]),
        "losses": losses,
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "requires": [p.requires_grad for p in model.parameters()],
        "random": (random.random(), float(np.random.rand()), torch.rand(1), torch.rand(1, device=device)),
    }


def same(one: Any, other: Any) -> bool:
    """Tell whether two results agree to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
