"""Faster arithmetic with the same results: compiled chains, bfloat16, channels last.

    run(ula(energy, step_size=0.1), x, 1000, speed=Speed(compile=10))
    fit(method, data, steps=1000, speed=Speed(compile=10, precision="bf16", channels_last=True))

`Speed` says what to do; `ebmlearn.sample.run`, `ebmlearn.energy.energy_at` and `fit` do it. Nothing here
changes which law a chain samples or what a method learns: the random numbers are the same, and results agree
within rounding.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebmlearn import check

PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Speed:
    """How chains and energies are computed: for `run`, `langevin` and `fit`. The default changes nothing.

    Args:
        compile: Compile blocks of so many Langevin steps into one graph, >= 0 (0: do not); 5 to 10 is good. A
            chain's last steps that fill no block run uncompiled, so let it divide the number of steps. The
            first block of an energy takes from seconds to a minute to compile, and each new shape of ``x``
            again.
        precision: ``"float32"``, or ``"bf16"``: energies run under ``torch.autocast`` in bfloat16, which has
            8 bits. Chains, updates and weights stay as they are, and so does the last layer of the energies
            of `ebmlearn.nets`; an energy that ends in bfloat16 is refused.
        channels_last: Keep images and convolutions in the memory order that GPUs like best.
        cuda_graphs: Replay compiled blocks as CUDA graphs, without launching kernel by kernel; needs
            ``compile`` and CUDA. It has not been run by the tests, which know no GPU.

    Raises:
        ValueError: If a value is out of its range.
    """

    compile: int = 0
    precision: str = "float32"
    channels_last: bool = False
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.compile, bool) or not isinstance(self.compile, int) or self.compile < 0:
            raise ValueError(
                f"compile is {self.compile!r}; expected the number of steps in a block, such as 10, or 0"
            )
        check.choice("precision", self.precision, PRECISIONS)
        for name in ("channels_last", "cuda_graphs"):
            check.choice(name, getattr(self, name), (False, True))
        if self.cuda_graphs and not self.compile:
            raise ValueError("cuda_graphs replays compiled blocks: it needs compile > 0, such as compile=10")

    def prepare(self, module: nn.Module) -> None:
        """Bring the weights of convolutions into the order that was asked for; values stay the same."""
        if self.channels_last:
            for part in module.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                    part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)

    def batch(self, x: Tensor) -> Tensor:
        """A batch in the order that was asked for: images ``(B, C, H, W)`` change, other shapes do not."""
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last and x.ndim == 4 else x

    @contextmanager
    def active(self, device: torch.device) -> Iterator[None]:
        """In here, `run` and energies that are evaluated follow these settings.

        Args:
            device: Where the chains are.

        Raises:
            RuntimeError: If ``cuda_graphs`` is asked for elsewhere than on CUDA.
        """
        global _active
        if self.cuda_graphs and device.type != "cuda":
            raise RuntimeError(f"cuda_graphs needs a CUDA device, but x is on {device}: leave it out")
        previous, _active = _active, self
        try:
            yield
        finally:
            _active = previous


_active = Speed()


def current() -> Speed:
    """What is active: the default settings outside of any `Speed.active`."""
    return _active


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """The precision of energies. Weights change in place as a method steps: no cast of them is cached."""
    if _active.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
