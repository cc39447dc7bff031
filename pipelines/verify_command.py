"""The result of `frostline verify` for the terminal."""

from __future__ import annotations

from frostline.documents.release import Verification, VerifyRow


def text(result: Verification) -> str:
    """One line per check, and the conclusion."""
    words = [_word(check) for check in result["checks"]]
    lines = [
        f"{word:<7} {check['name']:<16} {check['reason']}" for word, check in zip(words, result["checks"], strict=True)
    ]
    unchanged = f"{result['frozen_tensors']} frozen tensors are bit-identical to those that training started from"
    end = f"verified: {unchanged}" if result["verified"] else f"not verified: {words.count('FAILED')} failed"
    return "\n".join([*lines, end])


def _word(check: VerifyRow) -> str:
    if check["reason"].startswith("not checked"):
        return "skipped"
    return "passed" if check["passed"] else "FAILED"
