"""Files that are written whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, *content: bytes) -> None:
    """Write a file under a temporary name and rename it: a crash leaves the old one or the new one, whole.

    Args:
        path: The file; its folder exists.
        *content: What it will hold, in parts.

    Raises:
        OSError: If it cannot be written; the previous file is untouched.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    # The rename itself must reach the disk; only POSIX can open a folder for that.
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
