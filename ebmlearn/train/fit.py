"""`fit`: the only training loop."""

import math
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ebmlearn import check
from ebmlearn.progress import progress_enabled
from ebmlearn.speed import Speed
from ebmlearn.train import checkpoint
from ebmlearn.train.batch import Batch, check_kind, each, kind_of, parts, spell
from ebmlearn.train.checks import require_method
from ebmlearn.train.data import BatchSize, Data, fingerprint, functions, source
from ebmlearn.train.folder import Folder
from ebmlearn.train.history import checked
from ebmlearn.train.method import Method
from ebmlearn.train.ranks import Ranks
from ebmlearn.train.record import Record
from ebmlearn.train.reuse import saved
from ebmlearn.train.signals import Stopped, deferred
from ebmlearn.train.state import State

Hook = Callable[[int, Method, dict[str, Tensor]], None]
"""``hook(step, method, metrics)``, called after each step on every rank; the first step is 1."""

# What identifies a run besides the settings of its method
_OF_THE_RUN = ("data", "batch_size", "speed")


def fit(
    method: Method,
    data: Data,
    *,
    steps: int,
    batch_size: BatchSize = None,
    out: str | Path | None = None,
    every: int = 1000,
    n_checkpoints: int = 2,
    criterion: Callable[[Method], float] | None = None,
    resume: bool = False,
    new_lr: bool = False,
    accelerator: Any = None,
    speed: Speed | None = None,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> dict[str, Tensor]:
    """Train a method.

    With an accelerator of n processes (ranks), each trains on every n-th datum, in an order of its own, with
    its own random numbers and chains; gradients, and the metrics that are returned, are means over the ranks.

    Args:
        method: The method; trained in place.
        data: One of these. Floating values are of the weights' dtype, and all are finite.

            - All data, ``(N, *event)``, a tensor or numpy array, drawn in an order shuffled for each pass.
            - A tuple of such of equal length, drawn together, so that a batch is a tuple as well: ``(x, y)``
              for images and labels, ``(x, torch.arange(len(x)))`` for images and their place in the data.
            - A tuple of streams, if ``batch_size`` is a tuple: ``((x, y), x_unlabelled)``. Each stream is
              data of any kind, and has passes and an order of its own.
            - A function of the number of elements that gives a batch (``target.sample`` for infinite data). A
              generator that it draws from is saved; an iterator that it reads cannot be.
            - A ``Dataset`` with a length, whose items are a tensor or a tuple of tensors. Random items draw
              from the global generators or from those that are its attributes.
            - A ``DataLoader`` with ``drop_last``: it keeps its order and its batch size. Each rank makes all
              of a batch and takes its share; a resumed run makes the batches of the pass again.
        batch_size: Elements in a batch, over all ranks; a tuple of them for streams. None: 128, or that of a
            ``DataLoader``.
        out: Folder for checkpoints, of one run at a time; made if absent. None: nothing is written.
        every: Save every so many steps, at the end and when interrupted.
        n_checkpoints: Number of checkpoints that stay, >= 1; older ones are removed once a new one is whole.
        criterion: ``criterion(method)``, a number to minimise, is computed on rank 0 after every ``every``
            steps and at the end, once the checkpoint is written; the random numbers of training stay as they
            were. The checkpoint of its lowest value stays as ``best.pt``. A run that is stopped by a signal
            computes none: the resumed one does. None: there is no best.
        resume: Continue from the newest checkpoint in ``out``, bit for bit on the same number of ranks; start
            from the beginning if there is none yet.
        new_lr: Whether the run that goes on may have other learning rates than its checkpoint. A change is
            said, and the checkpoints that follow hold it under ``"lr_changes"``: step, name, old and new
            rate. All other settings stay what they were.
        accelerator: A ``accelerate.Accelerator``: gives the device and the ranks. How long a rank waits for
            another is up to it: ``Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=...)])``.
        speed: Faster arithmetic, see `ebmlearn.speed`.
        hooks: Functions called after each step.
        progress: Show a bar with the metrics, where somebody is watching.

    Returns:
        The metrics of all steps, each of shape ``(steps,)``; NaN where an occasional one was left out.

    Raises:
        FileExistsError: If ``out`` holds a checkpoint and ``resume`` is False: nothing is overwritten.
        BlockingIOError: If another process is training in ``out``.
        OSError: If ``out`` cannot be written: disk full, no permission. Earlier checkpoints are kept.
        TypeError: If the method is none, its ``step`` returns no dict of scalars, or the data are of another
            kind, or a tuple where ``step`` takes a tensor.
        ValueError: If an argument or the data is off, the newest checkpoint is damaged or of another
            configuration, or with ``out`` the method or a data function holds something that changes and that
            no checkpoint would hold, or that cannot be compared.
        FloatingPointError: If a loss, a chain or a metric is not finite; the last good checkpoint is kept.
        Stopped: If interrupted, terminated or hung up: after the current step, with a checkpoint and the
            history so far. A kind of ``KeyboardInterrupt``.
        RankLost: If another rank has ended, or not answered in time; the last whole checkpoint is kept.
    """
    require_method(method)
    steps, every = check.count("steps", steps), check.count("every", every)
    n_checkpoints = check.count("n_checkpoints", n_checkpoints)
    if callable(hooks) or not all(map(callable, hooks)):
        raise TypeError("hooks holds something else than functions; expected a list of them, hooks=[hook]")
    if resume and out is None:
        raise ValueError("resume=True continues the run in a folder, but there is no out; give the folder")
    if criterion is not None and out is None:
        raise ValueError("criterion chooses the best checkpoint, but there is no out to write to; give both")
    if new_lr and not resume:
        raise ValueError("new_lr=True is for a run that goes on from its checkpoint; pass resume=True too")
    ranks = Ranks(accelerator)
    ranks.place(method)
    if speed is not None:
        speed.prepare(method)
    device = next(method.parameters()).device
    kind, dtypes = kind_of(method), {p.dtype for p in method.parameters() if p.is_floating_point()}
    batches = source(data, batch_size, ranks, frozenset(dtypes))
    check_kind(batches.example, method, kind)
    values = fingerprint(data), str(batches.batch_size), repr(speed)
    settings = dict(zip(_OF_THE_RUN, values, strict=True))
    folder = None if out is None else Folder(out, ranks, n_checkpoints)
    states = [] if folder is None and ranks.n == 1 else _states(method, data, refuse=folder is not None)
    run = Record(method, batches, settings, ranks, folder, criterion, states)
    visible = progress and ranks.main and progress_enabled()
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder.opened(resume))
            run.restore(device, steps, new_lr)
            run.watch()
        begun, alone = run.step, ranks.alone if ranks.n > 1 else nullcontext
        caught = stack.enter_context(deferred(patient=ranks.n > 1))
        stack.enter_context(run.last_words())
        unit = {"unit": " samples", "unit_scale": batches.size}
        bar = stack.enter_context(tqdm(total=steps, initial=run.step, disable=not visible, **unit))
        while run.step < steps:
            metrics: dict[str, Tensor] = {}
            try:
                with alone():
                    batch = batches.draw()
                    check_kind(batch, method, kind)
                    found = _step(method, each(lambda x: x.to(device), batch), speed, device)
                    metrics = checked(method, found, run.names)
                metrics, stop = ranks.average(metrics, bool(caught))
                bad = [name for name, value in metrics.items() if name in found and not math.isfinite(value)]
                if bad:
                    raise FloatingPointError(f"{', '.join(bad)} not finite")
            except FloatingPointError as error:
                raise FloatingPointError(run.diverged(error, metrics)) from error
            run.add(metrics)
            if hooks:
                with alone():
                    for hook in hooks:
                        hook(run.step, method, metrics)
            bar.update()
            if visible and run.step % 20 == 0:
                bar.set_postfix({name: f"{value.item():.3g}" for name, value in metrics.items()})
            if ranks.n == 1:
                stop = bool(caught)  # a signal may have come during a hook
            due = run.step % every == 0 or run.step == steps
            if due or stop:
                run.save(due, stopping=stop)
            elif folder is not None and run.step == begun + 1:
                ranks.together(run.check_unchanged)  # at once, not after a thousand steps
            if stop and run.step < steps:
                number = caught[0] if caught else signal.SIGTERM
                raise Stopped(run.stopped(steps), number, run.history.tensors())
    return run.history.tensors()


