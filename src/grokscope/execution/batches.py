"""Many specs as few trainings: which are stored, and which of the rest can be the members of one ensemble."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import StoreError, UsageError
from grokscope.execution.place import GROUP_FILE, group_of
from grokscope.execution.plan import stored_spec
from grokscope.members import shared
from grokscope.spec import Spec
from grokscope.store import ENDED, StoredRun, open_run

if TYPE_CHECKING:
    from grokscope.batch import Batch


def batches(specs: Sequence[Spec], *, limit: int | None = None) -> list[list[int]]:
    """Return which specs are trained together, as few ensembles as possible, each by its members' indices.

    Members agree in what an ensemble has one of (:func:`grokscope.members.shared`) and, where the learner stacks them,
    in the shapes of data and parameters: for these a task and a model are built wherever the settings differ. One that
    fits to no other is alone. Members that share their data lie side by side.

    Args:
        specs: of single runs.
        limit: members at most.
    """
    groups: dict[str, list[int]] = {}
    built: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for index, spec in enumerate(specs):
        key = repr(index)
        seen[spec.solo_id] += 1
        if spec.learner.ensembles:
            shapes = ""
            if spec.learner.stacks:
                parts = _digest([spec.task.model_dump(), spec.model and spec.model.model_dump()])
                shapes = built.get(parts) or built.setdefault(parts, _shapes(spec))
            # the same training that ends elsewhere is not trained beside itself
            key = _digest([spec.learner.name, shared(spec), seen[spec.solo_id]]) + shapes
        groups.setdefault(key, []).append(index)
    # who shares data lies side by side: such members are multiplied with it together
    for group in groups.values():
        ranks: dict[str, int] = {}
        group.sort(key=lambda index: ranks.setdefault(_data(specs[index]), len(ranks)))
    size = limit or len(specs)
    return [group[at : at + size] for group in groups.values() for at in range(0, len(group), size)]


def _data(spec: Spec) -> str:
    seeds = spec.seed
    return _digest([spec.task.model_dump(), seeds.split, seeds.order, seeds.noise])


def as_members(specs: Sequence[Spec]) -> list[Spec]:
    """Return specs as the members of one ensemble; a single one as it is."""
    return [spec.with_group(list(specs)) for spec in specs] if len(specs) > 1 else list(specs)


def stored_runs(specs: Sequence[Spec], root: Path) -> list[Path | None]:
    """Return, for each spec, the ended run that is this spec to the letter, trained alone or in any ensemble.

    An ensemble some of whose members have not ended is gone on with as a whole: its runs do not count.
    """
    groups: dict[Path, bool] = {}

    def whole(run: StoredRun) -> bool:
        group = group_of(run)
        if group is None:
            return True
        if group not in groups:
            groups[group] = _all_ended(group, root)
        return groups[group]

    def found(spec: Spec) -> Path | None:
        folder = root / spec.paper / spec.experiment
        for path in sorted(folder.glob(f"{spec.scale}-s{spec.seed.base}-*/spec.json"), reverse=True):
            run = open_run(path.parent)
            if run.status in ENDED and _is(run, spec) and whole(run):
                return path.parent
        return None

    return [found(spec) for spec in specs]


def _is(run: StoredRun, spec: Spec) -> bool:
    with suppress(UsageError):  # a key of another version
        stored = stored_spec(run)
        alone = stored.model_copy(update={"engine": "single", "group": None})
        return alone == spec and run.spec.get("training_id") == stored.training_id
    return False


def _all_ended(group: Path, root: Path) -> bool:
    with suppress(OSError, ValueError, KeyError, StoreError):
        members = json.loads((group / GROUP_FILE).read_text())["members"]
        return all(open_run(root / name).status in ENDED for name in members)
    return True  # without the list of its members no group can be gone on with


def _shapes(spec: Spec) -> str:
    """Return the shapes and kinds of what is stacked: parameters, inputs and targets of an example."""
    from grokscope.rng import generator

    task = spec.task.build(spec.seed)
    batch = task.batch(0)
    found: list[Any] = [task.loss, task.stream is None, _of_an_example(batch)]
    if spec.model is not None:
        module = spec.model.build(task.facts, generator(spec.seed.init, "init"))
        found.append([(name, tuple(one.shape)) for name, one in module.named_parameters()])
        found.append([(name, tuple(one.shape)) for name, one in module.named_buffers()])
    return repr(found)


def _of_an_example(batch: Batch) -> list[Any]:
    tensors = (batch.inputs, batch.targets)
    return [None if one is None else (tuple(one.shape[1:]), str(one.dtype)) for one in tensors]


def _digest(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
