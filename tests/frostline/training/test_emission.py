"""The emitted files: described, certified, and complete only once model.json is there."""

import keras
import numpy as np
import pytest

from frostline import digests
from frostline.documents import kinds
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN
from frostline.documents.training import HISTORY, KERAS_FILE, MODEL
from frostline.errors import StorageError
from frostline.freeze import certificate
from frostline.model.config import HeadConfig
from frostline.model.serving import Served
from frostline.training.emission import emit

from tests.support import pictures
from tests.support.in_memory import SIZE, Made

INFO = {"labels": ["dark", "light"], "image_size": SIZE, "dataset_digest": "s" * 64}
HEAD = HeadConfig(hidden=(8,), dropout=0.3)
ORIGIN = {"source": "memory", "image": "image:1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = Made(tmp_path_factory.mktemp("trained"), {"through": "block1"}, epochs=1)
    state = made.run()
    source = certificate.combined_digest({name: copies[0] for name, copies in state.digests[0].items()})
    plan = made.subject.plan
    return made, certificate.certify(plan, made.schedule, state.digests, state.slots, source_digest=source)


def emitted(trained, out):
    made, comparison = trained
    out.mkdir()
    FREEZE_PLAN.write(out, made.subject.plan)
    HISTORY.write(out, made.rows)
    emit(made.model, comparison, made.subject.plan, INFO, HEAD, ORIGIN, out)
    return MODEL.read(out), CERTIFICATE.read(out)


def test_description_and_certificate_are_about_the_model_that_is_there(trained, tmp_path):
    description, proof = emitted(trained, tmp_path / "model")
    reloaded = keras.models.load_model(tmp_path / "model" / KERAS_FILE)
    weights = certificate.weights_digest(reloaded.layers)
    identity = {name: description[name] for name in ("labels", "image_size", "backbone", "head")}
    assert description["model_digest"] == digests.of_json({"weights": weights, **identity})
    assert (proof["model_digest"], proof["weights_digest"]) == (description["model_digest"], weights)
    assert description["parameters"] == reloaded.count_params()
    assert description["provenance"] == ORIGIN
    assert certificate.seal(proof)[certificate.SEAL] == proof["certificate_digest"]
    assert proof["verified"]
    for name, digest in proof["files"].items():
        assert digests.of_file(tmp_path / "model" / name) == digest
    assert {KERAS_FILE, FREEZE_PLAN.file, HISTORY.file, MODEL.file, "serving/saved_model.pb"} <= set(proof["files"])


def test_the_export_predicts_what_the_trained_model_does(trained, tmp_path):
    emitted(trained, tmp_path / "model")
    photos = pictures.make(tmp_path / "photos", 2)
    data = [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))]
    with Served(tmp_path / "model" / "serving") as served:
        found = served.predict(data)
    assert found.shape == (len(data), 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_a_model_whose_certificate_cannot_be_written_has_no_model_json(trained, tmp_path, monkeypatch):
    def full(*_):
        raise StorageError("no space left on device")

    monkeypatch.setattr(kinds.artifacts, "write_json", lambda path, kind, _: full() if "freeze_cert" in kind else None)
    out = tmp_path / "model"
    out.mkdir()
    made, comparison = trained
    with pytest.raises(StorageError):
        emit(made.model, comparison, made.subject.plan, INFO, HEAD, ORIGIN, out)
    assert not (out / MODEL.file).exists()
