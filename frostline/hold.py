"""hold: the model that serves stays, and the reason is recorded."""

from __future__ import annotations

from pathlib import Path

from frostline import artifacts
from frostline.errors import DataError
from frostline.events import say, step


@step("hold")
def run(*, decision: str, held: str) -> str:
    """Write held.json: the gate's verdict, its reason and its checks.

    Args:
        decision: directory of decision.json.
        held: directory to create.

    Returns:
        The outcome in one line, `held: REASON`.

    Raises:
        DataError: decision.json is missing or malformed, or its verdict is to promote.
    """
    path = Path(decision) / "decision.json"
    decided = artifacts.read_json(path, "decision")
    verdict = decided.get("verdict")
    if verdict not in ("hold", "inconclusive"):
        raise DataError(f"{path}: received the verdict {verdict!r}; only 'hold' and 'inconclusive' are held")
    if not isinstance(decided.get("reason"), str) or not isinstance(decided.get("checks"), list):
        raise DataError(f"{path}: has no reason or no checks")
    record = {"verdict": verdict, "reason": decided["reason"], "checks": decided["checks"]}
    artifacts.write_json(Path(held) / "held.json", "held", record)
    outcome = f"held: {decided['reason']}"
    say(outcome)
    return outcome
