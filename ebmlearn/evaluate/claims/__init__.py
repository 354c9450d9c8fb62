"""What a paper claims and what was measured: the rows at the end of a chapter.

A claim has one place. Its row says who claims it and where, how it was tested, the numbers that came out, the
bound that they must keep, and the verdict. The chapter computes the numbers and hands them over; the table
shows them, and never a bound in their place::

    claims = Claims("1609.09408")
    claims.add(
        "The generator reproduces the chain's transitions in one pass",
        "abstract",
        test="exact KL(data ‖ generator), four Gaussians, three seeds",
        measured=[
            Measured("start", start, "nats", above=10),
            Measured("end", end, "nats", below=0.7),
        ],
        verdict="holds",
    )
    claims.show()
"""

from ebmlearn.evaluate.claims._measured import HERE, Measured
from ebmlearn.evaluate.claims._rows import VERDICTS, ClaimError, Claims, collect, table

__all__ = ["HERE", "VERDICTS", "ClaimError", "Claims", "Measured", "collect", "table"]
