"""Tables of long runs, stored beside the scripts that make them."""

import json
import pathlib
from datetime import date
from typing import Any

import torch


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
