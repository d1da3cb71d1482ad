"""Every measure has a page that names all its keys and arrays, and the index lists every page."""

from __future__ import annotations

from pathlib import Path

import pytest

from grokscope.measures.base import Measure, Reading, battery
from grokscope.registry import MEASURES
from rings import random_network, snapshot_of

PAGES = Path(__file__).parents[2] / "docs" / "measures"


def ours(measure: Measure) -> bool:
    """Tell whether it comes with grokscope; measures of installed packages bring pages of their own."""
    function = measure.compute if measure.hindsight is None else measure.hindsight.collect
    return function.__module__.startswith("grokscope.")


OURS = [name for name in MEASURES if ours(MEASURES.get(name))]


@pytest.mark.parametrize("name", OURS)
def test_a_page_says_its_version_keys_and_arrays(name: str) -> None:
    measure: Measure = MEASURES.get(name)
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}: ")
    assert f"Version {measure.version}" in page
    assert "## When it misleads" in page
    missing = [key for key in measure.keys if f"`{measure.key(key)}`" not in page]
    assert not missing
    (found,) = battery(snapshot_of(random_network(7)), [measure]).values()
    if isinstance(found, Reading):
        arrays = [key.removesuffix("_online") for key in found.arrays]
        assert [array for array in arrays if f"`{array}`" not in page] == []


def test_the_index_lists_every_page() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    assert pages == {f"{name}.md" for name in OURS}
    assert [page for page in pages if f"]({page})" not in index] == []
