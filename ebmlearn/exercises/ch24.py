"""Chapter 24: your own data, energy and method."""

import math
from typing import Any

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare_function


@exercise("ex-24-destroyed")
def destroyed(answer: Any) -> None:
    """a function of v, w and s: what the noise destroys, in nats."""

    def kl(v: float, w: float) -> float:
        return 0.5 * (v / w - 1 - math.log(v / w))

    def right(v: float, w: float, s: float) -> float:
        return kl(v, w) - kl(v + s**2, w + s**2)

    wrong = [
        (lambda v, w, s: kl(v + s**2, w + s**2), "that is what is left after the noise"),
        (lambda v, w, s: kl(v, w), "that is the divergence before the noise, all of it"),
        (lambda v, w, s: kl(v, w) - kl(v + s, w + s), "s is a standard deviation: variances add"),
        (lambda v, w, s: kl(w, v) - kl(w + s**2, v + s**2), "that is KL(model | data), the other way round"),
        (lambda v, w, s: kl(v, w) - kl(v + s**2, w), "the model gets the noise as well"),
        (lambda v, w, s: kl(v, w) - kl(v, w + s**2), "the data get the noise as well"),
    ]
    compare_function(answer, right, [(1.0, 3.0, 0.5), (2.0, 0.5, 1.5), (1.0, 1.5, 3.0)], wrong=wrong)
