"""hold: the model that serves stays, and the reason is recorded."""

from __future__ import annotations

from pathlib import Path

from frostline import artifacts
from frostline.errors import DataError
from frostline.events import say, step


@step("hold")
def run(decision_dir: str, held_dir: str) -> str:
    """Write held.json: the gate's verdict, its reason and its checks.

    Args:
        decision_dir: directory of decision.json.
        held_dir: directory to create.

    Returns:
        The outcome in one line, `held: REASON`.

    Raises:
        DataError: decision.json is missing or malformed, or its verdict is to promote.
    """
    path = Path(decision_dir) / "decision.json"
    decision = artifacts.read_json(path, "decision")
    verdict = decision.get("verdict")
    if verdict not in ("hold", "inconclusive"):
        raise DataError(f"{path}: received the verdict {verdict!r}; only 'hold' and 'inconclusive' are held")
    if not isinstance(decision.get("reason"), str) or not isinstance(decision.get("checks"), list):
        raise DataError(f"{path}: has no reason or no checks")
    record = {"verdict": verdict, "reason": decision["reason"], "checks": decision["checks"]}
    artifacts.write_json(Path(held_dir) / "held.json", "held", record)
    outcome = f"held: {decision['reason']}"
    say(outcome)
    return outcome
