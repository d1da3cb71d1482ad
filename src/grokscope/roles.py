"""Which parameters of a module play the common roles, where nobody says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

Role = str | Callable[[Mapping[str, Tensor]], Tensor]
"""The name of a parameter, ``module:function``, or a function of the parameters by name."""


def infer_roles(module: nn.Module) -> dict[str, str]:
    """Return the parameters of a module that play the common roles: ``embedding`` and ``readout``.

    The embedding is the matrix called W_E, wte, embed or the like, else that of the first ``nn.Embedding``;
    the readout the matrix called W_U, lm_head, unembed, classifier or the like, else that of the last linear
    layer. A parameter with several names (tied weights) is called by its first one.

    Example:
        >>> infer_roles(nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 5)))
        {'embedding': '0.weight', 'readout': '1.weight'}
    """
    roles: dict[str, str] = {}
    matrices = [name for name, parameter in module.named_parameters() if parameter.ndim == 2]
    for name, child in module.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(child, nn.Embedding):
            roles.setdefault("embedding", f"{prefix}weight")
        elif isinstance(child, nn.Linear):
            roles["readout"] = f"{prefix}weight"
    for role, words in (
        ("embedding", ("W_E", "wte", "tok_emb", "token_embedding", "embed", "embedding")),
        ("readout", ("W_U", "lm_head", "unembed", "classifier", "readout", "head")),
    ):
        for word in words:
            named = [name for name in matrices if re.search(rf"(^|\.){word}(\.weight)?$", name)]
            if named:
                roles[role] = named[0]
                break
    known = dict(module.named_parameters())
    first = _first_names(module)
    named_first = {role: first.get(name, name) for role, name in roles.items()}
    # a weight that is computed (a parametrization) is no parameter
    return {role: name for role, name in named_first.items() if name in known}


def roles_of(module: nn.Module, given: Mapping[str, Role] | None = None) -> dict[str, Role]:
    """Return what plays which role: what is given, else what is inferred; tied parameters by their first name."""
    first = _first_names(module)
    named = {role: first.get(to, to) if isinstance(to, str) else to for role, to in (given or {}).items()}
    return {**infer_roles(module), **named}


def _first_names(module: nn.Module) -> dict[str, str]:
    """Return the name by which ``named_parameters`` calls each parameter, by each of its names."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in module.named_parameters(remove_duplicate=False)
    }
