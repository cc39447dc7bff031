"""The files of a dataset's records: where they lie, what they are called, and what TFDS needs to read them.

TFDS itself is not imported: it takes seconds, and writes two files that are always the same but for a few numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from frostline import digests
from frostline.documents.data import ManifestRow, ShardFile, Source, SplitName

FORMAT_VERSION = 3  # part of the records' address; raise it when the bytes of a record change, for whatever reason
PIXELS_VERSION = 2  # part of the features' addresses; raise it when the pixels of a record change, and the other too
_FEATURES = "tensorflow_datasets.core.features"


def address(rows: Iterable[ManifestRow], source: Source, image_size: int) -> str:
    """Name of the directory for these records in the store: a digest of their content, whatever its location.

    Args:
        rows: the manifest.
        source: source.json.
        image_size: stored height and width, in pixels.
    """
    made_from = {
        "format": FORMAT_VERSION,
        "name": source["name"],
        "labels": source["labels"],
        "shards": source["shards"],
        "image_size": image_size,
        "rows": [(row["id"], row["sha256"], row["label"], row["split"]) for row in rows],
    }
    return digests.of_json(made_from)


def file_name(dataset: str, split: str, shard: str) -> str:
    """TFDS's name of a shard's file; `shard` is `SSSSS-of-NNNNN`."""
    return f"{dataset}-{split}.tfrecord-{shard}"


def metadata(
    dataset: str, labels: Sequence[str], image_size: int, files_by_split: Mapping[SplitName, Sequence[ShardFile]]
) -> dict[str, bytes]:
    """The files beside the records with which `tfds.builder_from_directory` can read them, by name.

    They are byte for byte what `tfds.folder_dataset.write_metadata` of tensorflow-datasets 4.9 writes.

    Args:
        dataset: name of the dataset.
        labels: class names by index.
        image_size: stored height and width, in pixels.
        files_by_split: the record files of each split, in the order of the shards.
    """
    image = {
        "dtype": "uint8",
        "encoding": "bytes",
        "shape": {"dimensions": [str(image_size), str(image_size), "3"]},
    }
    features = {
        "id": {"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}},
        "image": {"pythonClassName": f"{_FEATURES}.tensor_feature.Tensor", "tensor": image},
        "label": {
            "classLabel": {"numClasses": str(len(labels))},
            "pythonClassName": f"{_FEATURES}.class_label_feature.ClassLabel",
        },
    }
    whole = {"featuresDict": {"features": features}, "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict"}
    info = {
        "description": f"{dataset}, preprocessed by Frostline",
        "fileFormat": "tfrecord",
        "name": dataset,
        "splits": [_split(split, files) for split, files in files_by_split.items()],
        "version": "1.0.0",
    }
    return {
        "features.json": json.dumps(whole, indent=4).encode(),
        "dataset_info.json": json.dumps(info, indent=2).encode(),
        "label.labels.txt": "".join(f"{label}\n" for label in labels).encode(),
    }


def _split(name: str, files: Sequence[ShardFile]) -> dict[str, Any]:
    size = sum(file["bytes"] for file in files)
    return {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "name": name,
        **({"numBytes": str(size)} if size else {}),
        "shardLengths": [str(file["examples"]) for file in files],
    }
