"""Forged models: somebody changes weights and rewrites some or all of what depends on them."""

import shutil
from pathlib import Path

import keras
import pytest

from frostline import digests
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN
from frostline.documents.training import KERAS_FILE
from frostline.verification import certificate_checks
from frostline.verification.verify import verify

from tests.support.forgery import FROZEN, export_again, failed, forge, moved_model, reseal


@pytest.mark.parametrize("tensor", FROZEN)
def test_a_moved_tensor_under_a_certificate_that_says_verified(model_dir, tensor):
    model = moved_model(model_dir, tensor)
    model.save(model_dir / KERAS_FILE)
    export_again(model, model_dir)
    reseal(model_dir, verified=True)
    result = verify(model_dir)
    assert failed(result) == ["keras_weights", "serving_weights", "description"]
    assert result["moved"] == [tensor]


def test_a_tensor_that_moved_in_the_saved_model_alone(model_dir):
    export_again(moved_model(model_dir, "block1_conv/0:kernel"), model_dir)
    reseal(model_dir)
    result = verify(model_dir)
    assert failed(result) == ["serving_weights"]
    assert result["moved"] == ["block1_conv/0:kernel"]


def test_a_head_in_the_saved_model_that_is_not_the_one_in_the_keras_file(model_dir):
    model = keras.models.load_model(model_dir / KERAS_FILE)
    model.get_layer("head_logits").weights[1].assign([9.0, 0.0, 0.0])
    export_again(model, model_dir)
    reseal(model_dir)
    result = verify(model_dir)
    assert failed(result) == ["serving_weights"]
    assert result["moved"] == []  # the head is never frozen


def test_a_moved_tensor_with_its_last_digest_forged_too(model_dir):
    forge(model_dir, "block1_conv/0:kernel", states=[-1])
    result = verify(model_dir)
    assert failed(result) == ["frozen", "claims"]
    assert result["moved"] == ["block1_conv/0:kernel"]


def test_a_forger_of_everything_is_found_out_by_the_source_weights_alone(bench, model_dir):
    forge(model_dir, "block1_conv/0:kernel", states=[0, 1, 2])
    assert failed(verify(model_dir)) == []
    result = verify(model_dir, bench.path("weights"))
    assert failed(result) == ["source_weights"]
    assert result["moved"] == ["block1_conv/0:kernel"]


def test_a_plan_that_froze_less_than_its_policy(model_dir):
    """Everything is forged to fit a plan in which the layer may move; its own policy tells."""
    plan = FREEZE_PLAN.read(model_dir)
    for layer in plan["layers"]:
        layer["frozen"] &= layer["name"] != "block1_conv"
    plan["phases"][0]["frozen"].remove("block1_conv")
    FREEZE_PLAN.write(model_dir, plan)
    proof = CERTIFICATE.read(model_dir) | {"plan_digest": digests.of_json(plan)}
    made = certificate_checks.recompute(plan, proof)
    reseal(model_dir, **{name: made[name] for name in made if name != "files"})
    assert failed(verify(model_dir)) == ["policy"]


def test_a_certificate_of_another_model(bench, model_dir):
    shutil.copyfile(Path(bench.path("other")) / CERTIFICATE.file, model_dir / CERTIFICATE.file)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)
    assert failed(verify(model_dir)) == ["keras_weights", "serving_weights", "description"]
