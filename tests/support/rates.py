"""How often a rule of the gate holds, exactly: summed over every outcome of a paired comparison, nothing is drawn."""

from collections.abc import Callable

from scipy.stats import binom

_BEYOND = 1e-10  # probability left out on each side


def probability(examples: int, only_first: float, only_second: float, rule: Callable[[int, int], bool]) -> float:
    """The probability that `rule(b, c)` holds.

    Args:
        examples: how many are compared.
        only_first: probability that only the first is correct on an example.
        only_second: probability that only the second does.
        rule: of the two counts; if it holds for b, it holds for b + 1.
    """
    total = 0.0
    least = 0  # the smallest b for which the rule holds, found from that of the last c
    first, last = (int(binom.ppf(at, examples, only_second)) for at in (_BEYOND, 1 - _BEYOND))
    for c in range(first, last + 1):
        least = min(least, examples - c + 1)
        while least + c <= examples and not rule(least, c):
            least += 1
        while least > 0 and rule(least - 1, c):
            least -= 1
        more = binom.sf(least - 1, examples - c, only_first / (1 - only_second))
        total += binom.pmf(c, examples, only_second) * more
    return float(total)
