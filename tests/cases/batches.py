"""Every kind of data that ``fit`` takes: the contract test runs over this table. Rows have their place in the
data as first value and random values beside it, so that a batch tells where it is from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from ebmlearn.train import Batch, BatchSize, Method
from ebmlearn.train.batch import each, parts


class Seen(Method):
    """Keeps the batches. Its one weight goes to the mean of all values, with noise of its own."""

    scratch = ("seen",)

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))
        self.seen = []
        self.add_optimizer("mean", [self.mean], 0.01, torch.optim.SGD)

    def step(self, batch):
        self.seen.append(each(torch.clone, batch))
        values = torch.cat([x.float().flatten() for _, x in parts(batch)])
        loss = (values + torch.randn(()) - self.mean).square().mean()
        self.update("mean", loss)
        return {"loss": loss.detach()}


def numbered(n: int = 20, seed: int = 7) -> Tensor:
    """Rows ``(place, noise)``."""
    noise = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    return torch.stack([torch.arange(float(n)), noise], 1)


class Noisy(Dataset):
    """Items with noise that is drawn as they are read, and their place."""

    def __len__(self):
        return 20

    def __getitem__(self, i):
        return torch.stack([torch.tensor(float(i)), torch.randn(())]), i


class Endless(IterableDataset):
    """Items in order, without a length; in a pass there are 20 of them."""

    def __iter__(self):
        for i in range(20):
            yield torch.stack([torch.tensor(float(i)), torch.randn(())]), i


class Kind(NamedTuple):
    data: Callable[[], Any]
    batch_size: BatchSize = 8
    sizes: tuple[int, ...] = (8,)
    lengths: tuple[int, ...] = (20,)
    labelled: tuple[bool, ...] = (True,)

    def rows(self, batch: list[Tensor], stream: int) -> Tensor:
        """Places of the rows of a stream; a label must be the place of its row."""
        at = sum(1 + labelled for labelled in self.labelled[:stream])
        places = batch[at][:, 0]
        if self.labelled[stream]:
            assert torch.equal(batch[at + 1].flatten().float(), places)
        return places


def pair() -> Batch:
    return numbered(), torch.arange(20)


def loader(**settings) -> DataLoader:
    return DataLoader(Noisy(), 8, shuffle=True, drop_last=True, **settings)


def sampler() -> RandomSampler:
    return RandomSampler(range(20), generator=torch.Generator().manual_seed(3))


BATCHES = {
    "a tensor": Kind(numbered, labelled=(False,)),
    "a tuple": Kind(pair),
    "numpy": Kind(lambda: tuple(x.numpy() for x in pair())),
    "two streams": Kind(
        lambda: (pair(), numbered(30, 8)), (4, 10), (4, 10), (20, 30), labelled=(True, False)
    ),
    "a Dataset": Kind(Noisy),
    "a TensorDataset": Kind(lambda: TensorDataset(*pair())),
    "a DataLoader": Kind(loader, None),
    "a DataLoader with a generator": Kind(lambda: loader(generator=torch.Generator().manual_seed(3))),
    "a DataLoader with a sampler": Kind(
        lambda: DataLoader(Noisy(), 8, sampler=sampler(), drop_last=True), None
    ),
    "a DataLoader of an IterableDataset": Kind(lambda: DataLoader(Endless(), 8, drop_last=True), None),
    "a DataLoader beside a tensor": Kind(
        lambda: (loader(), numbered(30, 8)), (None, 10), (8, 10), (20, 30), labelled=(True, False)
    ),
}
