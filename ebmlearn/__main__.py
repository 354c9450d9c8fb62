"""The command line, for the papers' large settings on whatever machine is there:

    python -m ebmlearn list
    python -m ebmlearn show short-run-cifar10
    python -m ebmlearn train short-run-cifar10 --out runs/a
    torchrun --nproc_per_node 8 -m ebmlearn train short-run-cifar10 --out runs/a
    python -m ebmlearn sample runs/a
    python -m ebmlearn evaluate runs/a --outliers svhn
    python -m ebmlearn plot runs/a

``--set KEY=VALUE`` changes a setting, and ``show`` lists them. In place of a name, ``FILE.py:NAME`` is a
recipe in a file of the user's. Where the package is installed, the command is ``ebmlearn`` as well.

Here are arguments, messages and exit statuses; what is done is in `ebmlearn.commands`.
"""

import argparse
import difflib
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from ebmlearn import __version__, commands
from ebmlearn.recipes import settings
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
    args = _parse(argv)
    try:
        _check_launcher()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)  # whether this is the first rank is not known
        return 2
    if args.command != "train" and not _is_first():
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
            _run(args, argv)
        sys.stdout.flush()
        return 0
    except Stopped as stop:
        step = Folder(args.out).steps()[-1]
        _say(f"stopped after step {step:,}, saved in {args.out}. To go on:\n  {_again(argv)}")
        return 128 + stop.signal
    except KeyboardInterrupt:
        known = args.command == "train" and (args.out / "run.json").exists()
        _say(f"interrupted. To go on from what is saved:\n  {_again(argv)}" if known else "interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # lest Python complains at its end
        return 128 + signal.SIGPIPE
    except (ImportError, ValueError, OSError, FloatingPointError, RankLost) as error:
        if not _is_message(error):
            raise
        _say(f"error: {error}")
        if args.command == "train" and "resume=True" in str(error):  # where fit says how to go on
            _say(f"On the command line that is\n  {_again(argv)}")
        elif "new_lr=True" in str(error):  # where fit says that rates may change
            _say("On the command line that is --resume with --set of the rate, such as --set lr=1e-5")
        return 2


def _parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; what a command does not know is answered by that command, with its own usage."""
    parser, of_commands = _parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        command = of_commands[args.command]
        option = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(option, command._option_string_actions, n=1, cutoff=0.75)
        hint = f"; did you mean {near[0]}?" if near else ""
        if not near and option.startswith("--") and args.command in ("train", "show"):
            key = option[2:].replace("-", "_")
            hint = f"; a setting of the recipe is changed by --set {key}=VALUE, and `show NAME` lists them"
        command.error(f"unknown: {' '.join(unknown)}{hint}")
    return args


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and that of each command."""
    called = "ebmlearn" if Path(sys.argv[0]).stem == "ebmlearn" else "python -m ebmlearn"
    parser = argparse.ArgumentParser(prog=called, description="The papers' large settings.")
    versions = f"ebmlearn {__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}"
    parser.add_argument("--version", action="version", version=versions)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = subparsers.add_parser
    add("list", help="the recipes by method: data, size and cost")

    show = add("show", help="a recipe: where its numbers come from, settings, nets, code", allow_abbrev=False)
    show.add_argument(
        "name", metavar="NAME", help="of a recipe; FILE.py:NAME, which is run; or a run's folder"
    )
    train = add("train", help="train a recipe", allow_abbrev=False)
    train.add_argument("name", metavar="NAME", help="of a recipe; or FILE.py:NAME, which is run")
    for command in (show, train):
        command.add_argument("--smoke", action="store_true", help="a tiny size, to see that everything runs")
        command.add_argument(
            "--set",
            dest="settings",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="another value of a setting, such as lr=1e-4 or chain.n_steps=60; show lists them",
        )
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
    train.add_argument(
        "--timeout",
        type=float,
        default=commands.TIMEOUT,
        metavar="SECONDS",
        help="that a rank waits for another before the run ends; 1800",
    )

    sample = add("sample", help="draw a grid of samples of a run")
    sample.add_argument("-n", type=int, default=commands.GRID, metavar="N", help="samples; 64")
    sample.add_argument("--out", type=Path, metavar="FILE", help="the picture; RUN/sample.png")
    evaluate = add("evaluate", help="a run against test images: distances, accuracy, outliers")
    evaluate.add_argument("-n", type=int, metavar="N", help="samples; as many as test images, at most 10,000")
    evaluate.add_argument("--features", choices=("classifier", "inception", "pixels"), default="classifier")
    evaluate.add_argument("--test", metavar="FOLDER", help="test images, if not those of the run's data")
    evaluate.add_argument(
        "--outliers",
        metavar="SET",
        help="images to tell from test images: data set, FOLDER, FILE.npy, .npz, .pt",
    )
    plot = add("plot", help="draw the curves of a run")
    plot.add_argument(
        "--out", type=Path, metavar="FILE", help="the picture, .png, .pdf or .svg; RUN/trace.png"
    )
    for command in (sample, evaluate, plot):
        command.add_argument("run", type=Path, metavar="RUN", help="the folder of a run")
    for command in (show, sample, evaluate):
        command.add_argument(
            "--recipe",
            metavar="FILE.py:NAME",
            help="the recipe of the run, which is run, if in a file of yours",
        )
    for command in (sample, evaluate):
        command.add_argument("--best", action="store_true", help="the best checkpoint, not the newest")
        command.add_argument("--seed", type=int, default=0, metavar="S", help="of the samples; 0")
    return parser, subparsers.choices


def _run(args: argparse.Namespace, argv: list[str]) -> None:
    options = {name: value for name, value in vars(args).items() if name != "command"}
    if "settings" in options:
        options["settings"] = settings.parse(options["settings"])
    if not 0 <= options.get("seed", 0) < 2**32:
        raise ValueError(f"--seed is {options['seed']}; expected 0 to 2**32 - 1")
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
    elif args.command == "plot":
        commands.plot(**options)
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


def _check_launcher() -> None:
    """Refuse variables of a launcher that are no numbers: they decide who speaks and who waits for whom."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        value = os.environ.get(name, "0")
        if not (value.isascii() and value.isdecimal()):
            raise ValueError(
                f"the environment variable {name} is {value!r}; expected a number, as torchrun sets it; "
                "unset it to train in one process"
            )


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
