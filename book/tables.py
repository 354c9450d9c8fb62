"""Tables of long runs, stored beside the scripts that make them, and how
pages show them."""

import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import product
from typing import Any

import torch

from ebmlearn.commands import measured


def made() -> dict[str, str]:
    """When and on what a table was made."""
    return {
        "date": str(date.today()),
        "machine": "one thread of a shared x86-64 with 2 cores",
        "torch": torch.__version__,
    }


def write(file: pathlib.Path, table: dict[str, Any]) -> None:
    """The table as JSON."""
    text = json.dumps(table, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read(file: pathlib.Path) -> dict[str, Any]:
    """The table of a file, empty where there is none."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def gpu(file: pathlib.Path = pathlib.Path("gpu.json")) -> str:
    """What a run of ``make gpu`` has stored, a line for each row."""
    record = read(file)
    if not record:
        return "no GPU run is stored yet; `make gpu` makes one"
    lines = [
        f"{record['card']}, driver {record['driver']}, {record['date']}"
    ]
    for name, part in record["parts"].items():
        lines.append(f"{name}: {part.get('error') or part['status']}")
        if (
            text := measured(record, name.removeprefix("train "))
        ) is not None:
            lines += [f"    {line}" for line in text.splitlines()]
        else:
            lines += [f"    {_row(row)}" for row in part.get("rows", [])]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, dict):
            return (
                "("
                + ", ".join(f"{k} {text(v)}" for k, v in value.items())
                + ")"
            )
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    rest = ", ".join(
        f"{key} {text(v)}" for key, v in row.items() if key != "name"
    )
    return f"{row['name']}: {rest}"


def completed(
    old: dict[str, Any],
    setting: dict[str, Any],
    rows: Iterable[dict[str, Any]],
    run: Callable[..., dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """``old``, and then with one more of the ``rows`` it lacks each time.

    Rows are named by what ``run`` takes, which gives the rest of them.
    What was made under another setting is made anew.
    """
    table = {"made": made(), "setting": setting, "runs": []}
    if old.get("setting") == json.loads(json.dumps(setting)):
        table = old
    yield table
    for who in rows:
        if not any(who.items() <= r.items() for r in table["runs"]):
            table["runs"].append(who | run(**who))
            print(table["runs"][-1], flush=True)
            yield table


def made_by_seed(
    argv: Sequence[str],
    file: pathlib.Path,
    setting: dict[str, Any],
    run: Callable[..., dict[str, Any]],
    learners: Iterable[str],
    seeds: Iterable[int],
) -> None:
    """What a script does whose rows are learners and seeds, on a thread.

    Without arguments it completes its file; with a learner and a seed it
    prints that row.
    """
    torch.set_num_threads(1)
    if argv:
        print(run(argv[0], int(argv[1])))
        return
    who = [
        {"learner": name, "seed": seed}
        for name, seed in product(learners, seeds)
    ]
    for table in completed(read(file), setting, who, run):
        write(file, table)


def columns(
    name: str, rows: list[dict[str, Any]], fields: Iterable[str]
) -> str:
    """Some fields of rows as lines of text under their names."""
    kinds = [isinstance(rows[0][field], str) for field in fields]
    cells = [list(fields)]
    cells += [[_short(row[field]) for field in fields] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [name]
    for row in cells:
        parts = zip(row, widths, kinds, strict=True)
        line = [f"{t:{'<' if k else '>'}{w}}" for t, w, k in parts]
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text in Markdown, which a phone can show."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(text: str) -> None:
    """Markdown, as the output of a cell."""
    # here, because scripts of long runs import this file and show nothing
    from IPython.display import publish_display_data

    publish_display_data({"text/markdown": text})


def _short(value: Any) -> str:
    """Three digits, but no exponent."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
