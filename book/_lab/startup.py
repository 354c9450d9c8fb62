"""What each kernel of `make lab` runs first (by PYTHONSTARTUP).

- A file of the package that is edited counts from the next cell on.
- A chapter that is run in `book/` itself draws no progress bars: its
  outputs are stored, and a bar would be stored with them.
"""


def _start() -> None:
    import os
    import pathlib

    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:  # a plain python in a terminal of JupyterLab
        return
    if pathlib.Path.cwd() == pathlib.Path(__file__).resolve().parents[1]:
        os.environ["EBMLEARN_PROGRESS"] = "0"
    shell.run_line_magic("load_ext", "autoreload")
    shell.run_line_magic("autoreload", "2")


_start()
del _start  # its names are the notebook's
