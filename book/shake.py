"""How often does each check hold with other seeds, on other arithmetic?

    shake.py                        eight pairs, all chapters, all
                                    statistical tests: two hours
    shake.py --out book/shake.json  the same, and store the table
    shake.py --chapters 02 --into book/shake.json
                                    put a chapter that is new or changed
                                    into a table that is stored
    shake.py --short                two chapters, another seed, another
                                    arithmetic; a part of `make test`
    shake.py --chapters 04 tests --seeds 1000 2000
    shake.py --chapters 04 --pairs stored default avx2 avx512 threads-2

A pair is an environment of a chapter: an offset to every `el.seed` on the
machine's own arithmetic, or the stored seeds and the arithmetic of another
processor. A check is an assert of a chapter, a row of claims, or a test
marked `statistical`. It must hold in seven of eight pairs, or say how
often it does: an assert in a comment, `# shake: 6 of 8`, a row of claims
in its test or note, "6 of 8 seeds". The exit status is 1 if a check holds
less often, if a statement fails, or if what a cell prints with the stored
seeds is further from what is stored than its tag allows.

Results lie in _build/shake/. One that belongs to other code, another
environment or another version of a package is not used; what was
interrupted goes on where it was.
"""

import argparse
import functools
import hashlib
import json
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib import metadata

import jupytext
import nbformat

import ebmlearn
from ebmlearn.files import write_whole
from notebooks import (
    BOOK,
    KERNEL_ENVIRONMENT,
    code_cells,
    digest,
    sources,
    tags,
    unmet,
)
from statements import texts_of
from tolerance import allowed, difference, needed, said_often

OUT = BOOK / "shake.json"
RESULTS = BOOK.parent / "_build" / "shake"
TESTS = BOOK.parent / "tests"
ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TWO = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
# same seeds: what a cell prints is compared with what is stored
ARITHMETIC = {
    "stored": {},
    **{
        name: {"ATEN_CPU_CAPABILITY": name, "MKL_CBWR": "COMPATIBLE"}
        for name in ("default", "avx2", "avx512")
    },
    "threads-2": TWO,
}
SEEDS = 1000, 2000, 3000, 4000, 5000
PAIRS = "default", "avx2", "threads-2"
SHORT = {"chapters": ["03", "22"], "seeds": [4000], "pairs": ["default"]}
DISTRIBUTIONS = "torch", "numpy", "scikit-learn", "ipython"
TIMEOUT = 3600
PYTEST = [
    *("-m", "pytest", "-q", "-m", "statistical", "-p", "no:cacheprovider"),
    "--continue-on-collection-errors",
]


def environment(pair: str) -> dict[str, str]:
    """What a pair changes: ``seed-1000``, or a name of ARITHMETIC."""
    seed = re.fullmatch(r"seed-(\d+)", pair)
    if seed:
        return {**ONE, "EBMLEARN_SEED_OFFSET": seed[1]}
    return {**ONE, "EBMLEARN_SEED_OFFSET": "0", **ARITHMETIC[pair]}


@functools.cache
def code() -> bytes:
    """What every chapter runs on: package, tools, versions."""
    package = pathlib.Path(ebmlearn.__file__).parent
    paths = sorted(package.rglob("*.py"))
    paths += [BOOK / f"{n}.py" for n in ("notebooks", "statements")]
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in DISTRIBUTIONS:
        total.update(f"{name} {metadata.version(name)}".encode())
    total.update(sys.version.encode() + platform.processor().encode())
    return total.digest()


def stored_runs(text: str) -> list[pathlib.Path]:
    """Tables of long runs, and their scripts, that a text names."""
    tables = (p for p in BOOK.glob("*.json") if p.name != OUT.name)
    named = sorted(p for p in tables if re.search(rf"\b{p.stem}\b", text))
    scripts = [p.with_suffix(".py") for p in named]
    return named + [p for p in scripts if p.exists()]


