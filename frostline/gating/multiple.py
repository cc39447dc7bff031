"""Several tests at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses are rejected, so that one or more true ones are with a probability of at most `level`.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
    1979, 65-70. It rejects all that Bonferroni's correction does, whatever the dependence between the tests.
    """
    rejected = [False] * len(p_values)
    for passed, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        if p_values[place] > level / (len(p_values) - passed):
            break
        rejected[place] = True
    return rejected
