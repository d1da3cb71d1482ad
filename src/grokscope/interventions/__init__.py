"""Interventions act on a learner while it learns, at one of five points of an update.

Each is a frozen settings class with two pure functions: ``init(parameters) -> state`` and
``apply(value, state, *, step) -> (value, state)``, where ``value`` is what passes the point (a
``Batch``, an activation, a loss, or tensors by name) and ``state`` a dict of tensors that is stored
with the run. Both are written for one member and lifted to ensembles by ``torch.vmap``, so they must
not branch on tensor values. A state entry called ``effect`` is logged as ``intervention/effect``. One
that ``draws`` finds its member's seed in the state, as ``seed``. One at an activation that is not
``measured`` acts in training alone.
"""
