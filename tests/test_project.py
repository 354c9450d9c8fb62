"""What the repository says about itself is true: requirements, README, API page, sources of the book."""

import ast
import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import types
import zlib
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from sphinx.pycode import ModuleAnalyzer

import ebmlearn
from ebmlearn import evaluate

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHAPTERS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))
LATER = [p for p in CHAPTERS if not p.name.startswith("01_")]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# requirements


def declared() -> dict[str, Requirement]:
    """Name to requirement, over the dependencies and all extras; each name has one specifier."""
    every = [*PROJECT["dependencies"], *(r for e in PROJECT["optional-dependencies"].values() for r in e)]
    out: dict[str, Requirement] = {}
    for requirement in map(Requirement, every):
        assert out.setdefault(requirement.name, requirement) == requirement
    return out


def test_conda_says_the_same_as_pyproject():
    conda_names = {"pytorch": "torch", "python-build": "build"}
    env = yaml.safe_load(read("environment.yml"))["dependencies"]
    pip = [r for d in env if isinstance(d, dict) for r in d["pip"] if not r.startswith("-e")]
    got = {}
    for r in map(Requirement, [*(d for d in env if isinstance(d, str)), *pip]):
        name = conda_names.get(r.name, r.name)
        assert name not in got
        got[name] = r.specifier
    assert str(got.pop("python")) == PROJECT["requires-python"]
    got.pop("pip")
    assert got == {name: r.specifier for name, r in declared().items()}


def test_constraints_pin_every_requirement_inside_its_bounds():
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    pins = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line)
        assert match, f"{line!r} is no plain pin (a local version such as +cpu is on no package index)"
        pins[match[1].lower().replace("_", "-")] = match[2]
    assert pins["torch"] == "2.13.0"
    for name, requirement in declared().items():
        assert requirement.specifier.contains(pins[name]), name


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert PROJECT["version"] == ebmlearn.__version__ == citation["version"]
    assert {"cff-version", "message", "title", "authors", "license"} <= citation.keys()
    assert "## [Unreleased]" in read("CHANGELOG.md") or f"## [{PROJECT['version']}]" in read("CHANGELOG.md")


# the package as it is imported

LARGE = {
    "matplotlib",
    "seaborn",
    "sklearn",
    "scipy",
    "datasets",
    "pandas",
    "pyarrow",
    "accelerate",
    "IPython",
    "PIL",
    "tensorboard",
}

PROBE = """
import json, logging, os, random, signal, sys, warnings
import numpy, torch, tqdm

def state():
    return {
        "random": hash(random.getstate()),
        "numpy": str(numpy.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "dtype": str(torch.get_default_dtype()),
        "device": str(torch.get_default_device()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "cudnn": torch.backends.cudnn.benchmark,
        "print": str(vars(torch._tensor_str.PRINT_OPTS)),
        "numpy print": str(numpy.get_printoptions()),
        "warnings": str(warnings.filters),
        "signals": str([signal.getsignal(s) for s in signal.valid_signals()]),
        "environ": dict(os.environ),
        "hook": str(sys.excepthook),
        "logging": str([logging.root.level, logging.root.handlers]),
        "path": list(sys.path),
    }

before, modules = state(), set(sys.modules)
import ebmlearn
after = state()
new = {name.partition(".")[0] for name in set(sys.modules) - modules}
print(json.dumps({"changed": [k for k in before if before[k] != after[k]], "new": sorted(new)}))
"""


@pytest.fixture(scope="module")
def probe():
    # this process has imported the package; what that may have put into its environment stays here
    few = ("PATH", "PYTHONPATH", "HOME", "SYSTEMROOT", "TEMP", "LD_LIBRARY_PATH")
    env = {k: v for k, v in os.environ.items() if k in few}
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, env=env)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_import_changes_no_global_state(probe):
    assert probe["changed"] == []


def test_import_loads_nothing_large(probe):
    assert "ebmlearn" in probe["new"]
    assert not LARGE & set(probe["new"])


