"""The command line, for the papers' large settings on whatever machine is there:

    python -m ebmlearn list
    python -m ebmlearn show short-run-cifar10
    python -m ebmlearn train short-run-cifar10 --out runs/a
    torchrun --nproc_per_node 8 -m ebmlearn train short-run-cifar10 --out runs/a
    python -m ebmlearn sample runs/a
    python -m ebmlearn evaluate runs/a

Here are arguments, messages and exit statuses; what is done is in `ebmlearn.commands`.
"""

import argparse
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from ebmlearn import commands
from ebmlearn.speed import PRECISIONS, Speed
from ebmlearn.train.folder import Folder
from ebmlearn.train.ranks import RankLost
from ebmlearn.train.signals import Stopped


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit status: 0; 2 after a message about what the user can mend; 128 + signal if stopped by one. A
        bug is raised.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(argv)
    if args.command != "train" and not _is_first():
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
            _run(args, argv)
        return 0
    except Stopped as stop:
        step = Folder(args.out).steps()[-1]
        _say(f"stopped after step {step:,}, saved in {args.out}. To go on:\n  {_again(argv)}")
        return 128 + stop.signal
    except KeyboardInterrupt:
        known = args.command == "train" and (args.out / "run.json").exists()
        _say(f"interrupted. To go on from what is saved:\n  {_again(argv)}" if known else "interrupted")
        return 128 + signal.SIGINT
    except (ImportError, ValueError, OSError, FloatingPointError, RankLost) as error:
        if not _is_message(error):
            raise
        _say(f"error: {error}")
        if args.command == "train" and "resume=True" in str(error):  # where fit says how to go on
            _say(f"On the command line that is\n  {_again(argv)}")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ebmlearn", description="The papers' large settings.")
    add = parser.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser
    add("list", help="the recipes, a line each")

    show = add("show", help="a recipe: where its numbers come from, settings, nets, code")
    train = add("train", help="train a recipe", allow_abbrev=False)
    for command in (show, train):
        command.add_argument("name", metavar="NAME", help="of a recipe")
        command.add_argument("--smoke", action="store_true", help="a tiny size, to see that everything runs")
    train.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder of the run")
    train.add_argument("--resume", action="store_true", help="continue the run; begin it if there is none")
    train.add_argument("--steps", type=int, metavar="N", help="iterations in all, if not the recipe's")
    train.add_argument(
        "--data",
        metavar="SET",
        help="data set, if not the recipe's; FOLDER of images, FILE.npy, .npz, .pt, hub id",
    )
    train.add_argument("--image-column", metavar="NAME", help="of the images of a hub id")
    train.add_argument("--label-column", metavar="NAME", help="of the classes of a hub id; none")
    train.add_argument("--seed", type=int, default=0, metavar="S", help="of weights and noise; 0")
    train.add_argument("--every", type=int, metavar="N", help="steps between checkpoints; 1000, smoke 10")
    train.add_argument("--n-checkpoints", type=int, default=2, metavar="K", help="checkpoints that stay; 2")
    train.add_argument(
        "--criterion", type=int, metavar="N", help="samples that tell the best checkpoint; 1000, smoke 64"
    )
    train.add_argument("--precision", choices=PRECISIONS, default="float32", help="of energies; float32")
    train.add_argument(
        "--compile", type=int, nargs="?", const=10, default=0, metavar="K", help="blocks of K chain steps; 10"
    )
    train.add_argument("--channels-last", action="store_true", help="the memory order that GPUs like")
    train.add_argument("--cuda-graphs", action="store_true", help="replay compiled blocks")

    sample = add("sample", help="draw a grid of samples of a run")
    sample.add_argument("-n", type=int, default=commands.GRID, metavar="N", help="samples; 64")
    sample.add_argument("--out", type=Path, metavar="FILE", help="the picture; RUN/sample.png")
    evaluate = add("evaluate", help="distances of a run's samples from test images")
    evaluate.add_argument("-n", type=int, metavar="N", help="samples; as many as test images, at most 10,000")
    evaluate.add_argument("--features", choices=("classifier", "inception", "pixels"), default="classifier")
    evaluate.add_argument("--test", metavar="FOLDER", help="test images, if not those of the run's data")
    for command in (sample, evaluate):
        command.add_argument("run", type=Path, metavar="RUN", help="the folder of a run")
        command.add_argument("--best", action="store_true", help="the best checkpoint, not the newest")
        command.add_argument("--seed", type=int, default=0, metavar="S", help="of the samples; 0")
    return parser


def _run(args: argparse.Namespace, argv: list[str]) -> None:
    options = {name: value for name, value in vars(args).items() if name != "command"}
    if args.command == "list":
        commands.list_recipes()
    elif args.command == "show":
        commands.show(**options)
    elif args.command == "train":
        names = ("compile", "precision", "channels_last", "cuda_graphs")
        speed = Speed(**{name: options.pop(name) for name in names})
        commands.train(**options, speed=speed, argv=argv)
    elif args.command == "sample":
        commands.sample(**options)
    else:
        commands.evaluate(**options, argv=argv)


def _again(argv: list[str]) -> str:
    """The command that resumes a run."""
    command = ["python"]
    if "WORLD_SIZE" in os.environ:
        here, ranks = os.environ.get("LOCAL_WORLD_SIZE", "1"), os.environ["WORLD_SIZE"]
        command = ["torchrun", "--nproc_per_node", here]
        if here != ranks:
            command += ["--nnodes", str(int(ranks) // int(here)), "..."]  # how nodes meet is not known here
    return shlex.join([*command, "-m", "ebmlearn", *argv, *(["--resume"] if "--resume" not in argv else [])])


def _is_first() -> bool:
    """Whether this process speaks: torchrun starts the program once for each rank."""
    return os.environ.get("RANK", "0") == "0"


def _say(message: str) -> None:
    if _is_first():
        print(message, file=sys.stderr)


def _is_message(error: BaseException) -> bool:
    """Whether a check of this package raised it, whose message is for users, or something below: a bug."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    package = "" if frame is None else frame.tb_frame.f_globals.get("__package__") or ""
    return isinstance(error, OSError) or package.split(".")[0] == "ebmlearn"


if __name__ == "__main__":
    sys.exit(main())
