"""Images from their original bytes: the same records as in the store, and a line where the store has others."""

import numpy as np
import pytest
import tensorflow as tf

from frostline.data import examples, records
from frostline.data.batches import Images
from frostline.data.config import AugmentConfig
from frostline.documents.data import INFO, MANIFEST
from frostline.errors import DataError
from frostline.features import originals, sample

from tests.support import pictures
from tests.support.stages import Bench

SIZE = 32


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("originals"))
    bench.data(pictures.make(bench.root / "photos", 24))
    return bench


@pytest.fixture
def stored(bench, tmp_path):
    found = examples.load(INFO.read(bench.root / "info")["records"], "train", tmp_path)
    yield found
    found.close()


@pytest.fixture
def rows(bench):
    return [row for row in sample.choose(MANIFEST.read(bench.root / "dataset"), 3) if row["split"] == "train"]


def test_they_are_what_preprocessing_stored_in_every_variant(stored, rows):
    found = originals.read(rows, SIZE)
    assert found.ids == tuple(row["sha256"] for row in rows)
    places = np.array([stored.ids.index(identifier) for identifier in found.ids])
    assert found.labels.tolist() == stored.labels[places].tolist()
    assert found.read(np.arange(len(rows))) == stored.read(places)
    varied = AugmentConfig(flip=True, crop=0.3, colour=0.5)
    one, other = (Images(part, SIZE, varied, seed=4) for part in (found, stored))
    np.testing.assert_array_equal(one.read(np.arange(5), 2), other.read(places[:5], 2))
    originals.require_same(stored, found, SIZE)
    originals.require_same(stored, originals.read([], SIZE), SIZE)


def with_other(stored, place, change):
    """The stored examples, one of them another, as if all checksums were made anew."""

    class Changed(examples.Examples):
        def read(self, positions):
            found = stored.read(positions)
            return [
                change(record) if position == place else record
                for record, position in zip(found, positions.tolist(), strict=True)
            ]

    return Changed(stored.origin, stored.ids, stored.labels, stored.files, stored.scratch)


def brighter(levels):
    def change(record):
        changed = records.pixels(record, SIZE).copy()
        [label] = tf.train.Example.FromString(record).features.feature["label"].int64_list.value
        changed[5, 5, 1] = changed[5, 5, 1] + levels if changed[5, 5, 1] < 128 else changed[5, 5, 1] - levels
        return records.serialize(changed, label, "")

    return change


def test_a_record_with_one_other_pixel_is_named_and_what_rounding_explains_is_not(stored, rows):
    found = originals.read(rows, SIZE)
    place = stored.ids.index(rows[7]["sha256"])
    originals.require_same(with_other(stored, place, brighter(2)), found, SIZE)
    expected = (
        f"^{stored.origin}: the record of image {rows[7]['sha256']} is not what its original bytes give "
        rf"\(1 of {len(rows)} that were compared\); remove the directory and run the pipeline again$"
    )
    with pytest.raises(DataError, match=expected):
        originals.require_same(with_other(stored, place, brighter(3)), found, SIZE)


def test_another_label_is_named(stored, rows):
    wrong = [{**rows[0], "label": (rows[0]["label"] + 1) % 3}, *rows[1:]]
    with pytest.raises(DataError, match=f"the record of image {rows[0]['sha256']} is not what"):
        originals.require_same(stored, originals.read(wrong, SIZE), SIZE)


def test_an_image_that_changed_since_it_was_ingested_is_named(rows):
    with pytest.raises(DataError, match="has changed since it was ingested"):
        originals.read([{**rows[0], "sha256": "0" * 64}], SIZE)