def key(source: pathlib.Path, pair: str) -> str:
    """Changes with anything that may change a result."""
    total = hashlib.sha256(code() + repr(environment(pair)).encode())
    if source == TESTS:
        for path in sorted(source.rglob("*.py")):
            total.update(path.read_bytes())
    else:
        cells = code_cells(jupytext.read(source))
        for path in stored_runs("\n".join(cell.source for cell in cells)):
            total.update(path.read_bytes())
        for cell in cells:
            # of the tags only these change what a run gives
            met = unmet(tags(cell)) is None
            fails = "raises-exception" in tags(cell)
            total.update(repr((cell.source, met, fails)).encode())
    return total.hexdigest()


def result(source: pathlib.Path, pair: str) -> dict:
    """What came out, from the file of an earlier run if it is current."""
    path = RESULTS / f"{source.stem}-{pair}.json"
    wanted = key(source, pair)
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["key"] == wanted:
            return found
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = path.with_suffix(".raw")
    raw.unlink(missing_ok=True)
    program = [str(BOOK / "statements.py"), str(source), str(raw)]
    if source == TESTS:
        program = [*PYTEST, str(TESTS), f"--junitxml={raw}"]
    inherited = {
        k: v
        for k, v in os.environ.items()
        if k not in ("ATEN_CPU_CAPABILITY", "MKL_CBWR")
    }
    done = subprocess.run(
        [sys.executable, *program],
        cwd=BOOK.parent if source == TESTS else source.parent,
        env=inherited
        | KERNEL_ENVIRONMENT
        | {"MPLBACKEND": "Agg"}
        | environment(pair),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )
    if not raw.exists():
        raise RuntimeError(
            f"{source.name} under {pair} gave no result:\n{done.stderr}"
        )
    read = tests if source == TESTS else json.loads
    found = {"key": wanted, **read(raw.read_text(encoding="utf-8"))}
    write_whole(path, json.dumps(found).encode())
    raw.unlink()
    print(f"{source.stem} {pair}: {found['seconds']:.0f} s", flush=True)
    return found


def tests(junit: str) -> dict:
    """Tests as checks, from the report of pytest."""
    suite = ET.fromstring(junit).find("testsuite")
    checks = [
        {
            "cell": case.get("classname").removeprefix("tests."),
            "text": case.get("name"),
            "held": case.find("failure") is case.find("error") is None,
        }
        for case in suite.iter("testcase")
        if case.find("skipped") is None
    ]
    return {"checks": checks, "seconds": float(suite.get("time"))}


def tried(source: pathlib.Path, pair: str) -> dict:
    """A result, or the error that there is none."""
    try:
        return result(source, pair)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        lost = {"cell": 0, "text": "", "error": str(error)[-2000:]}
        return {"errors": [lost]}


def rows(chapter: str, found: dict[str, dict]) -> list[dict]:
    """Each check of a chapter: how often it held, with which values."""
    found = {p: r for p, r in found.items() if "checks" in r}
    out: dict[tuple, dict] = {}
    for pair, r in found.items():
        judged = [("assert", c, c["text"]) for c in r["checks"]]
        judged += [
            ("claim", c, f"{c['claim']} ({c['place']})")
            for c in r.get("claims", [])
        ]
        for kind, check, text in judged:
            row = {"chapter": chapter, "cell": check["cell"], "kind": kind}
            row |= {"text": text, "held": {}, "values": {}}
            # a claim may be tested twice: its numbers tell which it is
            names = tuple(m["label"] for m in check.get("measured", ()))
            row = out.setdefault((kind, check["cell"], text, names), row)
            before = row["held"].get(pair, True)
            row["held"][pair] = check["held"] and before
            row["values"][pair] = values(check)
            row["often"] = often(check)
    for row in out.values():
        # only a failure makes a check of a call; a row is there or lost
        missing = dict.fromkeys(found, row["kind"] == "assert")
        held = missing | row.pop("held")
        row["held"], row["of"] = sum(held.values()), len(held)
        row["needed"] = needed(row["of"], row["often"])
        row["fails"] = [pair for pair in held if not held[pair]]
    return list(out.values())


