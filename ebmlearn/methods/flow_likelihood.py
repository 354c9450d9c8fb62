"""Maximum likelihood of a normalising flow, whose density is known: no chain and no ``log Z``.

Reference:
    Dinh, Sohl-Dickstein, Bengio (2017), "Density estimation using Real NVP", ICLR, arXiv:1605.08803.

Algorithm, one iteration on a batch:
    1. Add the noise of dequantisation, if any.
    2. ``mean -log q(x)``, by the flow's inverse and its log-determinant.
    3. One optimiser step down its gradient.
"""

import torch
from torch import Tensor

from ebmlearn.nets import Flow
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class FlowLikelihood(Method):
    """A flow, fitted to data by likelihood.

    Args:
        flow: The flow to train.
        bin_width: Distance of the levels of data that have some, such as 2/255 for 8 bits in [-1, 1]; uniform
            noise of this width makes a density of them. 0 for data that are continuous.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.
        ema: Decay of the moving average of the weights, kept in ``averages["flow"]``; None: no average.

    Raises:
        ValueError: If a setting is out of its range.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        bin_width: float = 0.0,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        if not bin_width >= 0:
            raise ValueError(f"bin_width is {bin_width}; expected a number >= 0, 0 for continuous data")
        self.flow, self.bin_width = flow, float(bin_width)
        self.add_optimizer("flow", flow.parameters(), lr, optimizer)
        self.add_average("flow", flow, ema)

    def sample(self, n: int) -> Tensor:
        """Exact samples of the flow, shape ``(n, *event)``."""
        return self.flow.sample(n)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``; returns ``nll``, the loss of line 2, in nats."""
        # 1. dequantisation
        x = batch
        if self.bin_width > 0:
            x = batch + self.bin_width * (torch.rand_like(batch) - 0.5)
        # 2. likelihood
        nll = -self.flow.log_prob(x).mean()
        # 3. update
        self.update("flow", nll)
        return {"nll": nll.detach()}
