"""The checks of a SavedModel's graph: what it may contain, and that it is the graph of an export of model.keras."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline.documents.training import MODEL, SERVING_DIRECTORY
from frostline.text import listed
from frostline.verification.certificate_checks import Failed, serving_directory

if TYPE_CHECKING:
    import keras


def operations_hold(directory: Path) -> Any:
    """The graph, a MetaGraphDef, has no operations but those that exports need; raises DataError if it has others."""
    from frostline.model import operations

    return operations.read(serving_directory(directory))


def export_holds(directory: Path, graph: Any, model: keras.Model) -> None:
    """The graph computes the same, operation by operation, as that of a new export of model.keras.

    Args:
        directory: of the model or version; its model.json has the labels, the image size and the backbone.
        graph: as `operations_hold` returns it.
        model: from model.keras.
    """
    from frostline.model import export, graph_digest, operations

    described = MODEL.read(directory)
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / SERVING_DIRECTORY
        export.save(model, described["labels"], described["image_size"], described["backbone"], fresh)
        expected = operations.read(fresh)
    found, wanted = graph_digest.of(graph), graph_digest.of(expected)
    wrong = [part for part in {**wanted, **found} if found.get(part) != wanted.get(part)]
    if wrong:
        raise Failed(
            f"the graph of the SavedModel differs from that of a new export in {listed(wrong)}; if another release of "
            f"frostline or TensorFlow ({graph.meta_info_def.tensorflow_version}) made it, compare it with that one"
        )