def often(check: dict) -> list[int] | None:
    """How often a check says that it holds."""
    if "claim" not in check:
        return check.get("often")
    return said_often(check)


def values(check: dict) -> list[str]:
    """The numbers of a check, in words."""
    if "claim" in check:
        return [m["shown"] for m in check["measured"]]
    compared = check.get("compared", {}).items()
    out = [
        f"{text}: {low:.4g}" + (f" to {high:.4g}" if high != low else "")
        for text, (low, high) in compared
    ]
    return [*out, check["error"]] if check.get("error") else out


def printed(md: pathlib.Path, found: dict[str, dict]) -> list[dict]:
    """Cells that print something else with the stored seeds.

    Raises:
        ValueError: If what is stored belongs to other code.
    """
    nb = nbformat.read(md.with_suffix(".ipynb"), as_version=4)
    if nb.metadata.get("executed_code") != digest(jupytext.read(md)):
        raise ValueError(
            "outputs not compared: run `make notebooks` first"
        )
    out = []
    for i, cell in enumerate(code_cells(nb), 1):
        old = texts_of(cell.outputs)
        apart = {
            pair: max(
                difference(old.get(k, ""), new["texts"].get(k, ""))
                for k in {*old, *new["texts"]}
            )
            for pair, r in found.items()
            for new in r.get("printed", [])
            if new["cell"] == i and new["texts"] != old
        }
        if apart and "nbval-ignore-output" not in tags(cell):
            most = allowed(tags(cell))
            over = most is None or max(apart.values()) > most
            row = {"chapter": md.stem, "cell": i, "allowed": most}
            out.append(row | {"apart": apart, "over": over})
    return out


def errors(chapter: str, found: dict[str, dict]) -> list[dict]:
    """Statements that fail and are no checks, and in which pairs."""
    out: dict[str, list[str]] = {}
    for pair, r in found.items():
        for error in r.get("errors", []):
            out.setdefault(json.dumps(error), []).append(pair)
    where = {"chapter": chapter}
    return [where | json.loads(e) | {"pairs": p} for e, p in out.items()]


def machine() -> dict:
    import torch

    cpu = pathlib.Path("/proc/cpuinfo")
    model = re.search(
        r"^model name\s*: (.*)$",
        cpu.read_text() if cpu.exists() else "",
        re.M,
    )
    return {
        "processor": model[1] if model else platform.processor(),
        "arithmetic": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in DISTRIBUTIONS},
    }


def shake(chosen: list[pathlib.Path], pairs: list[str], jobs: int) -> dict:
    """Run every chapter under every pair; the table of what came out."""
    # two threads last, so that they disturb few
    todo = [
        (s, p)
        for p in sorted(pairs, key="threads-2".__eq__)
        for s in chosen
    ]
    with ThreadPoolExecutor(jobs) as pool:
        done = dict(
            zip(todo, pool.map(lambda t: tried(*t), todo), strict=True)
        )
    table: dict = {"rows": [], "printed": [], "errors": []}
    for source in chosen:
        found = {pair: done[source, pair] for pair in pairs}
        table["rows"] += rows(source.stem, found)
        table["errors"] += errors(source.stem, found)
        same = {pair: found[pair] for pair in pairs if pair in ARITHMETIC}
        if source != TESTS and same:
            try:
                table["printed"] += printed(source, same)
            except ValueError as error:
                lost = {"cell": 0, "text": "", "error": str(error)}
                table["errors"] += errors(
                    source.stem, {"": {"errors": [lost]}}
                )
    table["rows"].sort(key=worst)
    about = {
        "date": str(date.today()),
        "machine": machine(),
        "pairs": pairs,
    }
    return about | table


