"""Type checkers and a stranger's code: with the wheel and with the editable install, from elsewhere.

An environment is a venv without pip, which sees the packages of this one but not the source tree.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "cases" / "user_script.py"
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--python-executable"],
    "pyright": ["-m", "pyright", "--warnings", "--pythonpath"],
}
WRONG = """import ebmlearn as el

chain = el.Chain(el.ula, n_steps="ten")
el.fit(el.nets.MLPEnergy(2), lambda n: n, steps=1)
el.load_energy(3)
"""


def run(*command, cwd, **settings):
    """A command that knows nothing of this process's package."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    env |= {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, **settings)


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, tmp_path_factory):
    """The Python of an environment with the package installed in one of the two ways."""
    folder = tmp_path_factory.mktemp(request.param)
    sources = folder / "sources"  # a copy, since a build leaves files beside the sources
    shutil.copytree(ROOT / "ebmlearn", sources / "ebmlearn", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    build = f"from setuptools import build_meta as b; print(b.build_{request.param}({str(folder)!r}))"
    done = run(sys.executable, "-c", build, cwd=sources)
    (wheel,) = folder.glob("*.whl")
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    lib = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    (lib / "base.pth").write_text(sysconfig.get_path("purelib"))
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        file.extractall(lib)
    if request.param == "editable":  # a line of code, or a module that finds others, no checker follows
        (path,) = (name for name in names if not name.startswith("ebmlearn-0"))
        assert path.endswith(".pth") and (lib / path).read_text().strip() == str(sources)
    return folder / "env" / "bin" / "python"


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """The README's own lines, and what a stranger writes, in a folder of theirs; and what is wrong."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    (folder / "readme.py").write_text(block)
    shutil.copy(SCRIPT, folder)
    (folder / "wrong.py").write_text(WRONG)
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("typing")
@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_pass_a_strangers_code_and_see_what_is_wrong(checker, python, readme):
    if (
        checker == "pyright"
        and (tried := run(sys.executable, "-m", "pyright", "--version", cwd=readme)).returncode
    ):
        pytest.skip(f"pyright cannot run here: {tried.stderr[-200:]}")
    command = [sys.executable, *CHECKERS[checker], str(python)]
    right = run(*command, "readme.py", SCRIPT.name, cwd=readme)
    assert right.returncode == 0, right.stdout + right.stderr
    wrong = run(*command, "wrong.py", cwd=readme)
    for line in (3, 4, 5):
        assert re.search(rf"wrong\.py:{line}\b.*error", wrong.stdout), wrong.stdout


@pytest.mark.slow
def test_the_strangers_code_runs(tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", SCRIPT, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 20 True\n") and done.stdout.rstrip().endswith("torch.Size([7, 2])")
