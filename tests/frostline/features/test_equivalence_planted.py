"""A wrong row or record of one training image, with every digest made anew, is found where the sample has that image.

The data set is so small that the sample has all training images.
"""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from frostline import artifacts
from frostline.data import records
from frostline.documents.data import INFO, MANIFEST
from frostline.documents.training import TRAINING
from frostline.errors import DataError, FeaturesDisagree
from frostline.features import sample

from tests.support import feature_packs, pictures
from tests.support.stages import Bench

LAYER = "block1_pool"
EXACT = {"mode": "require", "precision": "float32"}
VIEWS = {"flip": True, "colour": 0.5, "views": 3}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("planted"))
    bench.data(pictures.make(bench.root / "photos", 7))
    bench.plan({"through": "block1"})
    assert 3 < len(of_split(bench, "train")) <= sample.SIZE
    return bench


def of_split(bench, split):
    return [row for row in MANIFEST.read(bench.root / "dataset") if row["split"] == split]


@pytest.fixture(autouse=True)
def no_features(bench):
    yield
    shutil.rmtree(Path(bench.store) / "features", ignore_errors=True)


def plant(bench, documents, number, view=-1):
    """Give a training image the row of another one of its class; return its SHA-256."""
    rows = of_split(bench, "train")
    victim = rows[number]
    other = next(row for row in rows if row["label"] == victim["label"] and row is not victim)
    good = feature_packs.rows(bench.store, documents, LAYER, view)

    def change(identifier, row):
        return good[other["sha256"]] if identifier == victim["sha256"] else row

    feature_packs.forge(bench.store, documents, LAYER, change, view)
    return victim["sha256"]


def refused(bench, sha256, **options):
    expected = (
        f"^the features cached at {LAYER} are not equivalent to the model: .*; most of all differs the image {sha256}; "
        "remove the features in the store and run the pipeline again$"
    )
    with pytest.raises(FeaturesDisagree, match=expected):
        bench.train(cache=EXACT, model="planted", featurize=False, **options)
    assert not (bench.root / "planted" / "model.json").exists()


def test_each_run_proves_training_and_validation_images_also_if_everything_is_reused(bench):
    bench.featurize(cache=EXACT)
    assert sum(part["computed"] for part in bench.featurize(cache=EXACT)) == 0
    bench.train(cache=EXACT, model="right", featurize=False)
    [proof] = TRAINING.read(bench.root / "right")["equality"]
    assert proof["images"] == len(of_split(bench, "train")) + len(of_split(bench, "validation"))
    assert proof["max_difference"] <= 1e-5


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_planted_row_of_a_training_image_is_found(bench, number):
    refused(bench, plant(bench, bench.featurize(cache=EXACT), number))


def test_a_planted_row_is_found_among_rounded_ones(bench):
    cache = {**EXACT, "dtype": "float16"}
    sha256 = plant(bench, bench.featurize(cache=cache), 2)
    with pytest.raises(FeaturesDisagree, match=f"most of all differs the image {sha256}"):
        bench.train(cache=cache, model="planted", featurize=False)


def test_a_planted_row_of_a_view_is_found(bench):
    options = {"augment": VIEWS, "epochs": 3}
    documents = bench.featurize(cache=EXACT, **options)
    places = sorted(row["sha256"] for row in of_split(bench, "train"))  # the views take turns in this order
    number = [row["sha256"] for row in of_split(bench, "train")].index(places[5])
    refused(bench, plant(bench, documents, number, view=5 % VIEWS["views"]), **options)


def test_right_views_are_proven(bench):
    bench.train(cache=EXACT, model="varied", augment=VIEWS, epochs=3)
    [proof] = TRAINING.read(bench.root / "varied")["equality"]
    assert proof["images"] == sample.SIZE + len(of_split(bench, "validation"))  # few images, some in two views
    assert proof["max_difference"] <= 1e-5


@pytest.fixture
def planted_record(bench):
    """A training image has the pixels of another one of its class, under its own id and label; all checksums fit."""
    directory = Path(INFO.read(bench.root / "info")["records"])
    path = next(path for path in sorted(directory.glob("*-train.tfrecord-*")) if path.stat().st_size)
    whole = path.read_bytes()
    found = [record.numpy() for record in tf.data.TFRecordDataset([str(path)])]
    parsed = [tf.train.Example.FromString(record).features.feature for record in found]
    ids = [fields["id"].bytes_list.value[0].decode() for fields in parsed]
    labels = [fields["label"].int64_list.value[0] for fields in parsed]
    other = next(place for place in range(1, len(found)) if labels[place] == labels[0])
    pixels = records.pixels(found[other], 32)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in [records.serialize(pixels, labels[other], ids[0]), *found[1:]]:
            writer.write(record)
    yield ids[0]
    path.write_bytes(whole)


def test_a_planted_record_is_found_where_training_reads_records(bench, planted_record):
    with pytest.raises(
        DataError, match=rf"the record of image {planted_record} is not what its original bytes give \(1"
    ):
        bench.train(cache={"mode": "off"}, model="planted")
    assert not (bench.root / "planted" / "model.json").exists()


def test_features_of_a_planted_record_are_found(bench, planted_record):
    bench.featurize(cache=EXACT)
    refused(bench, planted_record)


def test_features_of_an_earlier_version_name_no_images_and_are_compared_with_records(bench):
    documents = bench.featurize(cache=EXACT)
    for path, document in zip(bench.features(), documents, strict=True):
        content = {key: value for key, value in document.items() if key not in ("schema", "sample")}
        artifacts.write_json(path / "features.json", "features", content)
    refused(bench, plant(bench, documents, 1))