def public(module: types.ModuleType, seen: set[str]) -> list[tuple[str, object]]:
    """Names for users: those of ``__all__``, else what the module defines; modules in ``__all__`` too."""
    if module.__name__ in seen:
        return []
    seen.add(module.__name__)
    names = getattr(module, "__all__", None)
    if names is None:
        own = {k: v for k, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__}
        names = [
            k
            for k, v in own.items()
            if not k.startswith("_") and (inspect.isclass(v) or inspect.isfunction(v))
        ]
    out: list[tuple[str, object]] = []
    for name in names:
        value = getattr(module, name)
        if inspect.ismodule(value):
            out += public(value, seen)
        else:
            out.append((f"{module.__name__}.{name}", value))
    return out


PUBLIC = public(ebmlearn, set())


def undocumented(name: str, value: object) -> list[str]:
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return []
    out = [] if (value.__doc__ or "").strip() else [name]
    if inspect.isclass(value):
        for k, v in vars(value).items():
            member = getattr(v, "fget", None) or getattr(v, "__func__", v)
            inherited = any(hasattr(base, k) for base in value.__mro__[1:])
            if inspect.isfunction(member) and not k.startswith("_") and not inherited and not member.__doc__:
                out.append(f"{name}.{k}")
    return out


def test_every_public_name_has_a_docstring():
    assert len(PUBLIC) > 40
    assert [missing for name, value in PUBLIC for missing in undocumented(name, value)] == []


def test_undocumented_sees_functions_classes_methods_and_properties():
    class Bare:
        def method(self):
            pass

        @property
        def value(self):
            pass

        def _private(self):
            pass

    assert undocumented("Bare", Bare) == ["Bare", "Bare.method", "Bare.value"]
    assert undocumented("f", lambda: None) == ["f"]


def described() -> set[str]:
    """Qualified names of what the API page describes, by the page's own directives."""
    page, out, scope = read("book/api.md"), set(), ""
    for kind, name, options in re.findall(r"^\.\. (automodule|py:data):: (\S+)\n((?: +:.*\n)*)", page, re.M):
        if kind == "py:data":
            out.add(f"{scope}.{name}")
            continue
        scope, module = name, importlib.import_module(name)
        members = re.search(r":members:(.*)", options)
        if members is None:
            continue
        # autodoc describes data that have a docstring in the module itself
        out |= {f"{name}.{data}" for _, data in ModuleAnalyzer.for_module(name).find_attr_docs()}
        names = (
            members[1].replace(" ", "").split(",")
            if members[1].strip()
            else getattr(module, "__all__", vars(module))
        )
        for n in names:
            value = getattr(module, n)
            if inspect.isclass(value) or inspect.isroutine(value):
                out.add(f"{value.__module__}.{value.__qualname__}")
    return out


def test_the_api_page_describes_every_public_name():
    page = described()
    missing = []
    for name, value in PUBLIC:
        callable_ = inspect.isclass(value) or inspect.isroutine(value)
        if (f"{value.__module__}.{value.__qualname__}" if callable_ else name) not in page:
            missing.append(name)
    assert missing == []


