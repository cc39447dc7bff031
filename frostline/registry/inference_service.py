"""A KServe InferenceService that serves one immutable version of a model.

TensorFlow Serving expects a numbered directory below its base path, /mnt/models. `storageUri` would put the SavedModel
directly into the base path, so the predictor's `storageUris` sets the mount path, which KServe supports since 0.16.
https://kserve.github.io/website/docs/model-serving/storage/multiple-storage-uris
"""

from __future__ import annotations

import yaml

from frostline.registry.version import Version
from frostline.text import one_line

_GIB = 2**30
_VOLUME = "/frostline/"  # where the steps mount their volume
_CLAIM = "frostline"  # the volume's claim


def manifest(version: Version, outcome: str) -> str:
    """The YAML to apply.

    Memory is 1 GiB for the server plus twice the size of the SavedModel, which is read and then kept in memory.

    Args:
        version: to serve.
        outcome: of its push, in one line, as the file's first comment.
    """
    uri, reachable = _storage_uri(version.uri)
    memory = f"{1 + -(-2 * _served_bytes(version) // _GIB)}Gi"
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": version.model,
            "annotations": {
                "frostline/version": str(version.number),
                "frostline/manifest-digest": version.manifest_digest,
            },
        },
        "spec": {
            "predictor": {
                "storageUris": [{"uri": uri, "mountPath": f"/mnt/models/{version.number}"}],
                "model": {
                    "modelFormat": {"name": "tensorflow"},
                    "resources": {
                        "requests": {"cpu": "1", "memory": memory},
                        "limits": {"cpu": "2", "memory": memory},
                    },
                },
            }
        },
    }
    text = f"# {one_line(outcome, 1000)}\n# For KServe 0.16 or later (kubectl apply -f).\n"
    if not outcome.startswith("pushed: "):
        text = f"# DO NOT APPLY YET: this version is not the champion.\n{text}"
    if not reachable:
        text += (
            f"# No pod can read {one_line(version.uri, 1000)}: put the version on a volume and enter its claim below.\n"
        )
    return text + yaml.safe_dump(service, sort_keys=False, width=120)


def _storage_uri(uri: str) -> tuple[str, bool]:
    """The version's address in KServe's form, and whether a pod can reach it."""
    if uri.startswith("gs://"):
        return uri, True
    if uri.startswith(_VOLUME):
        return f"pvc://{_CLAIM}/{uri.removeprefix(_VOLUME)}", True
    return "pvc://CLAIM/PATH/OF/THE/VERSION", False


def _served_bytes(version: Version) -> int:
    files = version.manifest["files"]
    return sum(
        entry["size"] for name, entry in files.items() if name == "saved_model.pb" or name.startswith("variables/")
    )
