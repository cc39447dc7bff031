"""The certificate is not verified after the smallest change of a frozen weight, and names the tensor."""

import keras
import numpy as np
import pytest

from frostline import digests
from frostline.errors import FreezeViolation
from frostline.freeze import certificate
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(0)
    return backbones.build("SmallConvNet", 16)


@pytest.fixture
def plan(backbone):
    return make_plan(from_model(backbone), FreezeConfig(through="block1"), backbone="SmallConvNet", image_size=16)


def certify(plan, before, after, slots=()):
    source = certificate.combined_digest({name: copies[0] for name, copies in before.items()})
    return certificate.certify(plan, phases(plan, 1, 0.1), [before, after], [slots], source_digest=source)


def one_ulp(weight):
    value = weight.numpy().copy()
    value.flat[0] = np.nextafter(value.flat[0], np.float32(np.inf))
    weight.assign(value)


def test_untouched_weights_are_certified(backbone, plan):
    before = certificate.replica_digests(backbone.layers)
    proof = certify(plan, before, certificate.replica_digests(backbone.layers))
    assert proof["verified"]
    # block1 has a kernel and four BatchNorm tensors; the other two BatchNorms are frozen by batch_norm: freeze
    assert proof["frozen_tensors"] == 5 + 2 * 4
    assert proof["trainable_tensors"] == 2
    assert len(proof["unmoved_trainable"]) == 2  # nothing was trained, and the certificate says so
    certificate.require_still(proof)


@pytest.mark.parametrize(("layer", "index"), [("block1_conv", 0), ("block1_bn", 2), ("block3_bn", 3)])
def test_one_ulp_in_a_frozen_kernel_or_statistic_is_a_violation(backbone, plan, layer, index):
    before = certificate.replica_digests(backbone.layers)
    one_ulp(backbone.get_layer(layer).weights[index])
    proof = certify(plan, before, certificate.replica_digests(backbone.layers))
    assert not proof["verified"]
    assert len(proof["moved"]) == 1
    with pytest.raises(FreezeViolation, match=f"in {layer}; no model is emitted"):
        certificate.require_still(proof)


def test_a_frozen_weight_that_changed_on_one_replica_only_is_a_violation(backbone, plan):
    before = {name: values * 2 for name, values in certificate.replica_digests(backbone.layers).items()}
    after = {name: list(values) for name, values in before.items()}
    after["block1_conv/0:kernel"][1] = "another digest"
    proof = certify(plan, before, after)
    assert proof["moved"] == ["block1_conv/0:kernel"]
    assert proof["replicas"] == 2
    assert not proof["verified"]


def test_a_trainable_weight_can_change(backbone, plan):
    before = certificate.replica_digests(backbone.layers)
    one_ulp(backbone.get_layer("block2_conv").weights[0])
    proof = certify(plan, before, certificate.replica_digests(backbone.layers))
    assert proof["verified"]
    assert proof["unmoved_trainable"] == ["block3_conv/0:kernel"]


def test_a_weight_that_vanished_is_not_verified(backbone, plan):
    before = certificate.replica_digests(backbone.layers)
    after = dict(before)
    del after["block3_conv/0:kernel"]
    assert not certify(plan, before, after)["verified"]


def test_a_digest_depends_on_dtype_shape_and_bytes():
    zeros = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(4, np.int32), np.zeros(2, np.float64)]
    assert len({certificate.tensor_digest(array) for array in zeros}) == len(zeros)


def test_a_plan_whose_names_are_not_the_models_certifies_nothing(backbone, plan):
    for layer in plan["layers"]:
        layer["name"] = f"other_{layer['name']}"
    before = certificate.replica_digests(backbone.layers)
    proof = certify(plan, before, certificate.replica_digests(backbone.layers))
    assert not proof["verified"]
    with pytest.raises(FreezeViolation, match="the weights are not the ones that the plan was made for"):
        certificate.require_still(proof)


def test_digests_are_the_same_after_a_reload_where_variables_are_counted(tmp_path):
    """ConvNeXt's LayerScale names its variable variable_18 in one model and variable_36 in the next."""
    model = backbones.build("ConvNeXtTiny", 32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert certificate.weights_digest(model.layers) == certificate.weights_digest(loaded.layers)


def test_replicas_that_differed_from_the_start_are_a_violation(backbone, plan):
    states = {name: values * 2 for name, values in certificate.replica_digests(backbone.layers).items()}
    states["block1_conv/0:kernel"] = [states["block1_conv/0:kernel"][0], "another digest"]
    proof = certify(plan, states, states)
    assert proof["moved"] == ["block1_conv/0:kernel"]
    assert not proof["verified"]


def test_the_seal_covers_every_field_and_changes_nothing_else():
    written = {"schema": "frostline/freeze_certificate/v1", "verified": True, "files": {"model.keras": "digest"}}
    sealed = certificate.seal(written)
    assert list(sealed) == ["verified", "files", certificate.SEAL]
    assert certificate.seal(sealed) == sealed  # the seal does not count the seal
    assert certificate.is_sealed(sealed)
    assert certificate.is_sealed({**sealed, "schema": "frostline/freeze_certificate/v1"})
    assert not certificate.is_sealed(written)
    for change in ({"verified": False}, {"files": {}}, {"more": 1}, {certificate.SEAL: "0" * 64}):
        assert not certificate.is_sealed({**sealed, **change})


def test_the_files_to_certify_are_those_that_exist(tmp_path):
    (tmp_path / "serving" / "variables").mkdir(parents=True)
    for name in ("model.keras", "training.json", "serving/variables/variables.index", "notes.txt"):
        (tmp_path / name).write_text(name)
    found = certificate.file_digests(tmp_path)
    assert list(found) == ["model.keras", "training.json", "serving/variables/variables.index"]
    assert found["model.keras"] == digests.of_bytes(b"model.keras")
