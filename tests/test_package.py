"""The package as it is installed: what could be missing from a wheel. `make wheel` runs this, and the command
line, against one."""

import importlib
import os
import pkgutil
import runpy
import sys
from importlib import metadata
from pathlib import Path

import pytest

import ebmlearn

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(ebmlearn.__file__).resolve().parent


def files(folder: Path) -> set[Path]:
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path for path in found if "__pycache__" not in path.parts}


def test_the_package_under_test_is_the_expected_one():
    # `make wheel` names the environment that the wheel is installed in
    expected = Path(os.environ.get("EBMLEARN_EXPECTED_IN", ROOT / "ebmlearn")).resolve()
    assert HERE.is_relative_to(expected)


def test_every_file_of_the_sources_is_installed_as_it_is():
    sources = ROOT / "ebmlearn"
    assert files(HERE) == files(sources) and Path("py.typed") in files(HERE)
    assert all((HERE / name).read_bytes() == (sources / name).read_bytes() for name in files(sources))


def test_every_module_can_be_imported():
    names = [info.name for info in pkgutil.walk_packages(ebmlearn.__path__, "ebmlearn.")]
    assert len(names) > 100
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)


def test_the_installed_version_and_its_licence_are_those_of_the_sources():
    found = metadata.metadata("ebmlearn")
    assert found["Version"] == ebmlearn.__version__
    assert found["License-Expression"] == "MIT AND CC-BY-4.0" and found["License-File"] == "LICENSE"
    assert {"data", "plot", "devices"} <= set(found.get_all("Provides-Extra"))


def test_it_runs_as_a_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ebmlearn", "show", "short-run-mnist"])
    monkeypatch.delitem(sys.modules, "ebmlearn.__main__", raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("ebmlearn", run_name="__main__")
    assert end.value.code == 0 and "ConvEnergy" in capsys.readouterr().out
