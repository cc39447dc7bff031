"""hold: the champion stays in production, and the reason is recorded."""

from __future__ import annotations

from pathlib import Path

from frostline.documents.evaluation import EVALUATION
from frostline.documents.release import DECISION, HELD
from frostline.errors import DataError
from frostline.events import say
from frostline.registry import conclude


def run(*, decision: str, evaluation: str, model_name: str, registry: str, held: str) -> str:
    """Write held.json: the gate's verdict, its reason and its checks; and conclude the attempt in the registry.

    Args:
        decision: directory with decision.json.
        evaluation: directory with evaluation.json, which names the attempt. If it cannot be read, that is why the model
            is held.
        model_name: name of the model in the registry.
        registry: the registry, a directory or gs://.
        held: directory to create.

    Returns:
        The outcome in one line, `held: REASON`.

    Raises:
        DataError: decision.json is missing or malformed, or its verdict is to promote.
        RegistryError: the attempt is not in this registry.
        StorageError: the registry cannot be written.
    """
    path = Path(decision) / DECISION.file
    decided = DECISION.read_file(path)
    verdict, reason, checks = decided.get("verdict"), decided.get("reason"), decided.get("checks")
    if verdict not in ("hold", "inconclusive"):
        raise DataError(f"{path}: received the verdict {verdict!r}; only 'hold' and 'inconclusive' are held")
    if not isinstance(reason, str) or not isinstance(checks, list):
        raise DataError(f"{path}: has no reason or no checks")
    HELD.write(Path(held), {"verdict": verdict, "reason": reason, "checks": checks})
    attempt = _attempt(Path(evaluation) / EVALUATION.file)
    if attempt is not None:
        conclude(registry, model_name, attempt, outcome="held", reason=reason)
    outcome = f"held: {reason}"
    say(outcome)
    return outcome


def _attempt(path: Path) -> str | None:
    try:
        return EVALUATION.read_file(path).get("attempt")
    except DataError:
        return None
