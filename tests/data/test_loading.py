"""The benchmark of loading, on a tiny set laid out like the hub."""

import subprocess
import sys
from pathlib import Path

from tiny_hub import hub, tiny_data  # noqa: F401 fixtures


def test_a_set_is_loaded_twice_and_the_second_time_from_the_cache(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    loading, run_all = __import__("loading"), __import__("run_all")
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path))
    first, later = loading.once("mnist", n_batches=3), loading.once("mnist", n_batches=3)
    for found in (first, later):
        assert {"name", "load", *found} == run_all.FIELDS["loading"].keys()
        assert found["images"] == 256 and found["seconds"] > 0 and found["mib"] >= 0
    assert len(list(tmp_path.glob("mnist-train-*.npz"))) == 1


def test_what_a_parent_holds_does_not_count():
    """As if a benchmark before this one had been large; otherwise every peak is 0 above it."""
    large = bytearray(400 * 2**20)
    folder = Path(__file__).parents[1] / "benchmarks"
    code = "import loading; print(loading.held())"
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert 1 < float(child.stdout) < len(large) / 2**20
