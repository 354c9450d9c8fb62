"""What the papers publish, from `published.json`: no figure without its
source and the grade of that source."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.json")
GRADES = "A", "B", "C", "D"
NEEDED = {
    "figures": {"paper", "data", "measure", "value", "place"},
    "cifar10": {"name", "year", "fid", "sources"},
    "unsourced": {"paper", "what"},
}


def load(file: Path = FILE) -> dict[str, Any]:
    """The figures of the papers.

    Raises:
        ValueError: If a figure has no source, or no grade of it.
    """
    stored = json.loads(file.read_text("utf-8"))
    for part, needed in NEEDED.items():
        for row in stored[part]:
            if missing := [k for k in needed if not row.get(k)]:
                raise ValueError(f"{part}: {row} lacks {missing}")
            if part == "unsourced":
                continue
            told = row.get("sources") or [row.get("source")]
            names = [str(name).partition(" ")[0] for name in told]
            if not {*names} <= {*stored["sources"]}:
                raise ValueError(
                    f"{part}: {row} has no source; do not print it"
                )
            if row.get("grade") not in GRADES:
                raise ValueError(
                    f"{part}: {row} has the grade {row.get('grade')!r};"
                    f" expected one of {', '.join(GRADES)}"
                )
    return stored


def source(stored: dict[str, Any], told: str) -> str:
    """``DUAL table 1`` in words: ``Cui and Han 2023, table 1``."""
    name, _, place = told.partition(" ")
    by = stored["sources"][name]["authors"]
    return f"{by}, {place}" if place else by


def ladder(stored: dict[str, Any]) -> list[dict[str, Any]]:
    """Models of CIFAR-10 by year, and within a year from bad to good."""
    return sorted(
        stored["cifar10"], key=lambda row: (row["year"], -row["fid"])
    )


def ours(record: dict[str, Any]) -> list[tuple[str, float]]:
    """FIDs on CIFAR-10 that a stored GPU run has measured.

    Args:
        record: The file of ``make gpu``, read; empty where there is none.

    Returns:
        Names of recipes and their distances. Those by other features than
        Inception's are left out: they are on another scale.
    """
    found = []
    for name, part in record.get("parts", {}).items():
        for row in part.get("rows", []):
            judged = row.get("model", {})
            if "cifar10" in name and judged.get("features") == "Inception":
                recipe = name.removeprefix("train ")
                found.append((recipe, judged["frechet"]))
    return found
