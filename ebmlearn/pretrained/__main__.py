"""``python -m ebmlearn.pretrained make digits --out FOLDER``: learn an energy that ships, anew."""

import argparse
from pathlib import Path

from ebmlearn import pretrained


def main(argv: list[str] | None = None) -> None:
    """Learn it, write its files and print its numbers."""
    parser = argparse.ArgumentParser(prog="python -m ebmlearn.pretrained", description=main.__doc__)
    parser.add_argument("command", choices=["make"])
    parser.add_argument("name", choices=pretrained.NAMES)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="0")
    args = parser.parse_args(argv)
    for name, value in pretrained.make(args.name, args.out, seed=args.seed)["numbers"].items():
        print(f"{name:24}{value:10.3f}")


if __name__ == "__main__":
    main()
