"""The curves of a run."""

import io
from pathlib import Path

import ebmlearn
from ebmlearn import runs
from ebmlearn.commands._results import file_to_write
from ebmlearn.files import write_whole


def plot(run: Path, *, out: Path | None = None) -> None:
    """Draw the metrics of a run, from its ``trace.csv``, one above the other.

    Raises:
        ValueError: If the file is damaged or has no row, or ``out`` is no file name of a picture.
        FileNotFoundError: If there is no such run, or the folder of ``out`` is absent.
    """
    path = run / "trace.png" if out is None else file_to_write(out, (".png", ".pdf", ".svg"))
    runs.read(run)
    history = runs.read_trace(run / "trace.csv")
    steps = len(next(iter(history.values())))
    if not steps:
        raise ValueError(f"{run / 'trace.csv'} has no step yet; wait for the first, and there is a curve")
    picture = io.BytesIO()
    ebmlearn.viz.save_traces(history, picture, title=str(run), format=path.suffix[1:].lower())
    write_whole(path, picture.getvalue())
    print(f"{len(history)} curves of {steps:,} steps: {path}")
