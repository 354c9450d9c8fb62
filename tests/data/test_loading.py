"""The benchmark of loading, on a tiny set laid out like the hub."""

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
