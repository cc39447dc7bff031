"""The model card: what a version is, what it was made from, how good it is, and what is not known about it.

A pure function of the artifacts: the same directories give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from frostline.data import lineage
from frostline.documents.data import IMAGES_FILE
from frostline.documents.evaluation import EVALUATION, Evaluation
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, Certificate, FreezePlan
from frostline.documents.release import DECISION, Decision
from frostline.documents.training import HISTORY, MODEL, EpochRow, ModelDescription, Provenance
from frostline.reporting import card_measures
from frostline.reporting.markup import Block, Chapter, Table, write_html, write_markdown
from frostline.text import listed

_UNKNOWN = "not recorded"
_LABELS = 20  # that the card lists


@dataclass(frozen=True)
class _Documents:
    """The documents that a card is made from; `images` counts the images that the model was made with by split."""

    model: ModelDescription
    plan: FreezePlan
    certificate: Certificate
    history: Sequence[EpochRow]
    images: dict[str, int]
    evaluation: Evaluation
    decision: Decision

    @property
    def provenance(self) -> Provenance:
        """Where everything came from; models of earlier versions did not record it."""
        unknown: Provenance = {
            "source": _UNKNOWN,
            "manifest_digest": _UNKNOWN,
            "counts": {},
            "weights": {
                "reference": _UNKNOWN,
                "resolved": f"digest {self.certificate['source_digest'][:12]}",
            },
            "config_digest": _UNKNOWN,
            "versions": {},
            "image": _UNKNOWN,
        }
        return {**unknown, **self.model.get("provenance", unknown)}


def write(directory: Path, model_dir: Path, evaluation_dir: Path, decision_dir: Path) -> None:
    """Write model_card.md and model_card.html, with the same words.

    Args:
        directory: to write to.
        model_dir: what train wrote.
        evaluation_dir: has evaluation.json.
        decision_dir: has decision.json.

    Raises:
        DataError: a document is missing or has another schema.
    """
    documents = _Documents(
        MODEL.read(model_dir),
        FREEZE_PLAN.read(model_dir),
        CERTIFICATE.read(model_dir),
        HISTORY.read(model_dir),
        _count_images(model_dir),
        EVALUATION.read(evaluation_dir),
        DECISION.read(decision_dir),
    )
    title = f"{documents.evaluation['model_name']}, model {documents.model['model_digest'][:12]}"
    chapters = [
        _purpose(documents),
        _data(documents),
        _freezing(documents),
        *card_measures.chapters(documents.evaluation, documents.decision.get("notes", [])),
        _provenance(documents),
    ]
    write_markdown(directory / "model_card.md", title, chapters)
    write_html(directory / "model_card.html", title, chapters)


def _count_images(model_dir: Path) -> dict[str, int]:
    lineage.read(model_dir)  # checks the file
    return dict(Counter(pq.read_table(model_dir / IMAGES_FILE, columns=["split"]).column("split").to_pylist()))


def _purpose(documents: _Documents) -> Chapter:
    model, decision = documents.model, documents.decision
    hidden = model["head"].get("hidden") or []
    layers = ", ".join(map(str, hidden))
    head = f"head with hidden layers of {layers} units and a softmax" if hidden else "softmax head"
    return Chapter(
        "What it is and what it is for",
        [
            f"An image classifier for {len(model['labels'])} classes: {listed(model['labels'], _LABELS)}. It is a "
            f"{model['backbone']} at {model['image_size']} x {model['image_size']} pixels with a {head}: "
            f"{model['parameters']:,} parameters in total.",
            "It is meant for images like those it was tested on. It assigns one of its classes to every image, "
            "whatever the image shows.",
            f"The gate's verdict was {decision['verdict']}: {decision['reason'].rstrip('.')}.",
        ],
    )


def _data(documents: _Documents) -> Chapter:
    known, images = documents.provenance, documents.images
    blocks: list[Block] = [
        f"Source: {known['source']}. Distinct images: {images.get('train', 0):,} for training, "
        f"{images.get('validation', 0):,} for validation. Test images: {documents.evaluation['examples']:,}. An "
        "image's split depends only on its content, so copies of an image are always in the same split.",
    ]
    if lineage.BEFORE in images:
        blocks.append(f"The version that training started from was made with {images[lineage.BEFORE]:,} images.")
    blocks.append(
        "The labels are the source's own and were not checked. Files that have two labels, and files that cannot be "
        "decoded, were left out."
    )
    counts = known["counts"]
    if counts:
        rows = [
            (label, *(f"{counts.get(split, {}).get(label, 0):,}" for split in ("train", "validation", "test")))
            for label in documents.model["labels"]
        ]
        blocks.append(Table(("class", "training", "validation", "test"), rows))
    return Chapter("Data", blocks)


def _freezing(documents: _Documents) -> Chapter:
    plan, certificate, totals = documents.plan, documents.certificate, documents.plan["totals"]
    epochs, phases = len(documents.history), len(plan["phases"]) + 1
    trained = "The head and the other layers were" if totals["trainable_parameters"] else "Only the head was"
    blocks = [
        f"{_frozen_layers(plan)} Initial weights: {documents.provenance['weights']['resolved']}.",
        f"Of the backbone's {totals['parameters']:,} parameters {totals['frozen_parameters']:,} were frozen, in "
        f"{totals['frozen_layers']} of {totals['weighted_layers']} layers with weights. {trained} trained, for "
        f"{epochs} epoch{'s' if epochs > 1 else ''} in {phases} phase{'s' if phases > 1 else ''}.",
    ]
    if plan["phases"]:
        blocks.append("This is the plan of the first phase; freeze_plan.json has the layers of the later phases.")
    blocks.append(_certified(certificate))
    return Chapter("What was frozen", blocks)


def _frozen_layers(plan: FreezePlan) -> str:
    names, edge = [layer["name"] for layer in plan["layers"]], plan["boundary"]
    if not plan["totals"]["frozen_parameters"]:
        return "No layer of the backbone was frozen."
    if edge is None:
        frozen = plan["totals"]["frozen_layers"]
        return f"{frozen} layers with weights were frozen, but not those next to the image."
    if edge["block"] == "head":
        return f"All {len(names)} layers of the backbone were frozen."
    return f"All {names.index(edge['layer']) + 1} layers up to and including {edge['layer']} were frozen."


def _certified(certificate: Certificate) -> str:
    tensors, replicas = certificate["frozen_tensors"], certificate["replicas"]
    if not certificate["verified"]:
        return "The freeze certificate does not prove that the frozen weights are unchanged."
    if not tensors:
        return "The freeze certificate confirms that nothing was frozen."
    where = "one replica" if replicas == 1 else f"each of {replicas} replicas"
    unchanged = f"{tensors:,} tensors are bit-identical before and after training, on {where}"
    return f"The freeze certificate proves that {unchanged}."


def _provenance(documents: _Documents) -> Chapter:
    known, model, certificate = documents.provenance, documents.model, documents.certificate
    rows = [
        ("model", model["model_digest"]),
        ("dataset", model["dataset_digest"]),
        ("source manifest", known["manifest_digest"]),
        ("test split", documents.evaluation["test_split"]["digest"]),
        ("initial weights", f"{known['weights']['reference']}, digest {certificate['source_digest']}"),
        ("freeze plan", certificate["plan_digest"]),
        ("freeze certificate", certificate["certificate_digest"]),
        ("configuration", known["config_digest"]),
        *((name, known["versions"].get(name, _UNKNOWN)) for name in ("frostline", "python", "tensorflow", "keras")),
        ("container image", known["image"]),
    ]
    return Chapter("Provenance", [Table(("what", "value"), rows, numbers=2)])
