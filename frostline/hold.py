"""hold: the champion stays in production, and the reason is recorded."""

from __future__ import annotations

from pathlib import Path

from frostline.documents.release import DECISION, HELD
from frostline.errors import DataError
from frostline.events import say, step


@step("hold")
def run(*, decision: str, held: str) -> str:
    """Write held.json: the gate's verdict, its reason and its checks.

    Args:
        decision: directory with decision.json.
        held: directory to create.

    Returns:
        The outcome in one line, `held: REASON`.

    Raises:
        DataError: decision.json is missing or malformed, or its verdict is to promote.
    """
    path = Path(decision) / DECISION.file
    decided = DECISION.read_file(path)
    verdict, reason, checks = decided.get("verdict"), decided.get("reason"), decided.get("checks")
    if verdict not in ("hold", "inconclusive"):
        raise DataError(f"{path}: received the verdict {verdict!r}; only 'hold' and 'inconclusive' are held")
    if not isinstance(reason, str) or not isinstance(checks, list):
        raise DataError(f"{path}: has no reason or no checks")
    HELD.write(Path(held), {"verdict": verdict, "reason": reason, "checks": checks})
    outcome = f"held: {reason}"
    say(outcome)
    return outcome