def _states(method: Method, data: Data, refuse: bool) -> list[State]:
    """What the method and the data functions depend on, besides what a checkpoint holds anyway."""
    of_data = [State(f, name, method, refuse) for name, f in functions(data).items()]
    return [State(method, refuse=refuse), *of_data]


def _step(method: Method, batch: Batch, speed: Speed | None, device: torch.device) -> Any:
    try:
        if speed is None:
            return method.step(batch)
        with speed.active(device):
            return method.step(each(speed.batch, batch))
    except RuntimeError as error:
        # Integers may be labels, rows or tokens: only a step that fails on them tells that they are not.
        if not all(x.is_floating_point() for _, x in parts(batch)):
            error.add_note(f"The batch was {spell(batch)}. Where an energy is to see values, pass x.float()")
        raise


def load(method: Method, out: str | Path, *, best: bool = False) -> int:
    """Give a method the weights, buffers and optimisers that a run has saved, to sample or evaluate.

    Args:
        method: A method with the settings of the run, but for learning rates, in any state; changed in place.
        out: The run's folder.
        best: Take the checkpoint of the lowest criterion instead of the newest.

    Returns:
        The step of the checkpoint.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or of another configuration.
    """
    state, path = saved(out, best=best, device=next(method.parameters()).device)
    of_the_method = State(method).settings()
    of_the_run = (*_OF_THE_RUN, "data.", "data[")
    kept = {k: v for k, v in state["settings"].items() if k in of_the_method or not k.startswith(of_the_run)}
    # learning rates change nothing that is loaded
    checkpoint.check_settings(kept, of_the_method, path, new_lr=True)
    method.load_state_dict(state["method"])
    return state["step"]
