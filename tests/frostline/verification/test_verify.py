"""verify finds every change, from the files alone: single bits, forged certificates, what is missing, what is extra."""

import json
import shutil
from pathlib import Path

import keras
import pytest

from frostline import artifacts, digests, registry
from frostline.errors import ConfigError
from frostline.freeze import certificate
from frostline.model import weights
from frostline.verification import certificate_checks
from frostline.verification.verify import verify
from pipelines import cli

from tests.support import pictures
from tests.support.forgery import FROZEN, edit, export_again, failed, flip, forge, moved_model, reseal
from tests.support.stages import Bench

DATA = "serving/variables/variables.data-00000-of-00001"
ALL = ["certificate", "plan", "tensors", "frozen", "claims", "source", "files", "model", "policy"]
ALL += ["keras_weights", "serving_weights", "description"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Two phases: the head, then all above block1. Dropout gives the model a variable that is no weight."""
    root = tmp_path_factory.mktemp("verify")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    second = {"policy": {"through": "block1"}, "epochs": 1, "learning_rate": 0.001}
    bench.plan({"head_only": True, "phases": [second]})
    bench.train(epochs=1, head={"dropout": 0.2})
    bench.train(epochs=1, head={"dropout": 0.2}, seed=1, model="other")
    return bench


@pytest.fixture
def model_dir(bench, tmp_path):
    """A copy of what train emitted, to be damaged."""
    return shutil.copytree(bench.path("model"), tmp_path / "model")


def test_what_train_emitted_verifies(bench):
    result = verify(Path(bench.path("model")))
    assert result["verified"], result
    assert result["schema"] == "frostline/verification/v1"
    # block1's five tensors and the four of the other two BatchNorms are frozen in both phases
    assert (result["frozen_tensors"], result["moved"], result["unmoved_trainable"]) == (13, [], [])
    assert [check["name"] for check in result["checks"]] == ALL


@pytest.mark.parametrize("tensor", FROZEN)
def test_one_bit_of_a_frozen_tensor_inside_the_saved_model(model_dir, tensor):
    layer, index = FROZEN[tensor]
    value = keras.models.load_model(model_dir / "model.keras").get_layer(layer).weights[index].numpy().tobytes()
    where = (model_dir / DATA).read_bytes().index(value)
    flip(model_dir / DATA, where + len(value) // 2)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)  # the forger has put the new file's digest into the certificate
    assert failed(verify(model_dir)) == ["serving_weights"]


@pytest.mark.parametrize("tensor", FROZEN)
def test_one_bit_of_a_frozen_tensor_inside_the_keras_file(model_dir, tensor):
    layer, index = FROZEN[tensor]
    value = keras.models.load_model(model_dir / "model.keras").get_layer(layer).weights[index].numpy().tobytes()
    where = (model_dir / "model.keras").read_bytes().index(value)
    flip(model_dir / "model.keras", where + len(value) // 2, bit=3)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)
    assert failed(verify(model_dir))[0] in ("model", "keras_weights")


@pytest.mark.parametrize("name", ["model.keras", "serving/saved_model.pb", DATA, "serving/variables/variables.index"])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.74, 0.999])
def test_one_bit_anywhere_in_an_exported_file(model_dir, name, share):
    size = (model_dir / name).stat().st_size
    flip(model_dir / name, int(size * share), bit=5)
    result = verify(model_dir)
    assert failed(result) == ["files"]
    assert {check["name"]: check["reason"] for check in result["checks"]}["files"] == f"{name} differs"


def test_one_bit_anywhere_in_the_plan(model_dir):
    path = model_dir / "freeze_plan.json"
    whole = path.read_bytes()
    for byte in range(0, len(whole), 97):
        flip(path, byte, bit=byte % 8)
        assert "files" in failed(verify(model_dir)), byte
        path.write_bytes(whole)


def test_one_bit_in_every_byte_of_the_certificate(model_dir):
    path = model_dir / certificate.FILE
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
    path = model_dir / certificate.FILE
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
    edit(model_dir / "model.json", "model", **changes)
    assert failed(verify(model_dir)) == ["files"]
    reseal(model_dir)
    assert failed(verify(model_dir)) == ["description"]


@pytest.mark.parametrize("tensor", FROZEN)
def test_a_moved_tensor_under_a_certificate_that_says_verified(model_dir, tensor):
    model = moved_model(model_dir, tensor)
    model.save(model_dir / "model.keras")
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
    model = keras.models.load_model(model_dir / "model.keras")
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
    plan = json.loads((model_dir / "freeze_plan.json").read_text())
    for layer in plan["layers"]:
        layer["frozen"] &= layer["name"] != "block1_conv"
    plan["phases"][0]["frozen"].remove("block1_conv")
    artifacts.write_json(model_dir / "freeze_plan.json", "freeze_plan", plan)
    proof = json.loads((model_dir / certificate.FILE).read_text()) | {"plan_digest": digests.of_json(plan)}
    made = certificate_checks.recompute(plan, proof)
    reseal(model_dir, **{name: made[name] for name in made if name != "files"})
    assert failed(verify(model_dir)) == ["policy"]


def test_a_certificate_of_another_model(bench, model_dir):
    shutil.copyfile(Path(bench.path("other")) / certificate.FILE, model_dir / certificate.FILE)
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
    phases = json.loads((model_dir / certificate.FILE).read_text())["phases"]
    phases[1]["frozen_with_optimizer_slots"] = ["block1_conv/0:kernel"]
    reseal(model_dir, phases=phases)
    assert failed(verify(model_dir)) == ["claims"]


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (certificate.FILE, "certificate"),
        ("freeze_plan.json", "plan"),
        ("model.json", "files"),
        ("model.keras", "files"),
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
    (model_dir / certificate.FILE).write_bytes(text.encode("latin-1"))
    assert failed(verify(model_dir)) == ["certificate"]


@pytest.mark.parametrize("name", ["saved_model.cpb", "variables/variables.data-00001-of-00002", "assets/vocabulary"])
def test_a_file_in_the_saved_model_that_was_not_certified(model_dir, name):
    (model_dir / "serving" / name).write_bytes(b"")
    result = verify(model_dir)
    assert failed(result) == ["files"]
    assert f"serving/{name} was not certified" in str(result["checks"])


def test_an_empty_directory_and_none_at_all(tmp_path):
    result = verify(tmp_path)
    assert failed(result) == ["certificate"]
    assert (result["frozen_tensors"], result["moved"], result["unmoved_trainable"]) == (0, [], [])
    for place in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(ConfigError, match="MODEL_DIR: received"):
            verify(place)


def source_of(bench):
    return json.loads((Path(bench.path("weights")) / "source.json").read_text())


def test_the_weights_that_training_started_from(bench, tmp_path):
    model, path = bench.path("model"), bench.path("weights")
    backbone, *_ = weights.resolve(source_of(bench)["uri"], "SmallConvNet", 32, 0, "")
    backbone.save(tmp_path / "base.keras")
    version = tmp_path / "version"
    version.mkdir()
    shutil.copyfile(tmp_path / "base.keras", version / "model.keras")
    registry.publish(str(tmp_path / "registry"), "base", version, identity="base", metadata={})
    for source in (path, f"{path}/source.json", source_of(bench)["uri"], str(tmp_path / "base.keras")):
        result = verify(model, source)
        assert failed(result) == [], source
        assert [check["name"] for check in result["checks"]] == [*ALL, "source_weights"]
    assert verify(model, "registry:base/1", str(tmp_path / "registry"))["verified"]


def test_other_weights(bench, tmp_path):
    model = bench.path("model")
    other, *_ = weights.resolve("random", "SmallConvNet", 32, 1, "")
    other.save_weights(tmp_path / "other.weights.h5")
    assert failed(verify(model, str(tmp_path / "other.weights.h5"))) == ["source_weights"]
    assert failed(verify(model, f"{model}/model.keras")) == [
        "source_weights"
    ]  # where training ended, not where it began
    assert failed(verify(model, "registry:nobody/1", str(tmp_path))) == ["source_weights"]
    with pytest.raises(ConfigError, match="--weights: received"):
        verify(model, str(tmp_path / "nowhere.weights.h5"))
    with pytest.raises(ConfigError, match="--registry: received ''"):
        verify(model, "registry:base/1")


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["verify", *arguments])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_the_command_lists_the_checks_and_exits_0_or_1(bench, model_dir, capsys):
    code, out, _ = call(capsys, str(model_dir), "--weights", bench.path("weights"))
    assert code == 0
    assert out.count("passed") == len(ALL) + 1
    assert out.splitlines()[-1].startswith("verified: 13 frozen tensors are bit-identical")
    flip(model_dir / DATA, 0)
    code, out, _ = call(capsys, str(model_dir))
    assert code == 1
    assert f"FAILED  files            {DATA} differs" in out
    assert out.splitlines()[-1].startswith("not verified: ")


def test_the_command_prints_json(model_dir, capsys):
    code, out, _ = call(capsys, str(model_dir), "--json")
    assert code == 0
    assert json.loads(out) == verify(model_dir)
    (model_dir / certificate.FILE).unlink()
    code, out, _ = call(capsys, str(model_dir), "--json")
    assert code == 1
    assert not json.loads(out)["verified"]


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["MODEL", "--weights", "nowhere"], ["MODEL", "--wieghts", "x"]])
def test_wrong_usage_exits_2(model_dir, capsys, arguments):
    code, out, err = call(capsys, *[str(model_dir) if item == "MODEL" else item for item in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("frostline: error: ")
    assert err.count("\n") == 1
