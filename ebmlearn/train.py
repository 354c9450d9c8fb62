"""`fit`: the only training loop."""

import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ebmlearn import checkpoint
from ebmlearn.buffer import ShuffledIndex
from ebmlearn.method import Method
from ebmlearn.progress import progress_enabled

Hook = Callable[[int, Method, dict[str, Tensor]], None]
"""``hook(step, method, metrics)``, called after each step; the first step is 1."""

ADVICE = (
    "Lower the learning rate or the sampler's step_size, add data noise, or take more sampling steps; "
    "see the book's sections 'What goes wrong'."
)


def fit(
    method: Method,
    data: Tensor | Callable[[int], Tensor],
    *,
    steps: int,
    batch_size: int = 128,
    out: str | Path | None = None,
    every: int = 1000,
    resume: bool = False,
    accelerator: Any = None,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> dict[str, Tensor]:
    """Train a method.

    Args:
        method: The method; trained in place.
        data: All data, shape ``(N, *event)``, drawn in an order shuffled for each pass; or a function of
            the batch size that gives a batch (``target.sample`` for infinite data).
        steps: Number of iterations in all, counting those of a resumed run.
        batch_size: Elements in a batch.
        out: Folder for ``checkpoint.pt``; made if absent. None: nothing is written.
        every: Save every so many steps, at the end and when interrupted.
        resume: Continue from the checkpoint in ``out``, bit for bit; start from the beginning if there is
            none yet.
        accelerator: A ``accelerate.Accelerator``: places the method on its device and averages gradients over
            ranks.
        hooks: Functions called after each step.
        progress: Show a bar with the metrics, where somebody is watching.

    Returns:
        The metrics of all steps, each of shape ``(steps,)``.

    Raises:
        FileExistsError: If ``out`` holds a checkpoint and ``resume`` is False: nothing is overwritten.
        ValueError: If an argument or the data is off, or the checkpoint is damaged or of another
            configuration.
        FloatingPointError: If a loss, a chain or a metric is not finite; the last good checkpoint is kept.
        KeyboardInterrupt: If interrupted: after the current step, with a checkpoint.
    """
    if steps < 1 or batch_size < 1 or every < 1:
        raise ValueError(f"expected steps, batch_size, every >= 1; got {steps}, {batch_size}, {every}")
    rank, main = 0, True
    if accelerator is not None:
        rank, main = accelerator.process_index, accelerator.is_main_process
        _place(method, accelerator)
    draw, index = _stream(data, batch_size)
    device = next(method.parameters()).device
    settings = {**method.settings(), "data": _fingerprint(data), "batch_size": str(batch_size)}
    settings["ranks"] = str(1 if accelerator is None else accelerator.num_processes)
    path = (
        None if out is None else Path(out) / ("checkpoint.pt" if rank == 0 else f"checkpoint-rank{rank}.pt")
    )
    done = 0
    history: dict[str, list[Tensor]] = {}
    if path is not None and path.exists():
        if not resume:
            raise FileExistsError(
                f"{path} exists; pass resume=True to continue that run, or another out for a new one"
            )
        done, history = _restore(path, method, index, settings, device)
    elif path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)

    def save(step: int) -> None:
        if path is not None:
            _check_weights(method, step)
            state = {
                "step": step,
                "settings": settings,
                "method": method.state_dict(),
                "index": None if index is None else index.state_dict(),
                "history": {name: torch.stack(values) for name, values in history.items()},
                "rng": checkpoint.rng_state(),
            }
            checkpoint.save(path, state)

    visible = progress and main and progress_enabled()
    with tqdm(total=steps, initial=done, disable=not visible) as bar, _deferred_interrupt() as interrupted:
        for step in range(done + 1, steps + 1):
            metrics: dict[str, Tensor] = {}
            try:
                metrics = method.step(draw().to(device))
                metrics = {name: torch.as_tensor(value).detach().cpu() for name, value in metrics.items()}
                bad = [name for name, value in metrics.items() if not value.isfinite()]
                if bad:
                    raise FloatingPointError(f"{', '.join(bad)} not finite")
            except FloatingPointError as error:
                raise FloatingPointError(_diverged(step, error, metrics, history, path)) from error
            for name, value in metrics.items():
                history.setdefault(name, []).append(value)
            for hook in hooks:
                hook(step, method, metrics)
            bar.update()
            if visible and step % 20 == 0:
                bar.set_postfix({name: f"{value.item():.3g}" for name, value in metrics.items()})
            if step % every == 0 or step == steps or interrupted:
                save(step)
            if interrupted and step < steps:
                raise KeyboardInterrupt(f"stopped after step {step} of {steps}" + _how_to_resume(path))
    return {name: torch.stack(values) for name, values in history.items()}


