"""Which parameters of a module play the common roles, where nobody says."""

from __future__ import annotations

import re

from torch import nn


def infer_roles(module: nn.Module) -> dict[str, str]:
    """Return the parameters of a module that play the common roles: ``embedding`` and ``readout``.

    The embedding is the matrix called W_E, wte, embed or the like, else that of the first ``nn.Embedding``;
    the readout the matrix called W_U, lm_head, unembed, classifier or the like, else that of the last linear
    layer.
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
    return roles
