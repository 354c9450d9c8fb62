"""Batches of a ``DataLoader``, with an order that a checkpoint can hold.

A ``DataLoader`` cannot say where it is. Its random numbers are therefore kept apart from those of training:
those of a pass follow from one seed and the number of the pass. A resumed run makes the pass again and leaves
out the batches that were drawn.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from ebmlearn import random
from ebmlearn.train.batch import Batch, each
from ebmlearn.train.checks import check, check_length
from ebmlearn.train.ranks import Ranks
from ebmlearn.train.sources import Source, generators, untied


class Loader(Source):
    """A ``DataLoader`` in its own order, pass after pass. On n ranks all make the same batches, and each
    takes every n-th element of them.

    Args:
        data: The loader.
        name, size, ranks, dtypes: As of `Source <ebmlearn.train.sources.Source>`.

    Raises:
        ValueError: If a resumed run could not make the same batches, or the loader is not all of this run's.
    """

    def __init__(
        self, data: DataLoader, name: str, size: int, ranks: Ranks, dtypes: frozenset[torch.dtype]
    ) -> None:
        _check_loader(data, name, size)
        super().__init__(name, size, ranks, dtypes)
        self.data = data
        self.generators = _generators(data)
        self.seed, self.states = ranks.on_main(
            lambda: (int(torch.randint(2**62, ())), [random.generator_state(g) for g in self.generators])
        )
        self.passes, self.position = 0, 0
        self.batches: Iterator[Any] | None = None
        self.random: dict[str, Any] = {}

    def draw(self) -> Batch:
        before = random.state()
        try:
            drawn = self._next()
        finally:
            self.random = random.state()
            random.restore(before)
        batch = untied(drawn, self.name)
        check_length(batch, self.size, self.name, "All batches must be as large; see drop_last of DataLoader")
        check(batch, self.name, self.dtypes)
        return each(lambda x: x[self.ranks.rank :: self.ranks.n], batch)

    def _next(self) -> Any:
        if self.batches is None:
            self._begin()
        else:
            random.restore(self.random)
        drawn = next(self.batches, None)  # type: ignore[arg-type]
        if drawn is None:
            self.passes, self.position = self.passes + 1, 0
            self.states = [random.generator_state(g) for g in self.generators]
            self._begin()
            drawn = next(self.batches, None)  # type: ignore[arg-type]
        if drawn is None:
            raise ValueError(
                f"{self.name} gave no batch in pass {self.passes + 1}; expected a DataLoader that gives some "
                "each time it is iterated"
            )
        self.position += 1
        return drawn

    def _begin(self) -> None:
        """Start the pass, up to the next batch."""
        torch.manual_seed(self.seed)
        random.diversify(0, self.passes)
        for generator, state in zip(self.generators, self.states, strict=True):
            random.restore_generator(generator, state)
        self.batches = iter(self.data)
        for _ in range(self.position):
            if next(self.batches, None) is None:
                raise ValueError(
                    f"{self.name} ends before batch {self.position} of a pass, where the checkpoint was "
                    "written; it is not the same DataLoader"
                )

    def state_dict(self) -> dict[str, Any]:
        """The pass, the batches drawn in it, and what the order of a pass follows from."""
        return {
            "seed": self.seed,
            "passes": self.passes,
            "position": self.position,
            "generators": list(self.states),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the same batch; the pass is made again when the next one is drawn."""
        self.seed, self.passes, self.position = state["seed"], state["passes"], state["position"]
        self.states = state["generators"]
        self.batches = None


def _generators(data: DataLoader) -> list[Any]:
    """The generators that the user has given to a loader, its samplers and its data set, once each."""
    within = getattr(data.batch_sampler, "sampler", None)
    owners = (data, data.sampler, data.batch_sampler, within)
    found = [getattr(owner, "generator", None) for owner in owners]
    found = [*(g for g in found if isinstance(g, torch.Generator)), *generators(data.dataset)]
    return list({id(g): g for g in found}.values())


def _check_loader(data: DataLoader, name: str, size: int) -> None:
    within = getattr(data.batch_sampler, "sampler", None)
    if any(isinstance(s, DistributedSampler) for s in (data.sampler, data.batch_sampler, within)) or (
        type(data).__module__.startswith("accelerate.")
    ):
        raise ValueError(
            f"{name} is a DataLoader that shares its data over processes, which fit does itself: pass one "
            "without DistributedSampler, not prepared by accelerate"
        )
    if data.batch_size is not None and data.batch_size != size:
        raise ValueError(
            f"batch_size is {size}, but {name} is a DataLoader with batches of {data.batch_size}; leave "
            "batch_size out"
        )
    if data.persistent_workers:
        raise ValueError(
            f"{name} has persistent_workers, whose random numbers go on from pass to pass, so that a resumed "
            "run could not make the same batches; use persistent_workers=False"
        )
    if data.batch_size is not None and not data.drop_last:
        if isinstance(data.dataset, IterableDataset):
            left, n = "a length that is not known", ""
        elif len(data.sampler) % size:  # type: ignore[arg-type]
            left, n = f"{len(data.sampler) % size} elements", f" of {size}"  # type: ignore[arg-type]
        else:
            return
        raise ValueError(
            f"the last batch of a pass through {name} would have {left}{n}; all batches must be as large: "
            "DataLoader(..., drop_last=True)"
        )
