"""The folder of a training run: what was run, its metrics, sample grids.

``python -m ebmlearn train`` writes them beside the checkpoints of `fit`:

=========================  ===========================================================================
``run.json``               recipe, settings, seed, data and its checksum; an entry for each session
``trace.csv``              a row for each step: the step and all metrics
``samples/00001000.png``   a grid of samples at each checkpoint
=========================  ===========================================================================

`Trace`, `Grids` and `CoarseDistance` are of use in any call of `fit`. With several ranks, the hooks belong to
rank 0 only.
"""

from ebmlearn.runs._files import read, session, write
from ebmlearn.runs._hooks import CoarseDistance, Grids, Log
from ebmlearn.runs._trace import Trace, read_trace

__all__ = ["CoarseDistance", "Grids", "Log", "Trace", "read", "read_trace", "session", "write"]
