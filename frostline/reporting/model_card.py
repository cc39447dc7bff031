"""The model card: what a version is, what it was made from, how good it is and what nobody knows of it.

A pure function of the artifacts: the same directories give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from frostline import artifacts
from frostline.artifacts import Json
from frostline.data import lineage
from frostline.reporting import card_measures
from frostline.reporting.markup import Chapter, Code, Table, write_html, write_markdown
from frostline.text import listed

_UNKNOWN = "not recorded"
_CERTIFICATE = "freeze_certificate.json"


@dataclass(frozen=True)
class _Evidence:
    """The documents that a card is made of; `images` is {split: number} of those it was made with."""

    model: Json
    plan: Json
    proof: Json
    history: Sequence[Json]
    images: dict[str, int]
    evaluation: Json
    decision: Json

    @property
    def provenance(self) -> Json:
        """What train wrote down of where everything came from; models of earlier versions have none."""
        found: Json = self.model.get("provenance", {})
        return found


def write(directory: Path, model_dir: Path, evaluation_dir: Path, decision_dir: Path) -> None:
    """Write model_card.md and model_card.html, the same words in both.

    Args:
        directory: where to.
        model_dir: what train emitted.
        evaluation_dir: holds evaluation.json.
        decision_dir: holds decision.json.

    Raises:
        DataError: a document is missing or has another schema.
    """
    evidence = _Evidence(
        artifacts.read_json(model_dir / "model.json", "model"),
        artifacts.read_json(model_dir / "freeze_plan.json", "freeze_plan"),
        artifacts.read_json(model_dir / _CERTIFICATE, "freeze_certificate"),
        list(artifacts.read_jsonl(model_dir / "training.jsonl")),
        _count_images(model_dir),
        artifacts.read_json(evaluation_dir / "evaluation.json", "evaluation"),
        artifacts.read_json(decision_dir / "decision.json", "decision"),
    )
    title = f"{evidence.evaluation['model_name']}, model {evidence.model['model_digest'][:12]}"
    sections = [
        _what(evidence),
        _data(evidence),
        _frozen(evidence),
        *card_measures.sections(evidence.evaluation, evidence.decision.get("notes", [])),
        _provenance(evidence),
    ]
    write_markdown(directory / "model_card.md", title, sections)
    write_html(directory / "model_card.html", title, sections)


def _count_images(model_dir: Path) -> dict[str, int]:
    lineage.read(model_dir)  # a file that is missing or damaged is told in one line
    return dict(Counter(pq.read_table(model_dir / lineage.FILE, columns=["split"]).column("split").to_pylist()))


def _what(evidence: _Evidence) -> Chapter:
    model, decision = evidence.model, evidence.decision
    hidden = model["head"].get("hidden") or []
    head = f"head of hidden layers of {', '.join(map(str, hidden))} units and a softmax" if hidden else "softmax head"
    return Chapter(
        "What it is and what it is for",
        [
            f"An image classifier of {len(model['labels'])} classes: {listed(model['labels'], 20)}. It is a "
            f"{model['backbone']} at {model['image_size']} x {model['image_size']} pixels with a {head}: "
            f"{model['parameters']:,} parameters in all.",
            "It is for images like those that it was tested on. It answers every image with one of its classes, "
            "whatever the image shows.",
            f"The gate's verdict on it was {decision['verdict']}: {decision['reason'].rstrip('.')}.",
        ],
    )


def _data(evidence: _Evidence) -> Chapter:
    known, evaluation = evidence.provenance, evidence.evaluation
    images = evidence.images
    blocks: list[str | list[str] | Table | Code] = [
        f"Source: {known.get('source', _UNKNOWN)}. Distinct images: {images.get('train', 0):,} for training, "
        f"{images.get('validation', 0):,} for validation. Test images: {evaluation['examples']:,}. Which split an "
        "image falls into depends on its content alone, so copies never straddle two splits.",
        *(
            [f"The version that training started from was made with {images[lineage.BEFORE]:,} images."]
            if lineage.BEFORE in images
            else []
        ),
        "Labels are the source's own; nobody checked them. Files under two labels, and files that cannot be decoded, "
        "were left out.",
    ]
    counts = known.get("counts")
    if counts:
        rows = [
            (label, *(f"{counts.get(split, {}).get(label, 0):,}" for split in ("train", "validation", "test")))
            for label in evidence.model["labels"]
        ]
        blocks.append(Table(("class", "training", "validation", "test"), rows))
    return Chapter("Data", blocks)


def _frozen(evidence: _Evidence) -> Chapter:
    plan, proof = evidence.plan, evidence.proof
    origin = evidence.provenance.get("weights", {}).get("resolved", f"digest {proof['source_digest'][:12]}")
    epochs, phases = len(evidence.history), len(plan["phases"]) + 1
    blocks = [f"{_boundary(plan)} the weights that training started from ({origin})."]
    totals = plan["totals"]
    trained = "The head and the rest were" if totals["trainable_parameters"] else "Only the head was"
    blocks.append(
        f"Of the backbone's {totals['parameters']:,} parameters {totals['frozen_parameters']:,} were frozen, in "
        f"{totals['frozen_layers']} of {totals['weighted_layers']} layers with weights. {trained} trained, for "
        f"{epochs} epoch{'s' if epochs > 1 else ''} in {phases} phase{'s' if phases > 1 else ''}."
    )
    if plan["phases"]:
        blocks.append("Later phases froze other layers, as freeze_plan.json says; this is the first phase's plan.")
    where = "one replica" if proof["replicas"] == 1 else f"each of {proof['replicas']} replicas"
    if proof["verified"] and not proof["frozen_tensors"]:
        return Chapter("What was frozen", [*blocks, "The freeze certificate says the same."])
    blocks.append(
        f"The freeze certificate proves that {proof['frozen_tensors']:,} tensors are bit-identical before and after "
        f"training, on {where}."
        if proof["verified"]
        else "The freeze certificate does not prove that the frozen weights stayed as they were."
    )
    return Chapter("What was frozen", blocks)


def _boundary(plan: Json) -> str:
    """The plan in words, up to `keep`: what keeps its weights."""
    names, edge = [layer["name"] for layer in plan["layers"]], plan["boundary"]
    if not plan["totals"]["frozen_parameters"]:
        return "No layer of the backbone was frozen: none had to keep"
    if edge is None:
        return f"No part next to the image was frozen; {plan['totals']['frozen_layers']} layers with weights keep"
    if edge["block"] == "head":
        return f"All {len(names)} layers of the backbone keep"
    return f"Up to and including {edge['layer']} all {names.index(edge['layer']) + 1} layers keep"


def _provenance(evidence: _Evidence) -> Chapter:
    known, model, proof = evidence.provenance, evidence.model, evidence.proof
    weights, versions = known.get("weights", {}), known.get("versions", {})
    rows = [
        ("model", model["model_digest"]),
        ("data set", model["dataset_digest"]),
        ("source manifest", known.get("manifest_digest", _UNKNOWN)),
        ("test split", evidence.evaluation["test_split"]["digest"]),
        ("initial weights", f"{weights.get('reference', _UNKNOWN)}, digest {proof['source_digest']}"),
        ("freeze plan", proof["plan_digest"]),
        ("freeze certificate", proof["certificate_digest"]),
        ("configuration", known.get("config_digest", _UNKNOWN)),
        *((name, versions.get(name, _UNKNOWN)) for name in ("frostline", "python", "tensorflow", "keras")),
        ("container image", known.get("image", _UNKNOWN)),
    ]
    return Chapter("Provenance", [Table(("what", "which"), rows, numbers=2)])
