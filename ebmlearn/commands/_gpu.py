"""What a run on a GPU has found for a recipe, from the file that ``make gpu`` writes."""

import json
from pathlib import Path
from typing import Any

STORED = Path(__file__).parents[2] / "book" / "gpu.json"
"""In a checkout of the repository; an installed wheel has no book."""


def stored() -> dict[str, Any]:
    """The stored run; empty where there is none."""
    return json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}


def measured(record: dict[str, Any], name: str) -> str | None:
    """What a run on a GPU found for a recipe, as text of a few lines.

    Args:
        record: The file of ``make gpu``, read.
        name: Of the recipe.

    Returns:
        The text; None where there is no row that is whole.
    """
    rows = record.get("parts", {}).get(f"train {name}", {}).get("rows", [])
    if not rows or "error" in rows[0]:
        return None
    row = rows[0]
    model, real = row["model"]["frechet"], row["training images"]["frechet"]
    return (
        f"{row['updates']:,} of {row['of']:,} updates in {row['seconds'] / 60:.1f} minutes, "
        f"{row['images/s']:,.0f} images/s\n"
        f"Fréchet distance {model:.4g} with n = {row['n']:,}; training images {real:.4g}; "
        f"features: {row['model']['features']}\n"
        f"on {record['card']}, {record['date']}"
    )