def test_link_inventories_are_those_of_their_script():
    spec = importlib.util.spec_from_file_location("write_inventories", BOOK / "_inv" / "write.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for project in script.OBJECTS:
        # compressed bytes may differ between versions of zlib
        want, got = script.inventory(project), (BOOK / "_inv" / f"{project}.inv").read_bytes()
        split = [data.rpartition(b"zlib.\n") for data in (want, got)]
        assert split[0][0] == split[1][0]
        assert zlib.decompress(split[0][2]) == zlib.decompress(split[1][2])


# README and other pages


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_run(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.S)
    assert len([line for line in block.splitlines() if line.strip()]) == 10
    report = "\nimport torch; torch.save({'x': samples, 'data': target.sample(1000)}, 'samples.pt')"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", block + report]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=one_thread)
    estimate = re.fullmatch(r"Estimate\(value=(\S+), error=(\S+)\)\n", done.stdout)
    assert estimate, done.stdout
    # "about 0.05 nats"; before training the same net is 1.5 nats from the data
    assert 0.02 < float(estimate[1]) < 0.12
    assert float(estimate[2]) < 1e-3
    saved = torch.load(tmp_path / "samples.pt", weights_only=True)
    assert saved["x"].shape == (1000, 2)
    assert evaluate.twosample.squared_mmd(saved["x"], saved["data"]) < 0.01


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "book/intro.md",
        "book/installation.md",
        "book/instructors.md",
        "book/notebooks.py",
    ],
)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.M))
    named = re.findall(r"^make ([a-z ]+?)(?: *#.*)?$", read(page), re.M)
    named += re.findall(r"`make (?:PYTHON=\S+ )?([a-z ]+)`", read(page))
    assert named
    assert {target for names in named for target in names.split()} <= targets


def test_the_make_targets_run_in_the_documented_order():
    order = re.search(r"^STAGES := (.*)$", read("Makefile"), re.M)[1].split()
    (sentence,) = re.findall(r"`make test` runs, in this order.*?\.\s", read("CONTRIBUTING.md"), re.S)
    assert re.findall(r"`([a-z]+)`", sentence) == order


def test_local_links_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)]+)\)", read("README.md")):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for name in re.findall(r"`([\w/.-]+\.(?:md|yml|cff|toml|txt))`", read("README.md")):
        assert (ROOT / name).exists(), name


SKIPPED = {
    ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", ".ipynb_checkpoints",
    "_build", "build", "dist", "runs", "shared", "cache", "work",
}  # fmt: skip
MACHINE_PATH = re.compile(r"(?<![\w.\-])/(?:work|root|home|tmp|Users|mnt)/\w|[A-Z]:\\{1,2}Users")


def text_files() -> list[Path]:
    out = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in SKIPPED and not f.endswith(".egg-info")]
        out += [
            Path(folder, f)
            for f in files
            if Path(f).suffix not in (".png", ".inv", ".pt", ".pyc") and f not in {".coverage", *SKIPPED}
        ]
    return out


def test_no_text_file_holds_a_path_of_a_machine():
    files = text_files()
    assert len(files) > 50
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in MACHINE_PATH.finditer(text)]
    assert found == []


@pytest.mark.parametrize("folder", ["work", "root", "home", "tmp"])
def test_the_search_for_paths_finds_one(folder):
    for text in (f'open("/{folder}/x")', f"file:///{folder}/x", f"see /{folder}/x/y"):
        assert MACHINE_PATH.search(text)
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/x")


# the book


def test_the_table_of_contents_lists_exactly_the_chapters_that_exist():
    toc = yaml.safe_load(read("_toc.yml"))
    listed = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    chapters = [entry for entry in listed if entry.endswith(".ipynb")]
    assert chapters == [f"book/{p.name}" for p in CHAPTERS]
    front = {f"book/{p.stem}" for p in BOOK.glob("[a-z]*.md")}
    assert {entry for entry in listed if not entry.endswith(".ipynb")} == front
    assert len(listed) == len(set(listed))


def test_every_chapter_is_named_in_the_readme_and_linked_in_the_introduction():
    for path in CHAPTERS:
        title = re.search(r"^# (\d+ .*)", path.with_suffix(".md").read_text(encoding="utf-8"), re.M)[1]
        assert title in read("README.md")
        assert re.search(rf"{{(ref|doc)}}`{re.escape(title)} <", read("book/intro.md")), title


