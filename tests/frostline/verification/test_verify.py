"""verify as a whole: a model as trained passes, what is missing or unreadable does not, and the command says so."""

import json
import shutil
from pathlib import Path

import pytest

from frostline import registry
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.documents.training import KERAS_FILE, MODEL
from frostline.errors import ConfigError
from frostline.model import weights
from frostline.verification.verify import verify
from pipelines import cli

from tests.support.forgery import DATA, failed, flip

ALL = ["certificate", "plan", "tensors", "frozen", "claims", "source", "files", "model", "policy"]
ALL += ["keras_weights", "serving_weights", "description"]


def test_what_train_emitted_verifies(bench):
    result = verify(Path(bench.path("model")))
    assert result["verified"], result
    assert result["schema"] == "frostline/verification/v1"
    # block1's five tensors and the four of the other two BatchNorms are frozen in both phases
    assert (result["frozen_tensors"], result["moved"], result["unmoved_trainable"]) == (13, [], [])
    assert [check["name"] for check in result["checks"]] == ALL


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


def test_an_empty_directory_and_none_at_all(tmp_path):
    result = verify(tmp_path)
    assert failed(result) == ["certificate"]
    assert (result["frozen_tensors"], result["moved"], result["unmoved_trainable"]) == (0, [], [])
    for place in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(ConfigError, match="MODEL_DIR: received"):
            verify(place)


def source_of(bench):
    return WEIGHTS_SOURCE.read(Path(bench.path("weights")))


def test_the_weights_that_training_started_from(bench, tmp_path):
    model, path = bench.path("model"), bench.path("weights")
    backbone, *_ = weights.resolve(source_of(bench)["uri"], "SmallConvNet", 32, 0, "")
    backbone.save(tmp_path / "base.keras")
    version = tmp_path / "version"
    version.mkdir()
    shutil.copyfile(tmp_path / "base.keras", version / KERAS_FILE)
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
    (model_dir / CERTIFICATE.file).unlink()
    code, out, _ = call(capsys, str(model_dir), "--json")
    assert code == 1
    assert not json.loads(out)["verified"]


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["MODEL", "--weights", "nowhere"], ["MODEL", "--wieghts", "x"]])
def test_wrong_usage_exits_2(model_dir, capsys, arguments):
    code, out, err = call(capsys, *[str(model_dir) if item == "MODEL" else item for item in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("frostline: error: ")
    assert err.count("\n") == 1
