"""How far float32 results may differ between two ways of computing the same thing, whatever kernels a processor has.

A kernel may add the products of a sum in any order, so two correct kernels differ. The error of a sum of n products
grows as sqrt(n) unit roundoffs (N. J. Higham and T. Mary, "A new approach to probabilistic rounding error analysis",
SIAM J. Sci. Comput. 41, 2019, theorem 3.1); each layer that follows, and each step of training, adds its own.
"""

import math

UNIT_ROUNDOFF = 2.0**-24  # of float32


def limit(longest_sum: int, layers: int, steps: int = 1) -> float:
    """The largest relative difference that rounding explains.

    Args:
        longest_sum: products in the longest sum of a forward or backward pass.
        layers: layers with weights, one after the other.
        steps: optimizer steps.
    """
    return math.sqrt(longest_sum) * UNIT_ROUNDOFF * layers * steps