def report(table: dict) -> bool:
    """Print the table, worst first. Is all as it is said to be?"""
    low = [r for r in table["rows"] if r["held"] < r["needed"]]
    over = [r for r in table["printed"] if r["over"]]
    for e in table["errors"]:
        print(f"{place(e)} {e['error']}  in {', '.join(e['pairs'])}")
        print(f"    {' '.join(e['text'].split())}")
    for r in table["printed"]:
        apart = ", ".join(
            f"{pair} {d:.1%}" if math.isfinite(d) else f"{pair} other text"
            for pair, d in r["apart"].items()
        )
        tag = "exact" if r["allowed"] is None else f"{r['allowed']:.0%}"
        word = "BEYOND" if r["over"] else "within"
        print(f"{place(r)} prints {apart}; {word} {tag}")
    for r in table["rows"]:
        flag = "LOW " if r in low else ""
        print(f"{flag}{r['held']} of {r['of']}", end="  ")
        print(place(r), " ".join(r["text"].split()))
        for pair in r["values"] if r["fails"] else ():
            mark = "fails" if pair in r["fails"] else "holds"
            print(f"    {pair} {mark}: {'; '.join(r['values'][pair])}")
    print(
        f"\n{len(table['rows'])} checks, {len(low)} hold less often than"
        f" they say; {len(over)} cells print beyond their tolerance;"
        f" {len(table['errors'])} statements fail"
    )
    return not (low or over or table["errors"])


def place(row: dict) -> str:
    return f"{row['chapter']} [{row['cell']}]"


def store(table: dict, path: pathlib.Path) -> None:
    """A line for each row, so that a change is easy to read."""
    parts = []
    for name, value in table.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value:
            lines = [json.dumps(v, ensure_ascii=False) for v in value]
            text = "[\n" + ",\n".join(lines) + "\n]"
        parts.append(f"{json.dumps(name)}: {text}")
    write_whole(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def merged(stored: dict, table: dict, chapters: list[str]) -> dict:
    """A stored table with what is new of some chapters in it.

    Its date, machine and pairs stay those of the whole run. Those of a
    chapter that was run by itself stand under "later".
    """
    about = {k: table[k] for k in ("date", "machine", "pairs")}
    later = stored.get("later", {}) | dict.fromkeys(chapters, about)
    out = stored | {"later": dict(sorted(later.items()))}
    for part in ("rows", "printed", "errors"):
        kept = [r for r in stored[part] if r["chapter"] not in chapters]
        out[part] = kept + table[part]
    out["rows"].sort(key=worst)
    return out


def worst(row: dict) -> tuple[int, int]:
    """Sorts first what holds least often."""
    return row["held"] - row["needed"], row["held"]


def main(argv: list[str]) -> int:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "shake.py", None, __doc__, formatter_class=about
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--chapters", nargs="+", metavar="04")
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--pairs", nargs="+", choices=ARITHMETIC)
    parser.add_argument("--jobs", type=int, default=2)
    write = parser.add_mutually_exclusive_group()
    write.add_argument("--out", type=pathlib.Path)
    write.add_argument("--into", type=pathlib.Path)
    args = parser.parse_args(argv)
    if args.short:
        vars(args).update(SHORT)
    if not (args.seeds or args.pairs):
        args.seeds, args.pairs = SEEDS, PAIRS
    pairs = [f"seed-{k}" for k in args.seeds or ()] + [*(args.pairs or ())]
    every = [TESTS, *sources()]
    names = args.chapters or [s.stem for s in every]
    chosen = [s for s in every if s.stem.startswith(tuple(names))]
    for name in names:
        if not any(s.stem.startswith(name) for s in every):
            parser.error(f"there is no chapter {name}")
    if args.into and not args.into.exists():
        parser.error(f"--into: there is no {args.into}; use --out")
    table = shake(chosen, pairs, args.jobs)
    if args.into:
        stored = json.loads(args.into.read_text(encoding="utf-8"))
        chapters = [s.stem for s in chosen]
        store(merged(stored, table, chapters), args.into)
    if args.out:
        store(table, args.out)
    return 0 if report(table) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
