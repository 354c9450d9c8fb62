"""JupyterLab as `make lab` starts it: where, with which flags, and what its kernels do first."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from jupyterlab_server.config import get_page_config
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "book" / "_lab"


def lab(*variables: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "lab", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\\\n", " ")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_lab_is_rooted_at_the_repository_and_takes_a_port_and_flags():
    said = lab("PORT=8899", "FLAGS=--no-browser --ip=0.0.0.0")
    for part in (
        f'--ServerApp.root_dir="{ROOT}"',
        "default_url=/lab/tree/work",
        "--port=8899",
        "--no-browser",
    ):
        assert part in said
    assert said.rstrip().endswith("--no-browser --ip=0.0.0.0")
    assert ("--allow-root" in said) == (os.getuid() == 0)
    assert f"{LAB}/startup.py" in said
    assert "--port" not in lab()


def test_this_lab_has_no_second_numbering_and_asks_nobody_for_news(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(LAB))
    # jupyterlab-myst numbers every formula, (1), (2), beside the number of the book
    off = get_page_config([])["disabledExtensions"]
    assert {"jupyterlab-myst", "@jupyterlab/apputils-extension:announcements"} <= set(off)


EDIT = """
from pathlib import Path
file = Path(part.__file__)
file.write_text(file.read_text().replace("return 1", "return 1000"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["book", "work"])
def test_a_kernel_reloads_what_is_edited_and_draws_no_bars_beside_stored_outputs(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from .part import Method")
    (tmp_path / "package" / "part.py").write_text("class Method:\n    def step(self):\n        return 1\n")
    for name in ("book/_lab", "work"):
        (tmp_path / name).mkdir(parents=True)
    startup = shutil.copy(LAB / "startup.py", tmp_path / "book" / "_lab")
    monkeypatch.setenv("PYTHONSTARTUP", startup)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("EBMLEARN_PROGRESS", "1")
    cells = [
        "from package import Method, part\nmethod = Method()\nprint(method.step())",
        EDIT,
        "print(method.step())",
        "import os\nprint(os.environ['EBMLEARN_PROGRESS'])",
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        nb, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / folder)}}
    ).execute()
    first, _, second, bars = ("".join(o.get("text", "") for o in cell.outputs).strip() for cell in nb.cells)
    assert (first, second) == ("1", "1000")
    assert bars == ("0" if folder == "book" else "1")
