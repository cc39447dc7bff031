"""Evaluations as a registry records them."""

import hashlib

from frostline import registry
from frostline.registry import sketches


def images(first, last):
    """SHA-256 of made-up test images."""
    return [hashlib.sha256(f"image {number}".encode()).hexdigest() for number in range(first, last)]


def attempt(name, used=(0, 40), at=0, champion=None, reference=None, **fields):
    """An evaluation on images `used`; `champion` and `reference` are versions or aliases, or None."""
    used = images(*used)
    return registry.Attempt(
        **{
            "model": "digits",
            "attempt": hashlib.sha256(str(name).encode()).hexdigest()[:32],
            "evaluated_at": f"2026-01-01T00:00:{at:02d}+00:00",
            "model_digest": f"model {name}",
            "images": len(used),
            "sketch": sketches.sketch(used),
            "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
            "champion": against(champion),
            "reference": against(reference),
            **fields,
        }
    )


def against(version, gain=0.0, pinned=False):
    if version is None:
        return None
    number = version.number if isinstance(version, registry.Version) else version.version
    return {"version": number, "manifest_digest": version.manifest_digest, "gain": gain, "pinned": pinned}


class Chain:
    """Promotes models of `make` one after the other, each with an evaluation."""

    def __init__(self, root, make):
        self.root, self.make, self.number = root, make, 0

    def promote(self, content, *, better=False, **fields):
        """Evaluate, publish and promote; `better`: than the reference. Returns the alias."""
        self.number += 1
        champion = registry.champion(self.root, "digits")
        references = registry.references(self.root, "digits")
        reference = references[0] if references else None
        one = attempt(content, at=self.number, champion=champion, **fields)
        if reference is not None:
            one = one.model_copy(update={"reference": registry.Against(**against(reference, pinned=reference.pinned))})
        registry.begin(self.root, one)
        version = self.make(content)
        changes = {"version": version.number, "becomes_reference": better or champion is None}
        registry.conclude(self.root, "digits", one.attempt, **changes)
        return registry.promote(self.root, version, expected=champion, reason="not worse", attempt=one.attempt)

    def hold(self, name, **fields):
        self.number += 1
        one = attempt(name, at=self.number, champion=registry.champion(self.root, "digits"), **fields)
        registry.begin(self.root, one)
        registry.conclude(self.root, "digits", one.attempt, outcome="held", reason="worse")
        return one

    def references(self):
        return [(one.version, one.pinned) for one in registry.references(self.root, "digits")]
