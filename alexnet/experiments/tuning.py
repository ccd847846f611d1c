"""A number tuned by climbing: up or down a ladder of values until both neighbours of the best are worse."""

from collections.abc import Callable, Sequence
from typing import Any


def climb(ladder: Sequence[float], first: float, cost: Callable[[float], Any]) -> tuple[float, bool]:
    """(the best value found on `ladder`, whether both its neighbours were tried and are worse).

    Begins with `first` and its neighbours; as long as the best lies at the edge of what was tried, its next neighbour
    is tried too. The second is False where the best lies at the ladder's end.

    Args:
        cost: what a value costs; lower is better. Asked once for each value.
    """
    at = ladder.index(first)
    costs: dict[int, Any] = {}
    wanted = [at]
    while wanted:
        for place in wanted:
            costs[place] = cost(ladder[place])
        best = min(costs, key=lambda place: costs[place])
        beside = [place for place in (best + 1, best - 1) if 0 <= place < len(ladder)]
        wanted = [place for place in beside if place not in costs]
    return ladder[best], len(beside) == 2
