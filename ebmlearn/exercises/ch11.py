"""Chapter 11: flow contrastive estimation."""

import math
from typing import Any

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare_function


@exercise("ex-11-noise")
def noise(answer: Any) -> None:
    """a function of the loss: the JSD that it proves, in nats."""
    log2 = math.log(2)

    def right(loss: float) -> float:  # loss >= log 4 - 2 JSD, equal for the best classifier
        return (2 * log2 - loss) / 2

    wrong = [
        (lambda loss: 2 * log2 - loss, "a factor of two too large: the loss sums over two sides"),
        (lambda loss: (loss - 2 * log2) / 2, "the sign is reversed: a small loss proves a large divergence"),
        (lambda loss: log2 - loss, "the loss of a coin is that of two classes on each side: log 4"),
        (lambda loss: (log2 - loss) / 2, "a loss of log 4 proves nothing; does yours say so?"),
        (lambda loss: loss / 2, "a larger loss must prove less"),
    ]
    compare_function(answer, right, [(0.2,), (0.7,), (1.3,)], wrong=wrong)
