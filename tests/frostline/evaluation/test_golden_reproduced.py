"""A stored version must reproduce the golden batch, loaded as a server loads it."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from frostline.errors import DataError, StorageError
from frostline.evaluation import golden
from frostline.model.serving import Served


@pytest.fixture
def version(made, tmp_path):
    """A version's directory: the SavedModel at its top."""
    directory = shutil.copytree(made / "model" / "serving", tmp_path / "version")
    shutil.copy(made / "golden.parquet", directory)
    return directory


def remeasured(version, change):
    images, probabilities = golden.read(version)
    golden.write(version, images, change(probabilities))


def test_a_version_that_reproduces_its_probabilities_passes(version):
    golden.require_reproduced(version)
    remeasured(version, lambda probabilities: probabilities + np.float32(5e-6))
    golden.require_reproduced(version)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda found: found + np.float32(2e-3),
            r"differs by 0\.002\S*; expected at most 0\.001; computed on CPU, and",
        ),
        (lambda found: found * np.float32("nan"), "differs by nan"),
        (lambda found: found[:, :1], r"received probabilities of shape \(3, 2\); expected \(3, 1\)"),
    ],
)
def test_a_version_with_other_probabilities_does_not(version, change, message):
    remeasured(version, change)
    with pytest.raises(DataError, match=message):
        golden.require_reproduced(version)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "golden.parquet"])
def test_a_version_that_lacks_a_file_does_not(version, name):
    (version / name).unlink()
    with pytest.raises(DataError) as caught:
        golden.require_reproduced(version)
    assert "\n" not in str(caught.value)


def test_a_machine_without_memory_says_nothing_of_the_version(version, monkeypatch):
    def exhausted(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory\nallocating")

    monkeypatch.setattr(Served, "predict", exhausted)
    with pytest.raises(StorageError, match=r"the golden batch cannot be predicted now: .*out of memory allocating"):
        golden.require_reproduced(version)
    monkeypatch.setattr(tf.compat.v1.saved_model, "load", exhausted)
    with pytest.raises(StorageError, match="cannot be loaded now"):
        golden.require_reproduced(version)


@pytest.mark.parametrize(("difference", "device"), [(2e-5, "CPU"), (2.3e-3, "NVIDIA A100")])
def test_what_the_device_explains_is_told_and_no_reason_to_reject(version, capsys, monkeypatch, difference, device):
    """2.3e-3 is what TensorFloat-32 made of a probability."""
    monkeypatch.setattr(golden.arithmetic, "device_kind", lambda: device)
    remeasured(version, lambda probabilities: probabilities + np.float32(difference))
    monkeypatch.undo()
    golden.require_reproduced(version)
    said = capsys.readouterr().err
    assert "the golden batch: a probability differs by" in said
    assert f"computed on {device}, and here on CPU" in said


def test_what_no_device_explains_is_a_reason_to_reject(version, monkeypatch):
    monkeypatch.setattr(golden.arithmetic, "device_kind", lambda: "NVIDIA A100")
    remeasured(version, lambda probabilities: probabilities + np.float32(3e-2))
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"differs by 0\.03\S*; expected at most 0\.02; computed on NVIDIA A100, and"):
        golden.require_reproduced(version)


def test_a_golden_batch_of_an_earlier_version_does_not_say_what_computed_it(version, capsys):
    images, probabilities = golden.read(version)
    columns = {"image_bytes": images, "probabilities": list(probabilities + np.float32(1e-3))}
    pq.write_table(pa.table(columns, golden._SCHEMA), version / "golden.parquet")
    golden.require_reproduced(version)
    assert "computed on an unknown device, and here on CPU" in capsys.readouterr().err
