"""verify checks a model from its files: its result, the source weights, and the command."""

import json
import shutil
from pathlib import Path

import pytest

from frostline import registry
from frostline.documents.freeze import CERTIFICATE, WEIGHTS_SOURCE
from frostline.documents.training import KERAS_FILE
from frostline.errors import ConfigError
from frostline.model import weights
from frostline.verification.verify import verify
from pipelines import cli

from tests.support import forgery
from tests.support.forgery import failed, flip, forge

DATA = "serving/variables/variables.data-00000-of-00001"
ALL = ["certificate", "plan", "tensors", "frozen", "claims", "source", "files", "model", "graph", "policy"]
ALL += ["keras_weights", "serving_weights", "operations", "description"]
WITH_WEIGHTS = [*ALL, "source_weights", "export"]


def test_what_train_emitted_verifies(bench):
    result = verify(Path(bench.path("model")))
    assert result["verified"], result
    assert result["schema"] == "frostline/verification/v1"
    # block1's five tensors and the four of the other two BatchNorms are frozen in both phases
    assert (result["frozen_tensors"], result["moved"], result["unmoved_trainable"]) == (13, [], [])
    assert [check["name"] for check in result["checks"]] == ALL


def test_a_forger_of_everything_is_found_out_by_the_source_weights_alone(bench, model_dir):
    forge(model_dir, "block1_conv/0:kernel", states=[0, 1, 2])
    assert failed(verify(model_dir)) == []
    result = verify(model_dir, bench.path("weights"))
    assert failed(result) == ["source_weights"]
    assert result["moved"] == ["block1_conv/0:kernel"]


def test_an_empty_directory_and_none_at_all(tmp_path):
    result = verify(tmp_path)
    assert failed(result) == ["certificate"]
    assert (result["frozen_tensors"], result["moved"], result["unmoved_trainable"]) == (0, [], [])
    for place in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(ConfigError, match="MODEL_DIR: received"):
            verify(place)


def test_the_weights_that_training_started_from(bench, tmp_path):
    model, path = bench.path("model"), bench.path("weights")
    uri = WEIGHTS_SOURCE.read(Path(path))["uri"]
    backbone, *_ = weights.resolve(uri, "SmallConvNet", 32, 0, "")
    backbone.save(tmp_path / "base.keras")
    version = tmp_path / "version"
    version.mkdir()
    shutil.copyfile(tmp_path / "base.keras", version / KERAS_FILE)
    registry.publish(str(tmp_path / "registry"), "base", version, identity="base", metadata={})
    for source in (path, f"{path}/source.json", uri, str(tmp_path / "base.keras")):
        result = verify(model, source)
        assert failed(result) == [], source
        assert [check["name"] for check in result["checks"]] == WITH_WEIGHTS
    assert verify(model, "registry:base/1", str(tmp_path / "registry"))["verified"]


def test_another_graph_than_the_resolved_one_is_found(model_dir):
    """Also with a certificate that is made anew: a layer without weights leaves no trace in the digests of weights."""
    forgery.reseal(model_dir, graph_digest="0" * 64)
    assert failed(verify(model_dir)) == ["graph"]


def test_other_weights(bench, tmp_path):
    model = bench.path("model")
    other, *_ = weights.resolve("random", "SmallConvNet", 32, 1, "")
    other.save_weights(tmp_path / "other.weights.h5")
    assert failed(verify(model, str(tmp_path / "other.weights.h5"))) == ["source_weights"]
    trained = f"{model}/{KERAS_FILE}"  # the weights at the end of training, not those at its start
    assert failed(verify(model, trained)) == ["source_weights"]
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
    assert out.count("passed") == len(WITH_WEIGHTS)
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
