"""``grokscope export``: the numbers as they are stored, long and wide, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import duckdb
import pytest

from commands import ask, refused
from grokscope.store import RunWriter, StoredRun, flat_key
from grokscope.store.export import export_file, export_rows

LONG = ["step", "key", "module", "value", "version"]
LABELS = ["run", "paper", "experiment", "scale", "seed"]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def parquet(path: Path) -> tuple[list[str], list[tuple]]:
    found = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)])
    return [column[0] for column in found.description], found.fetchall()


def series_of(run: StoredRun) -> dict[tuple[int, str], float]:
    """Every number of a run as its reader gives it."""
    return {
        (int(step), key): float(value)
        for key in run.keys()  # noqa: SIM118
        for step, value in zip(*run.series(key), strict=True)
    }


def test_a_long_table_is_every_number_of_the_log(one: StoredRun) -> None:
    answer = ask("export", one.directory, "--csv")
    assert (answer.code, answer.stderr) == (0, "")
    rows = table(answer.stdout)
    assert list(rows[0]) == LONG
    given = {(int(r["step"]), flat_key(r["key"], r["module"] or None)): float(r["value"]) for r in rows}
    assert given == series_of(one)
    assert len(rows) == len(given) == len(one.rows()["step"])
    assert [(r["key"], r["module"], int(r["step"])) for r in rows] == sorted(
        (r["key"], r["module"], int(r["step"])) for r in rows
    )


def test_a_wide_table_has_a_column_a_key(one: StoredRun) -> None:
    rows = table(ask("export", one.directory, "--csv", "--wide").stdout)
    assert [int(row["step"]) for row in rows] == list(range(7))
    assert list(rows[0]) == ["step", *sorted(one.keys())]
    given = {(int(r["step"]), key): float(r[key]) for r in rows for key in r if key != "step" and r[key] != ""}
    assert given == series_of(one)
    assert rows[0]["step/loss"] == ""  # not measured at step 0


def test_keys_are_chosen_with_or_without_their_modules(one: StoredRun) -> None:
    rows = table(ask("export", one.directory, "--csv", "--keys", "test/loss,weights/tensor_sum_of_squares").stdout)
    assert {row["key"] for row in rows} == {"test/loss", "weights/tensor_sum_of_squares"}
    assert len({row["module"] for row in rows}) > 3
    flat = "weights/tensor_sum_of_squares@W_E"
    rows = table(ask("export", one.directory, "--csv", "--keys", flat, "--wide").stdout)
    assert list(rows[0]) == ["step", flat]
    sentence = refused(2, "export", one.directory, "--csv", "--keys", "tst/loss")
    assert sentence.startswith("unknown key 'tst/loss': did you mean 'test/loss'")


def test_several_runs_are_told_apart(pair: list[StoredRun], tmp_path: Path) -> None:
    root = pair[0].directory.parents[2]
    rows = table(ask("export", root, pair[0].directory, "--csv", "--keys", "test/loss").stdout)
    assert list(rows[0]) == [*LABELS, *LONG]
    told = [tuple(row[name] for name in LABELS) for row in rows]
    wanted = [(str(r.directory), "nanda2023", "modular-addition", "smoke", str(s)) for s, r in enumerate(pair)]
    assert list(dict.fromkeys(told)) == wanted  # a run named twice is there once
    for run, label in zip(pair, wanted, strict=True):
        values = [float(row["value"]) for row, name in zip(rows, told, strict=True) if name == label]
        assert values == run.series("test/loss")[1].tolist()
    path = tmp_path / "new" / "wide.parquet"
    assert ask("export", *(run.directory for run in pair), "--parquet", "--wide", "--out", path).code == 0
    columns, found = parquet(path)
    assert columns == [*LABELS, "step", *sorted(pair[0].keys())]
    assert [(row[4], row[5]) for row in found] == [(seed, step) for seed in (0, 1) for step in range(7)]


def test_a_file_holds_what_stdout_would(one: StoredRun, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    answer = ask("export", one.directory, "--csv", "--out", path)
    assert (answer.code, answer.stdout) == (0, "")
    assert answer.stderr.endswith(f" rows of 1 run written to {path}\n")
    assert path.read_text() == ask("export", one.directory, "--csv").stdout
    sentence = refused(2, "export", one.directory, "--csv", "--out", path)
    assert sentence == f"{path} is there already: choose another name, or replace it with --force."
    document = ask("export", one.directory, "--parquet", "--out", path, "--force", "--json").document
    assert (document["kind"], document["file"], document["runs"]) == ("export", str(path), [str(one.directory)])
    columns, rows = parquet(path)
    assert columns == LONG
    assert len(rows) == document["rows"] == len(one.rows()["step"])
    assert [entry.name for entry in tmp_path.glob(".*")] == []  # nothing half written stays


def test_json_alone_gives_the_rows(one: StoredRun) -> None:
    document = ask("export", one.directory, "--json", "--keys", "test/loss", "--wide").document
    assert (document["schema"], document["kind"]) == (1, "scalars")
    assert [row["step"] for row in document["rows"]] == list(range(7))
    assert [row["test/loss"] for row in document["rows"]] == one.series("test/loss")[1].tolist()


def test_what_is_not_finite_stays_what_it_is(one: StoredRun, tmp_path: Path) -> None:
    with RunWriter.reopen(one.directory) as writer:
        writer.backfill("odd", [(0, "odd/x", None, math.nan, 1), (1, "odd/x", 'it\'s "a"', math.inf, 1)])
    rows = table(ask("export", one.directory, "--csv", "--keys", "odd/x").stdout)
    assert [(row["module"], row["value"]) for row in rows] == [("", "nan"), ('it\'s "a"', "inf")]
    rows = table(ask("export", one.directory, "--csv", "--keys", "odd/x", "--wide").stdout)
    assert [(row["odd/x"], row['odd/x@it\'s "a"']) for row in rows] == [("nan", ""), ("", "inf")]
    document = ask("export", one.directory, "--json", "--keys", "odd/x").document
    assert [row["value"] for row in document["rows"]] == ["nan", "inf"]
    export_file([one], tmp_path / "x.parquet", form="parquet", keys=["odd/x"])
    values = [row[3] for row in parquet(tmp_path / "x.parquet")[1]]
    assert math.isnan(values[0])
    assert values[1] == math.inf


def test_of_what_was_recorded_twice_the_reader_s_row_is_given(one: StoredRun) -> None:
    loss = one.series("test/loss")[1].tolist()
    with RunWriter.reopen(one.directory) as writer:
        writer.backfill("odd", [(0, "test/loss", None, -1.0, 1), (1, "test/loss", None, -2.0, 2)])
    rows = export_rows([one], keys=["test/loss"])
    assert [(row["step"], row["version"], row["value"]) for row in rows][:4] == [
        (0, 1, -1.0), (1, 1, loss[1]), (1, 2, -2.0), (2, 1, loss[2])
    ]  # fmt: skip
    wide = [row["test/loss"] for row in export_rows([one], keys=["test/loss"], wide=True)]
    assert wide == one.series("test/loss")[1].tolist() == [-1.0, -2.0, *loss[2:]]


def test_an_empty_log_is_an_empty_table(one: StoredRun) -> None:
    (one.directory / "scalars.parquet").unlink()
    (one.directory / "scalars.jsonl").write_text("")
    assert ask("export", one.directory, "--csv").stdout == ",".join(LONG) + "\n"
    assert ask("export", one.directory, "--csv", "--wide").stdout == "step\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to write: --csv, or --parquet with --out FILE."),
        (["--csv", "--parquet"], "--csv and --parquet are two files: give one of them."),
        (["--parquet"], "Parquet is not for a terminal: say where to write it with --out FILE."),
        (["--csv", "--json"], "--csv and --json would both go to stdout: give one of them, or --out FILE."),
        (["--json", "--out", "x"], "say what to write to x: --csv or --parquet."),
    ],
)
def test_what_cannot_be_meant_is_told(words: list[str], sentence: str, one: StoredRun) -> None:
    assert refused(2, "export", one.directory, *words) == sentence


def test_what_is_not_there_is_told(one: StoredRun, tmp_path: Path) -> None:
    assert refused(2, "export", "--csv") == "name at least one run directory; grokscope runs lists them."
    sentence = refused(2, "export", tmp_path / "none", "--csv")
    assert sentence == f"there is no {tmp_path / 'none'}: give the directory of a run; grokscope runs lists them."
    assert refused(2, "export", one.directory, "--csv", "--out", tmp_path) == (
        f"{tmp_path} is a directory: name a file in it."
    )
    (tmp_path / "file").write_text("")
    assert refused(1, "export", one.directory, "--csv", "--out", tmp_path / "file" / "x.csv").startswith(
        f"could not write x.csv in {tmp_path / 'file'}"
    )
    assert "Unknown option: --key" in refused(2, "export", one.directory, "--csv", "--key", "x")