def _stream(
    data: Tensor | Callable[[int], Tensor], batch_size: int
) -> tuple[Callable[[], Tensor], ShuffledIndex | None]:
    """A function that gives the next batch, and the state of its order."""
    if not isinstance(data, Tensor):
        return lambda: data(batch_size), None
    if batch_size > len(data):
        raise ValueError(f"batch_size is {batch_size}, but there are {len(data)} data; use a smaller batch")
    finite = data.flatten(1).isfinite().all(1) if data.ndim > 1 else data.isfinite()
    if not finite.all():
        bad = (~finite).nonzero().flatten()
        raise ValueError(
            f"{len(bad)} of {len(data)} data are not finite, the first at index {int(bad[0])}; "
            "remove or mend them"
        )
    index = ShuffledIndex(len(data))
    return lambda: data[index.draw(batch_size)], index


def _fingerprint(data: Tensor | Callable[[int], Tensor]) -> str:
    if not isinstance(data, Tensor):
        return "a function"
    checksum = zlib.crc32(data.detach().cpu().contiguous().numpy().data)
    return f"{tuple(data.shape)} {data.dtype}, crc32 {checksum:08x}"


def _restore(
    path: Path, method: Method, index: ShuffledIndex | None, settings: dict[str, str], device: torch.device
) -> tuple[int, dict[str, list[Tensor]]]:
    state = checkpoint.load(path, device)
    checkpoint.check_settings(state["settings"], settings, path)
    method.load_state_dict(state["method"])
    if index is not None:
        index.load_state_dict(state["index"])
    checkpoint.set_rng_state(state["rng"])
    return state["step"], {name: list(values.cpu()) for name, values in state["history"].items()}


def _check_weights(method: Method, step: int) -> None:
    """A checkpoint of broken weights would replace the last good one."""
    for name, value in method.named_parameters():
        if not value.isfinite().all():
            raise FloatingPointError(
                f"{name} is not finite after step {step}; no checkpoint was written. {ADVICE}"
            )


def _diverged(
    step: int,
    error: FloatingPointError,
    metrics: dict[str, Tensor],
    history: dict[str, list[Tensor]],
    path: Path | None,
) -> str:
    shown = metrics or {name: values[-1] for name, values in history.items()}
    when = "at this step" if metrics else "at the last good step"
    text = ", ".join(f"{name} = {value.item():.4g}" for name, value in shown.items()) or "none yet"
    kept = f" The last good checkpoint is {path}." if path is not None and path.exists() else ""
    return f"training stopped at step {step}: {error}\nMetrics {when}: {text}.\n{ADVICE}{kept}"


def _how_to_resume(path: Path | None) -> str:
    if path is None:
        return "; no `out` was given, so nothing was saved"
    return f"; saved in {path}. Call fit again with resume=True to continue"


@contextmanager
def _deferred_interrupt() -> Iterator[list[bool]]:
    """Let Ctrl-C wait for the end of the step, so the checkpoint is exact; a second one stops at once."""
    caught: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    previous = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: Any) -> None:
        caught.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handler)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, previous)


def _place(method: Method, accelerator: Any) -> None:
    """Device, equal weights and different random numbers on every rank."""
    method.to(accelerator.device)
    method.accelerator = accelerator
    if accelerator.num_processes > 1:
        for value in [*method.parameters(), *method.buffers()]:
            torch.distributed.broadcast(value.data, src=0)
        torch.manual_seed(torch.initial_seed() + accelerator.process_index)
