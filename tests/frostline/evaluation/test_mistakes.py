"""The worst mistakes come first, with a picture of each."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from frostline import artifacts
from frostline.evaluation import mistakes

from tests.support import pictures
from tests.support.stages import Bench

LABELS = ["amber", "cobalt", "jade"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("mistakes"))
    bench.ingest(pictures.make(bench.root / "photos", 24), test_fraction=0.3)
    return list(artifacts.read_jsonl(bench.root / "dataset" / "manifest.jsonl"))


def predictions(rows, wrong):
    """Right and sure, but for some rows: the truth's probability there."""
    truth = np.array([row["label"] for row in rows])
    probabilities = np.where(np.eye(3)[truth] == 1, 0.8, 0.1)
    for place, given in wrong.items():
        probabilities[place] = 0.01
        probabilities[place, truth[place]] = given
        probabilities[place, (truth[place] + 1) % 3] = 0.99 - given
    return probabilities.astype(np.float32)


def test_the_least_probable_truth_comes_first(rows):
    found = mistakes.worst(rows, predictions(rows, {3: 0.3, 5: 0.05, 7: 0.2}), LABELS)
    assert [one["id"] for one in found] == [rows[5]["id"], rows[7]["id"], rows[3]["id"]]
    first = found[0]
    assert (first["probability"], first["true_probability"]) == pytest.approx((0.94, 0.05))
    assert first["label"] == LABELS[rows[5]["label"]]
    assert first["predicted"] == LABELS[(rows[5]["label"] + 1) % 3]


def test_each_has_a_small_picture_of_its_image(rows):
    [found] = mistakes.worst(rows, predictions(rows, {0: 0.1}), LABELS)
    head, data = found["thumbnail"].split(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (head, picture.format, picture.size) == ("data:image/jpeg;base64", "JPEG", (96, 96))
    original = np.asarray(Image.open(rows[0]["uri"]).convert("RGB").resize((96, 96)), float)
    assert np.abs(np.asarray(picture, float).mean(axis=(0, 1)) - original.mean(axis=(0, 1))).max() < 3


def test_a_page_has_room_for_24(rows):
    assert len(mistakes.worst(rows, predictions(rows, dict.fromkeys(range(30), 0.1)), LABELS)) == 24


def test_without_a_mistake_there_is_nothing_to_show(rows):
    assert mistakes.worst(rows, predictions(rows, {}), LABELS) == []
