"""``scan``: every weight matrix of a file, with values or the reason why not, equal to what live measuring logged."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import zoo
from commands import NAME, TINY, ask, only_run, setting
from grokscope.errors import DataError, UsageError
from grokscope.execution import scan as scanning
from grokscope.execution.scan import MEASURES, TRAPS, scan
from grokscope.execution.scan_result import Layer, Scan
from grokscope.execution.spectrum_data import binned
from grokscope.measures.base import evaluate
from grokscope.snapshot import Snapshot
from grokscope.store import StoredRun

SPECTRAL = ("htsr", "spectra")


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_name(found: Scan) -> dict[str, Layer]:
    return {layer.name: layer for layer in found.layers}


# -- values ----------------------------------------------------------------------------------------


def test_the_golden_matrix_of_the_sheet(tmp_path: Path) -> None:
    """G1 of the specification of heavy-tailed self-regularisation, as WeightWatcher 0.7.5.5 measures it."""
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 784)))
    (layer,) = scan(saved(tmp_path / "a.pt", {"fc1.weight": weight}), MEASURES).layers
    assert layer.values["htsr/alpha"] == pytest.approx(6.76963272, rel=1e-6)
    assert layer.values["htsr/distance"] == pytest.approx(0.13593379, rel=1e-6)
    assert layer.values["htsr/xmin"] == pytest.approx(1171.15976068, rel=1e-6)
    assert layer.values["htsr/tail_count"] == 41
    assert layer.values["marchenko_pastur/spikes"] == 0
    assert layer.values["spectra/stable_rank"] == pytest.approx(89.70029336, rel=1e-6)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_scan_gives_what_the_measures_give_of_the_module(tmp_path: Path, name: str) -> None:
    """Whole and matrix by matrix are the same: also the shuffles, which are drawn by the matrix's name."""
    model = zoo.animal(name).model
    found = by_name(scan(saved(tmp_path / "a.pt", model.state_dict())))
    snapshot = Snapshot.of(model)
    assert list(found) == [matrix.name for matrix in snapshot.matrices()]
    compared = 0
    for measure in (*MEASURES, TRAPS):
        try:
            rows = evaluate(measure, snapshot).rows
        except UsageError:
            continue
        for key, module, value in rows:
            if module in found and key != "norms/share" and not math.isnan(value):
                assert found[module].values[key] == value, (key, module)
                compared += 1
    assert compared > 20 * len(found)
    assert [layer.kind for layer in found.values()] == [matrix.kind for matrix in snapshot.matrices()]


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A training that logged all measures of weights."""
    root = tmp_path_factory.mktemp("scanned")
    names = ",".join(f'"{name}"' for name in (*MEASURES, TRAPS))
    changes = setting(
        f"record.measures=[{names}]", "record.extra=[]", "record.observe.every=2", "record.checkpoints.every=2",
        "task.modulus=13", "model.width=12", "model.hidden_width=16",
    )  # fmt: skip
    assert ask("run", NAME, *TINY, *changes, "--out", root).code == 0
    return only_run(root)


def logged(run: StoredRun, step: int) -> dict[tuple[str, str], float]:
    found = {}
    for key in dict.fromkeys(key.partition("@")[0] for key in run.keys()):  # noqa: SIM118
        for module in run.modules(key):
            steps, values = run.series(key, module)
            if module is not None and key != "norms/share":
                found[key, module] = values[steps.tolist().index(step)]
    return found


def test_a_checkpoint_of_a_run_gives_what_was_logged_live(live: StoredRun) -> None:
    for step, given in (
        (4, live.directory / "checkpoints" / "0000000004.safetensors"),
        (6, live.directory),  # its last checkpoint
    ):
        found = scan(given)
        values = {(key, layer.name): value for layer in found.layers for key, value in layer.values.items()}
        wanted = logged(live, step)
        assert len(wanted) > 100
        for place, value in wanted.items():
            assert values[place] == pytest.approx(value, rel=0, abs=0, nan_ok=True), place
        assert found.notes[0] == "It is a checkpoint of grokscope: its parameters were read."


def test_members_of_an_ensemble(tmp_path: Path) -> None:
    from grokscope.execution.plan import experiment_spec
    from grokscope.execution.train import train
    from grokscope.spec import parse_assignment

    changes = dict(parse_assignment(text) for text in TINY[2:] if text != "--set")
    alone = [experiment_spec(NAME, scale="smoke", seed=seed, changes=changes) for seed in (0, 1)]
    runs = train([spec.with_group(alone) for spec in alone], root=tmp_path)
    group = next(tmp_path.glob("groups/*/checkpoints/*6.safetensors"))
    both = by_name(scan(group, ["norms"]))
    assert {name.partition("/")[0] for name in both} == {"0", "1"}
    for index, run in enumerate(runs):
        own = by_name(scan(run, ["norms"]))
        assert own["W_E"].values == both[f"{index}/W_E"].values
    assert both["0/W_E"].values != both["1/W_E"].values


# -- parts, ties, types ----------------------------------------------------------------------------


def test_ties_come_once_by_storage_and_on_request_by_their_bytes(tmp_path: Path) -> None:
    weight = draw(12, 14)
    path = saved(tmp_path / "a.pt", {"wte": weight, "head": weight, "copy": weight.clone(), "other": weight.double()})
    assert {name: layer.tied for name, layer in by_name(scan(path, ["norms"])).items()} == {
        "wte": ("head",), "copy": (), "other": (),
    }  # fmt: skip
    found = by_name(scan(path, ["norms"], equal_once=True))
    assert {name: layer.tied for name, layer in found.items()} == {"wte": ("head", "copy"), "other": ()}
    fused = draw(36, 12)
    save_file({"0.qkv.weight": fused, "1.qkv.weight": fused.clone(), "2.w": weight}, tmp_path / "b.safetensors")
    found = by_name(scan(tmp_path / "b.safetensors", ["norms"], equal_once=True))
    assert [layer.tied for layer in found.values()] == [("1.qkv.weight",)] * 3 + [()]


def test_narrow_types_are_measured_in_float64_and_float8_with_its_scale(tmp_path: Path) -> None:
    weight = draw(12, 20)
    narrow = weight.to(torch.float8_e4m3fn)
    tensors = {"bf": weight.bfloat16(), "f8": narrow, "s": narrow.clone(), "s_scale": torch.tensor(0.25)}
    save_file(tensors, tmp_path / "a.safetensors")
    found = by_name(scan(tmp_path / "a.safetensors", ["norms"]))
    assert found["bf"].dtype == "bfloat16"
    assert found["bf"].values["norms/l2"] == pytest.approx(float(weight.bfloat16().double().norm()), rel=1e-12)
    assert found["f8"].values["norms/l2"] == pytest.approx(float(narrow.double().norm()), rel=1e-12)
    assert found["s"].values["norms/l2"] == pytest.approx(float(narrow.double().norm()) / 4, rel=1e-12)
    assert "s_scale" not in found


def test_layers_by_pattern_or_part(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {f"h.{i}.{n}.weight": draw(4, 4) for i in range(3) for n in ("attn", "mlp")})
    assert list(by_name(scan(path, ["norms"], layers="h.1."))) == ["h.1.attn.weight", "h.1.mlp.weight"]
    assert list(by_name(scan(path, ["norms"], layers="h.?.mlp.*"))) == [f"h.{i}.mlp.weight" for i in range(3)]
    with pytest.raises(
        UsageError, match=r"no weight's name fits --layers 'h\.1\.atn\.weight': there are h.1.attn.weig"
    ):
        scan(path, layers="h.1.atn.weight")


# -- bad tensors -----------------------------------------------------------------------------------

BAD: dict[str, tuple[Tensor, str | None]] = {
    "nan": (torch.tensor([[math.nan, 1.0], [2.0, 3.0]]), "holds 1 NaN among 4 entries: it has no spectrum."),
    "both": (torch.tensor([[math.nan, math.inf], [-math.inf, 1]]), "holds 1 NaN and 2 infinite among 4 entries: it ha"),
    "zero": (torch.zeros(12, 12), "is zero everywhere: its spectrum is empty."),
    "rank one": (draw(20, 1) @ draw(1, 30), "has rank one: its spectrum is one value, and no power law is fitted."),
    "row": (draw(1, 20), "is a single row of 20: its spectrum is one value."),
    "column": (draw(20, 1), "is a single column of 20: its spectrum is one value."),
    "small": (draw(4, 20), "has 4 eigenvalues: too few for a fit."),
    "orthogonal": (torch.eye(20), "has no power law in its spectrum: its eigenvalues are all equal, or but one are"),
    "tiny": (torch.eye(20).double() * 1e-300, "has entries up to 1e-300, whose squares float64 cannot hold: scale it"),
    "huge": (torch.eye(20).double() * 1e300, "has entries up to 1e+300, whose squares float64 cannot hold: scale it"),
    "empty": (torch.zeros(0, 3), "is empty: its shape is (0, 3)."),
    "integer": (torch.ones(3, 3, dtype=torch.int64), "holds int64, not real weights: dequantise it first."),
    "complex": (torch.ones(3, 3, dtype=torch.complex64), "holds complex numbers, which spectra of weights are not"),
    "meta": (torch.empty(3, 3, device="meta"), "is on the meta device, where tensors have no values: load the weights"),
    "sparse": (
        torch.eye(3).to_sparse(),
        "is stored as sparse_coo, not as a dense tensor: call to_dense() on it first.",
    ),
    "large": (draw(40, 40), "has 1,600 entries, more than --max-size 1,000: not measured."),
    "good": (draw(20, 30), None),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Layer]:
    path = saved(tmp_path_factory.mktemp("bad") / "a.pt", {name: tensor for name, (tensor, _) in BAD.items()})
    return by_name(scan(path, largest=1000, spectra=True))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_tensor_is_a_note_and_the_scan_goes_on(bad: dict[str, Layer], name: str) -> None:
    layer, note = bad[name], BAD[name][1]
    assert (layer.note or "").startswith(note or "")
    assert (layer.note is None) == (note is None)
    assert layer.note is None or layer.note.endswith(".")
    assert list(layer.shape) == list(BAD[name][0].shape)


def test_what_can_be_known_of_a_degenerate_matrix_is_given(bad: dict[str, Layer]) -> None:
    assert bad["zero"].values["norms/l2"] == 0
    assert math.isnan(bad["zero"].values["spectra/stable_rank"])
    assert bad["rank one"].values["spectra/numerical_rank"] == 1
    assert math.isnan(bad["rank one"].values["htsr/alpha"])
    assert bad["row"].values["spectra/stable_rank"] == 1
    assert [bad[name].spectrum for name in ("tiny", "huge", "zero", "row")] == [None] * 4
    assert bad["rank one"].spectrum is not None
    assert not any(bad[name].values for name in ("nan", "both", "empty", "integer", "complex", "meta", "large"))


def test_the_quantised_are_one_row_each(tmp_path: Path) -> None:
    tensors = {
        "up.qweight": torch.ones(4, 16, dtype=torch.int32), "up.qzeros": torch.ones(1, 2, dtype=torch.int32),
        "up.scales": torch.ones(1, 16), "norm.weight": torch.ones(4),
    }  # fmt: skip
    save_file(tensors, tmp_path / "a.safetensors")
    (layer,) = scan(tmp_path / "a.safetensors").layers
    assert (layer.name, layer.kind, dict(layer.values)) == ("up.qweight", None, {})
    assert layer.note is not None
    assert layer.note.startswith("holds int32, weights quantised and packed")


def test_files_and_requests_that_cannot_be_met(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"norm.weight": torch.ones(3), "attn.bias": torch.ones(1, 1, 4, 4)})
    with pytest.raises(DataError, match=r"a.pt holds no weight matrix: all it has are vectors and biases \(2\)."):
        scan(path)
    with pytest.raises(UsageError, match=r"unknown measure 'hstr': did you mean 'htsr'"):
        scan(path, ["hstr"])
    with pytest.raises(UsageError, match=r"performance needs more than weights: a scan takes htsr, spectra, "):
        scan(path, ["performance"])
    with pytest.raises(UsageError, match="name at least one measure, as in htsr,spectra"):
        scan(path, [])
    with pytest.raises(UsageError, match=r"the device 'cdua' is not there: give cpu, or cuda where there is a GPU."):
        scan(path, device="cdua")


def test_a_run_without_a_checkpoint(live: StoredRun, tmp_path: Path) -> None:
    run = shutil.copytree(live.directory, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(DataError, match=r"is a run without a checkpoint: resume it, or give a file of weights."):
        scan(run)


# -- memory ----------------------------------------------------------------------------------------


def test_one_tensor_is_read_at_a_time_and_none_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    read: list[Any] = []
    most = 0

    class Watched:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def load(self, name: str) -> Tensor:
            nonlocal most
            tensor = self.file.load(name)
            read.append(weakref.ref(tensor.untyped_storage()))
            most = max(most, sum(one() is not None for one in read))
            return tensor

    opened = scanning.opened
    monkeypatch.setattr(scanning, "opened", lambda path: (Watched(opened(path)[0]), 0))
    save_file({f"h.{index}.qkv.weight": draw(36, 12, seed=index) for index in range(6)}, tmp_path / "a.safetensors")
    scan(tmp_path / "a.safetensors", spectra=True)
    assert len(read) == 6
    assert most <= 2  # the last one is given back when the next has been read


SCRIPT = """
import resource, sys
from grokscope.execution.scan import scan
scan(sys.argv[1], ["weight_entropy"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scan(sys.argv[2], ["weight_entropy"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def zeros(path: Path, count: int) -> Path:
    """Write a safetensors file of matrices of 4 MiB each without writing their values: they are a hole in the file."""
    size = 4 * 2**20
    header = {
        f"h.{index}.weight": {"dtype": "F32", "shape": [2**17, 8], "data_offsets": [index * size, (index + 1) * size]}
        for index in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + count * size)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_the_peak_of_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """200 MB in 48 matrices need little more than 8 MB in two: what the allocator keeps."""
    command = [sys.executable, "-c", SCRIPT, str(zeros(tmp_path / "small", 2)), str(zeros(tmp_path / "large", 48))]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    assert int(done.stdout) < 48 * 1024


# -- what is drawn ---------------------------------------------------------------------------------


def test_the_density_and_the_laws_are_normalised() -> None:
    weight = draw(200, 400).double()
    eigenvalues = torch.linalg.svdvals(weight).square().numpy()
    found = binned(eigenvalues, law=(4.0, float(np.quantile(eigenvalues, 0.9))), bulk=(0.5, 1.0))
    counts, _ = np.histogram(eigenvalues, found["edges"])
    widths = np.diff(found["edges"])[counts > 0]
    assert float((np.array(found["density"]) * widths).sum()) == pytest.approx(1, rel=1e-9)
    assert found["exceeding"][0] == 1
    assert found["exceeding"][-1] == 1 / 200
    assert found["points"] == sorted(found["points"])
    bulk = found["bulk"]
    assert np.trapezoid(bulk["density"], bulk["x"]) == pytest.approx(1, abs=0.02)
    assert bulk["x"][-1] == pytest.approx(400 * (1 + 0.5**0.5) ** 2, rel=0.05)
    law = found["law"]
    assert law["exceeding"][0] == pytest.approx(0.1)
    slopes = np.diff(np.log(law["density"])) / np.diff(np.log(law["x"]))
    assert slopes == pytest.approx(np.full_like(slopes, -4.0))


def test_what_is_too_small_to_be_drawn_is_counted() -> None:
    found = binned(np.array([1e-9, 1.0, 2.0]), law=(math.nan, math.nan), bulk=(1.0, math.nan))
    assert (found["hidden"], found["count"], found["law"], found["bulk"]) == (1, 3, None, None)
    assert found["exceeding"] == pytest.approx([2 / 3, 1 / 3])
    tail = binned(np.array([1e-12, 1e-9, 1.0, 2.0]), law=(1.1, 1e-9), bulk=(1.0, math.nan))
    assert (tail["hidden"], tail["points"][0]) == (1, 1e-9)
    single = binned(np.array([2.0]), law=(math.nan, math.nan), bulk=(1.0, math.nan))
    assert single["points"] == [2.0]
    assert single["edges"][0] < 2 < single["edges"][-1]


def test_the_summary_counts() -> None:
    layers = [
        Layer("a", "linear", (9, 9), "float32", values={"htsr/alpha": 1.5, "htsr/tail_count": 60}),
        Layer("b", "linear", (9, 9), "float32", values={"htsr/alpha": 6.5, "htsr/tail_count": 10}),
        Layer("c", "linear", (9, 9), "float32", values={"htsr/alpha": math.nan, "correlation_traps/traps": 2.0}),
        Layer("d", None, (9, 9), "int8", note="no."),
    ]
    assert Scan(Path("f"), "x", {}, layers, []).summary() == {
        "matrices": 3, "not_measured": 1, "mean_alpha": 4.0, "alphas": 2, "alpha_below_2": 1, "alpha_above_6": 1,
        "alpha_on_few": 1, "spikes": None, "matrices_with_spikes": None, "traps": 2.0, "matrices_with_traps": 1,
    }  # fmt: skip
