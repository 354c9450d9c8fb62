"""A terminal for the chapters: commands in a scratch folder.

The commands are those that a reader types. Notebooks have shell escapes
for this, but they run in the book's folder, take whichever ``python``
comes first, and show how long everything took.
"""

import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

_SCRATCH = tempfile.TemporaryDirectory()  # removed at the end
FOLDER = Path(_SCRATCH.name)
TIMED = re.compile(r"images/s")


def start(command: str) -> subprocess.Popen:
    """Start ``python ...`` or ``torchrun ...``, and do not wait for it."""
    program, *words = command.split()
    modules = {"python": [], "torchrun": ["-m", "torch.distributed.run"]}
    return subprocess.Popen(
        [sys.executable, *modules[program], *words],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command: str) -> int:
    """Run it, print what it prints but for lines with a speed, and give
    its exit status. What a launcher of processes says is left out."""
    process = start(command)
    out, errors = process.communicate()
    lines = [line for line in out.splitlines() if not TIMED.search(line)]
    if not command.startswith("torchrun"):
        lines += errors.splitlines()
    elif process.returncode:
        raise RuntimeError(errors)
    for line in lines:
        print(textwrap.fill(line, 75, break_on_hyphens=False))
    return process.returncode


def kill_after_first_checkpoint(command: str) -> int:
    """Start ``... --out FOLDER``, kill it once it has saved something, and
    give its exit status."""
    process, out = start(command), command.split()[-1]
    while not checkpoints(out):
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1])
    process.kill()
    process.communicate()
    return process.returncode


def checkpoints(out: str) -> list[Path]:
    """The checkpoints of a run by rank 0, oldest first."""
    found = (FOLDER / out).glob("checkpoint-????????.pt")
    return sorted(found)
