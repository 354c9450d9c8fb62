"""`fit`: the only training loop."""

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ebmlearn.progress import progress_enabled
from ebmlearn.speed import Speed
from ebmlearn.train import checkpoint
from ebmlearn.train.batch import Batch, check_kind, each, kind_of, parts, spell
from ebmlearn.train.data import BatchSize, Data, fingerprint, source
from ebmlearn.train.folder import Folder
from ebmlearn.train.method import Method
from ebmlearn.train.ranks import Ranks
from ebmlearn.train.record import Record
from ebmlearn.train.reuse import saved
from ebmlearn.train.signals import Stopped, deferred

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
            - A function of the number of elements that gives a batch (``target.sample`` for infinite data).
            - A ``Dataset`` with a length, whose items are a tensor or a tuple of tensors. Random items must
              draw from the global generators, since a checkpoint cannot know one of their own.
            - A ``DataLoader`` with ``drop_last``: it keeps its order and its batch size. Each rank makes all
              of a batch and takes its share; a resumed run makes the batches of the pass again.
        batch_size: Elements in a batch, over all ranks; a tuple of them for streams. None: 128, or that of a
            ``DataLoader``.
        out: Folder for checkpoints, of one run at a time; made if absent. None: nothing is written.
        every: Save every so many steps, at the end and when interrupted.
        n_checkpoints: Number of checkpoints that stay, >= 1; older ones are removed once a new one is whole.
        criterion: ``criterion(method)``, a number to minimise, is computed at each checkpoint, on rank 0; the
            random numbers of training stay as they were. The checkpoint of its lowest value stays as
            ``best.pt``. None: there is no best.
        resume: Continue from the newest checkpoint in ``out``, bit for bit on the same number of ranks; start
            from the beginning if there is none yet.
        accelerator: A ``accelerate.Accelerator``: gives the device and the ranks.
        speed: Faster arithmetic, see `ebmlearn.speed`.
        hooks: Functions called after each step.
        progress: Show a bar with the metrics, where somebody is watching.

    Returns:
        The metrics of all steps, each of shape ``(steps,)``.

    Raises:
        FileExistsError: If ``out`` holds a checkpoint and ``resume`` is False: nothing is overwritten.
        BlockingIOError: If another process is training in ``out``.
        OSError: If ``out`` cannot be written: disk full, no permission. Earlier checkpoints are kept.
        TypeError: If the data are of another kind, or a tuple where the method's ``step`` takes a tensor.
        ValueError: If an argument or the data is off, or the newest checkpoint is damaged or of another
            configuration.
        FloatingPointError: If a loss, a chain or a metric is not finite; the last good checkpoint is kept.
        Stopped: If interrupted or terminated: after the current step, with a checkpoint. A kind of
            ``KeyboardInterrupt``.
        RankLost: If another rank has ended; the last whole checkpoint is kept.
    """
    if min(steps, every, n_checkpoints) < 1:
        raise ValueError(f"expected steps, every, n_checkpoints >= 1; got {steps}, {every}, {n_checkpoints}")
    if criterion is not None and out is None:
        raise ValueError("criterion chooses the best checkpoint, but there is no out to write to; give both")
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
    run = Record(method, batches, settings, ranks, folder, criterion)
    visible = progress and ranks.main and progress_enabled()
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder.opened(resume))
            run.restore(device, steps)
        caught = stack.enter_context(deferred(patient=ranks.n > 1))
        stack.enter_context(run.last_words())
        unit = {"unit": " samples", "unit_scale": batches.size}
        bar = stack.enter_context(tqdm(total=steps, initial=run.step, disable=not visible, **unit))
        while run.step < steps:
            metrics: dict[str, Tensor] = {}
            try:
                with ranks.alone():
                    batch = batches.draw()
                    check_kind(batch, method, kind)
                    metrics = _step(method, each(lambda x: x.to(device), batch), speed, device)
                metrics, stop = ranks.average(metrics, bool(caught))
                bad = [name for name, value in metrics.items() if not value.isfinite()]
                if bad:
                    raise FloatingPointError(f"{', '.join(bad)} not finite")
            except FloatingPointError as error:
                raise FloatingPointError(run.diverged(error, metrics)) from error
            run.add(metrics)
            with ranks.alone():
                for hook in hooks:
                    hook(run.step, method, metrics)
            bar.update()
            if visible and run.step % 20 == 0:
                bar.set_postfix({name: f"{value.item():.3g}" for name, value in metrics.items()})
            if ranks.n == 1:
                stop = bool(caught)  # a signal may have come during a hook
            if run.step % every == 0 or run.step == steps or stop:
                run.save()
            if stop and run.step < steps:
                raise Stopped(run.stopped(steps), caught[0] if caught else signal.SIGTERM)
    return {name: torch.stack(values) for name, values in run.history.items()}


def _step(method: Method, batch: Batch, speed: Speed | None, device: torch.device) -> dict[str, Tensor]:
    try:
        if speed is None:
            metrics = method.step(batch)
        else:
            with speed.active(device):
                metrics = method.step(each(speed.batch, batch))
    except RuntimeError as error:
        # Integers may be labels, rows or tokens: only a step that fails on them tells that they are not.
        if not all(x.is_floating_point() for _, x in parts(batch)):
            error.add_note(f"The batch was {spell(batch)}. Where an energy is to see values, pass x.float()")
        raise
    return {name: torch.as_tensor(value).detach().cpu() for name, value in metrics.items()}


def load(method: Method, out: str | Path, *, best: bool = False) -> int:
    """Give a method the weights, buffers and optimisers that a run has saved, to sample or evaluate.

    Args:
        method: A method with the settings of the run, in any state; changed in place.
        out: The run's folder.
        best: Take the checkpoint of the lowest criterion instead of the newest.

    Returns:
        The step of the checkpoint.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or of another configuration.
    """
    state, path = saved(out, best=best, device=next(method.parameters()).device)
    settings = {name: value for name, value in state["settings"].items() if name not in _OF_THE_RUN}
    checkpoint.check_settings(settings, method.settings(), path)
    method.load_state_dict(state["method"])
    return state["step"]
