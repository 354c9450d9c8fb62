"""Seconds that `import ebmlearn` adds to `import torch`, in fresh processes taken in turn.

python tests/benchmarks/import_time.py [PAIRS]
"""

import statistics
import subprocess
import sys
import time


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main(pairs: int) -> None:
    seconds("import ebmlearn")  # fills the file cache and writes .pyc files
    torch, both = zip(
        *((seconds("import torch"), seconds("import ebmlearn")) for _ in range(pairs)), strict=True
    )
    extra = [b - t for t, b in zip(torch, both, strict=True)]
    print(f"import torch     {statistics.median(torch):.2f} s (median of {pairs})")
    print(f"import ebmlearn  {statistics.median(both):.2f} s")
    print(f"difference       {statistics.median(extra):.2f} s; the aim is at most 0.3 s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
