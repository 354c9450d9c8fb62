"""Chapter 9: a variational auto-encoder as sampler."""

from typing import Any

from ebmlearn.exercises._base import exercise, parts
from ebmlearn.exercises._compare import compare, compare_function
from ebmlearn.exercises._exact import chain_variance, root

V, S, K, TAU = 1.0, 0.1, 20, 0.3  # of the chapter's line


@exercise("ex-09-weight")
def weight(answer: Any) -> None:
    """a function of w: the standard deviation tau of the decoder."""
    wrong = [
        (lambda w: w / 2, "that is the variance, and the standard deviation is asked for"),
        (lambda w: w**0.5, "the loss has two variances below its square, not one"),
        (lambda w: (2 / w) ** 0.5, "a large weight of the divergence goes with much noise, not with little"),
    ]
    compare_function(answer, lambda w: (w / 2) ** 0.5, [(2.0,), (0.1,), (5.0,)], wrong=wrong)


@exercise("ex-09-small")
def small(answer: Any) -> None:
    """a pair: the generator's variance b² + τ² at rest, and the energy's precision."""
    variance, precision = parts(answer, "variance", "precision")

    def b(w: float) -> float:  # where the slope by b is 0
        return w * V / (1 + w**2 * V)

    # where the slope by w is 0, too
    w = root(lambda w: w * TAU**2 - b(w) * (1 - b(w) * w), 0.01, 10.0)
    right = b(w) ** 2 + TAU**2
    compare(
        variance,
        right,
        what="variance",
        wrong=[
            (right - TAU**2, "that is b²; the decoder adds its noise"),
            (V, "that is what the ends have, and an encoder with r = 1 does not let the generator have it"),
            (TAU**2, "that is a generator that ignores its latents; here b does not vanish"),
            (right**0.5, "that is the standard deviation"),
        ],
    )

    def ends(start: float) -> float:
        return root(lambda a: chain_variance(a, s=S, n_steps=K, start=start) - V, -20.0, 20.0)

    compare(
        precision,
        ends(right),
        what="precision",
        wrong=[
            (
                -ends(right),
                "the sign is reversed: the generator is too narrow, so where must the energy push?",
            ),
            (0.0, "a flat energy adds the noise of twenty steps, which is not enough"),
            (ends(V), "that is the precision at which an encoder that is free comes to rest"),
            (ends(right - TAU**2), "do the drafts have the decoder's noise?"),
        ],
    )
