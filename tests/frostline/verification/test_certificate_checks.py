"""The checks of a certificate find every change: single bits, forged certificates, missing and additional files."""

import shutil
from pathlib import Path

import keras
import pytest

from frostline import digests
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN
from frostline.documents.training import KERAS_FILE, MODEL
from frostline.verification import certificate_checks
from frostline.verification.verify import verify

from tests.support.forgery import FROZEN, edit, export_again, failed, flip, forge, moved_model, read, reseal

DATA = "serving/variables/variables.data-00000-of-00001"


@pytest.mark.parametrize("tensor", FROZEN)
def test_one_bit_of_a_frozen_tensor_inside_the_saved_model(model_dir, tensor):
    layer, index = FROZEN[tensor]
    value = keras.models.load_model(model_dir / KERAS_FILE).get_layer(layer).weights[index].numpy().tobytes()
    where = (model_dir / DATA).read_bytes().index(value)
    flip(model_dir / DATA, where + len(value) // 2)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)  # the forger has put the new file's digest into the certificate
    assert failed(verify(model_dir)) == ["serving_weights"]


@pytest.mark.parametrize("tensor", FROZEN)
def test_one_bit_of_a_frozen_tensor_inside_the_keras_file(model_dir, tensor):
    layer, index = FROZEN[tensor]
    value = keras.models.load_model(model_dir / KERAS_FILE).get_layer(layer).weights[index].numpy().tobytes()
    where = (model_dir / KERAS_FILE).read_bytes().index(value)
    flip(model_dir / KERAS_FILE, where + len(value) // 2, bit=3)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)
    assert failed(verify(model_dir))[0] in ("model", "keras_weights")


@pytest.mark.parametrize("name", [KERAS_FILE, "serving/saved_model.pb", DATA, "serving/variables/variables.index"])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.74, 0.999])
def test_one_bit_anywhere_in_an_exported_file(model_dir, name, share):
    size = (model_dir / name).stat().st_size
    flip(model_dir / name, int(size * share), bit=5)
    result = verify(model_dir)
    assert failed(result) == ["files"]
    assert {check["name"]: check["reason"] for check in result["checks"]}["files"] == f"{name} differs"


def test_one_bit_anywhere_in_the_plan(model_dir):
    path = model_dir / FREEZE_PLAN.file
    whole = path.read_bytes()
    for byte in range(0, len(whole), 97):
        flip(path, byte, bit=byte % 8)
        assert "files" in failed(verify(model_dir)), byte
        path.write_bytes(whole)


def test_one_bit_in_every_byte_of_the_certificate(model_dir):
    path = model_dir / CERTIFICATE.file
    whole = path.read_bytes()
    certificate_checks.read_certificate(model_dir)
    for byte in range(len(whole)):
        flip(path, byte, bit=byte % 8)
        try:
            certificate_checks.read_certificate(model_dir)
        except Exception:
            pass
        else:
            pytest.fail(f"byte {byte}, bit {byte % 8}: not noticed")
        finally:
            path.write_bytes(whole)
    for byte in range(3, len(whole), 601):
        flip(path, byte, bit=byte % 7)
        assert failed(verify(model_dir)) == ["certificate"]
        path.write_bytes(whole)


def test_white_space_in_the_certificate_counts_too(model_dir):
    path = model_dir / CERTIFICATE.file
    whole = path.read_bytes()
    for other in (whole + b"\n", whole[:-1], whole.replace(b"\n", b"\r\n")):
        path.write_bytes(other)
        assert failed(verify(model_dir)) == ["certificate"]


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["cobalt", "amber", "jade"]},
        {"model_digest": "0" * 64},
        {"image_size": 33},
        {"head": {"hidden": [], "dropout": 0.3}},
        {"policy": {"none": True}},
        {"frozen_parameters": 1},
        {"parameters": 1},
    ],
)
def test_another_description(model_dir, changes):
    edit(model_dir, MODEL, **changes)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)
    assert failed(verify(model_dir)) == ["description"]


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


def test_a_plan_that_froze_less_than_its_policy(model_dir):
    """Everything is forged to fit a plan in which the layer may move; its own policy tells."""
    plan = read(model_dir, FREEZE_PLAN)
    for layer in plan["layers"]:
        layer["frozen"] &= layer["name"] != "block1_conv"
    plan["phases"][0]["frozen"].remove("block1_conv")
    FREEZE_PLAN.write(model_dir, plan)
    proof = read(model_dir, CERTIFICATE) | {"plan_digest": digests.of_json(plan)}
    made = certificate_checks.recompute(plan, proof)
    reseal(model_dir, **{name: made[name] for name in made if name != "files"})
    assert failed(verify(model_dir)) == ["policy"]


def test_a_certificate_of_another_model(bench, model_dir):
    shutil.copyfile(Path(bench.path("other")) / CERTIFICATE.file, model_dir / CERTIFICATE.file)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)
    assert failed(verify(model_dir)) == ["keras_weights", "serving_weights", "description"]


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"verified": False}, "claims"),
        ({"moved": ["block1_conv/0:kernel"]}, "claims"),
        ({"unmoved_trainable": ["block2_conv/0:kernel"]}, "claims"),
        ({"source_digest": "0" * 64}, "source"),
        ({"plan_digest": "0" * 64}, "plan"),
        ({"model_digest": "0" * 64}, "description"),
        ({"weights_digest": "0" * 64}, "keras_weights"),
        ({"tensors": {}}, "tensors"),
        ({"tensors": None}, "tensors"),
        ({"phases": "none"}, "claims"),
        ({"files": []}, "files"),
        ({"files": {"../../outside": "0" * 64}}, "files"),
    ],
)
def test_a_certificate_that_says_something_else(model_dir, changes, check):
    reseal(model_dir, **changes)
    assert failed(verify(model_dir))[0] == check


def test_a_certificate_of_a_training_with_slots_for_a_frozen_weight(model_dir):
    phases = read(model_dir, CERTIFICATE)["phases"]
    phases[1]["frozen_with_optimizer_slots"] = ["block1_conv/0:kernel"]
    reseal(model_dir, phases=phases)
    assert failed(verify(model_dir)) == ["claims"]


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (CERTIFICATE.file, "certificate"),
        (FREEZE_PLAN.file, "plan"),
        (MODEL.file, "files"),
        (KERAS_FILE, "files"),
        ("serving/saved_model.pb", "files"),
        ("serving/fingerprint.pb", "files"),
        ("serving/variables/variables.index", "files"),
        (DATA, "files"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "a directory"])
def test_a_file_that_cannot_be_read(model_dir, name, check, damage):
    path = model_dir / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "a directory":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"")
    assert check in failed(verify(model_dir))


@pytest.mark.parametrize("text", ["[1]", "{}", '{"schema": "frostline/freeze_certificate/v2"}', "[" * 100_000, "\xff"])
def test_a_certificate_that_is_something_else(model_dir, text):
    (model_dir / CERTIFICATE.file).write_bytes(text.encode("latin-1"))
    assert failed(verify(model_dir)) == ["certificate"]


@pytest.mark.parametrize("name", ["saved_model.cpb", "variables/variables.data-00001-of-00002", "assets/vocabulary"])
def test_a_file_in_the_saved_model_that_was_not_certified(model_dir, name):
    (model_dir / "serving" / name).write_bytes(b"")
    result = verify(model_dir)
    assert failed(result) == ["files"]
    assert f"serving/{name} was not certified" in str(result["checks"])
