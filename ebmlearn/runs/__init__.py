"""The folder of a training run: what was run, its metrics, sample grids.

``python -m ebmlearn train`` writes them beside the checkpoints of `fit`:

=========================  ===========================================================================
``run.json``               recipe, settings, seed, data and its checksum; an entry for each session
``trace.csv``              a row for each step: the step and all metrics
``samples/00001000.png``   a grid of samples at each checkpoint
=========================  ===========================================================================

`Trace`, `Grids` and `CoarseDistance` are of use in any call of `fit`, and so are `TensorBoard` and `LivePlot`
for who watches. With several ranks, the hooks belong to rank 0 only.

Another service is a function away. Weights & Biases, with ``pip install wandb``::

    import wandb

    wandb.init(project="energies", id="run-a", resume="allow", config=method.settings())
    log = lambda step, method, metrics: wandb.log({k: v.item() for k, v in metrics.items()}, step=step)
    fit(method, data, steps=1000, out="runs/a", hooks=[log])
"""

from ebmlearn.runs._files import read, session, write
from ebmlearn.runs._hooks import CoarseDistance, Grids, Log, Trace
from ebmlearn.runs._watch import LivePlot, TensorBoard

__all__ = ["CoarseDistance", "Grids", "LivePlot", "Log", "TensorBoard", "Trace", "read", "session", "write"]