def source_faults(text: str) -> list[str]:
    """Faults of MyST that Sphinx renders as garbage without a warning."""
    titles = re.findall(r"^ *```+\{[^`\n]*`.*", text, re.M)
    out = [f"a backtick in the title of a directive ends it: {line}" for line in titles]
    prose = re.sub(r"^( *)(```+|:::+|~~~+)\{?code.*?^\1\2 *$", "", text, flags=re.M | re.S)
    prose = re.sub(r"(`+)[^`].*?\1", "", re.sub(r"^```\w*\n.*?^```$", "", prose, flags=re.M | re.S))
    lines = ["", *prose.splitlines(), ""]
    opened = False
    for i, line in enumerate(lines):
        if line.startswith("|") and re.search(
            r"\\\||\$[^$|]*\|[^$]*\$", line.strip("|").replace(" | ", "\0")
        ):
            out.append(f"a pipe in mathematics splits the cell of a table (use \\vert, \\mid): {line}")
        if "$$" not in line:
            continue
        if line.count("$$") == 2 and line.strip().startswith("$$"):
            bare = lines[i - 1].strip() == "" and lines[i + 1].strip() == ""
        elif line.strip() == "$$" or re.fullmatch(r"\s*\$\$ *\([\w:-]+\)", line):
            bare = (lines[i + 1] if opened else lines[i - 1]).strip() == ""
            opened = not opened
        else:
            bare = False
        if not bare:
            out.append(f"$$ without blank lines around it: {line}")
    return out


@pytest.mark.parametrize("path", sorted(BOOK.glob("*.md")), ids=lambda p: p.stem)
def test_sources_have_no_fault_that_the_build_does_not_see(path):
    assert source_faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("text\n$$\nx\n$$\n", "blank lines"),
        ("text\n\n$$\nx\n$$\nmore", "blank lines"),
        ("so $$x$$ it is", "blank lines"),
        ("text\n$$x$$\n", "blank lines"),
        ("| $\\int|p-q|$ | a |", "pipe"),
        ("| a | $p \\| q$ |", "pipe"),
        ("```{exercise} Edit `step`\n```", "backtick"),
        ("text\n\n$$\nx\n$$\n\nmore", None),
        ("text\n\n$$\nx\n$$ (eq:one)\n\nmore", None),
        ("text\n\n$$x$$\n\nmore", None),
        ("| $p$ | $q$ |", None),
        ("| $a$, $b$ | c | $d$ |", None),
        ("```python\na = '$$'\n```", None),
        ("write `$$` so", None),
    ],
)
def test_source_faults_are_found(text, fault):
    found = source_faults(text)
    assert (found == []) if fault is None else any(fault in f for f in found)


LOOPS = {"backward", "grad", "zero_grad", "step"}


def not_imported(code: str) -> list[str]:
    """What a chapter should import, not define: long classes and functions, samplers and training loops."""
    out = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            lines = code.splitlines()[node.lineno - 1 : node.end_lineno]
            n = sum(bool(line.strip()) for line in lines)
            if n > 8:
                out.append(f"{'class' if isinstance(node, ast.ClassDef) else 'def'} {node.name} of {n} lines")
        if isinstance(node, (ast.For, ast.While)):
            calls = [c.func for c in ast.walk(node) if isinstance(c, ast.Call)]
            names = {getattr(f, "attr", getattr(f, "id", None)) for f in calls}
            out += [f"a loop that calls {name}" for name in sorted(LOOPS & names)]
    return out


@pytest.mark.parametrize("path", LATER, ids=lambda p: p.stem)
def test_chapters_import_instead_of_defining(path):
    nb = nbformat.read(path, as_version=4)
    assert [f for c in nb.cells if c.cell_type == "code" for f in not_imported(c.source)] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("class A:\n" + "    x = 1\n" * 8, ["class A of 9 lines"]),
        ("class A(B):\n" + "    x = 1\n" * 7, []),
        ("def f():\n" + "    x = 1\n" * 8, ["def f of 9 lines"]),
        ("def f():\n\n" + "    x = 1\n" * 7, []),
        ("for x in data:\n    loss(x).backward()", ["a loop that calls backward"]),
        ("while True:\n    x = x - grad(e, x)[1]", ["a loop that calls grad"]),
        ("for k in (1, 2):\n    print(k)", []),
    ],
)
def test_what_is_not_imported_is_found(code, found):
    assert not_imported(code) == found
