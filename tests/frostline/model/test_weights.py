"""Weights by reference: what each form resolves to, and which weights do not fit."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from frostline import digests, registry, storage
from frostline.errors import NotSigned, RegistryError, WeightsError
from frostline.model import backbones, head, weights
from frostline.model.config import HeadConfig


def values(model):
    return [weight.numpy() for weight in model.weights]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(values(one), values(other), strict=True))


def resolve(reference, root="/nowhere", backbone="SmallConvNet", size=32, seed=0):
    return weights.resolve(str(reference), backbone, size, seed, str(root))[:2]


@pytest.fixture
def finetuned(tmp_path):
    """A backbone with a head, as the train step writes it."""
    keras.utils.set_random_seed(5)
    model = head.attach(backbones.build("SmallConvNet", 32), HeadConfig(hidden=(8,)), 3)
    path = tmp_path / "model.keras"
    model.save(path)
    return model, path


def test_random_weights_are_a_function_of_the_seed():
    one, source = resolve("random")
    again, _ = resolve("random")
    other, differing = resolve("random", seed=1)
    assert same(one, again)
    assert not same(one, other)
    assert source["digest"] != differing["digest"]
    assert source["resolved"] == "random, seed 0"


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_file_gives_the_weights_that_were_saved_in_it(tmp_path, suffix):
    saved, source = resolve("random", seed=9)
    path = tmp_path / f"backbone{suffix}"
    (saved.save if suffix == ".keras" else saved.save_weights)(path)
    loaded, found = resolve(path)
    assert same(saved, loaded)
    assert found["digest"] == source["digest"]


def test_a_finetuned_model_gives_its_backbone(finetuned):
    model, path = finetuned
    loaded, _ = resolve(path)
    for weight, expected in zip(loaded.weights, model.weights, strict=False):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())


def test_a_file_in_a_bucket_is_fetched(tmp_path, gcs):
    saved, source = resolve("random", seed=4)
    saved.save_weights(tmp_path / "w.weights.h5")
    uri = storage.join(gcs, "w.weights.h5")
    storage.upload_file(tmp_path / "w.weights.h5", uri)
    assert resolve(uri)[1]["digest"] == source["digest"]
    with pytest.raises(WeightsError, match="does not exist"):
        resolve(storage.join(gcs, "other.weights.h5"))


def test_a_registry_reference_resolves_its_alias_to_a_version(tmp_path, finetuned, signer):
    model, path = finetuned
    directory = tmp_path / "version"
    directory.mkdir()
    (directory / "saved_model.pb").write_bytes(b"graph")
    path.rename(directory / "model.keras")
    root = tmp_path / "registry"
    version = registry.publish(str(root), "base", directory, identity="x", metadata={})
    registry.promote(str(root), version, expected=None, reason="test")
    loaded, source = resolve("registry:base@champion", root)
    assert source["resolved"] == "base/1"
    np.testing.assert_array_equal(loaded.weights[0].numpy(), model.weights[0].numpy())
    with pytest.raises(RegistryError, match="no champion of other"):
        resolve("registry:other@champion", root)
    demanded = ("registry:base@champion", "SmallConvNet", 32, 0, str(root), signer.pem)
    with pytest.raises(NotSigned, match=r"base/versions/1: is not signed; if you trust this version, sign it"):
        weights.resolve(*demanded)
    registry.sign(version, registry.download(version, tmp_path / "to sign", copy=True), signer.private)
    assert weights.resolve(*demanded)[1]["resolved"] == "base/1"


def test_the_store_gives_back_what_was_saved_and_notices_another_digest(tmp_path):
    saved, source = resolve("random", seed=3)
    source["uri"] = weights.save(saved, str(tmp_path), source["digest"])
    assert same(saved, weights.load(source))
    assert weights.save(saved, str(tmp_path), source["digest"]) == source["uri"]
    with pytest.raises(WeightsError, match="the plan is for"):
        weights.load({**source, "digest": "0" * 64})
    del source["graph"]
    with pytest.raises(WeightsError, match="was stored by an earlier version, without its graph; run plan again"):
        weights.load(source)


def test_a_stored_model_that_was_damaged_is_written_again(tmp_path, capsys):
    model, source = resolve("random")
    uri = weights.save(model, str(tmp_path), source["digest"])
    good = Path(uri).read_bytes()
    for damaged in (bytes([good[0] ^ 1]) + good[1:], good[:-1], b""):
        Path(uri).unlink()
        Path(uri).write_bytes(damaged)
        capsys.readouterr()
        assert weights.save(model, str(tmp_path), source["digest"]) == uri
        assert f"{uri}: was damaged in the store" in capsys.readouterr().err
        assert same(weights.load({**source, "uri": uri}), model)
    before = Path(uri).read_bytes()
    weights.save(model, str(tmp_path), source["digest"])
    assert Path(uri).read_bytes() == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damaged", [False, True])
def test_a_stored_model_of_an_earlier_version_has_no_digest_beside_it_and_is_loaded_to_be_sure(
    tmp_path, damaged, capsys
):
    model, source = resolve("random")
    uri = weights.save(model, str(tmp_path), source["digest"])
    beside, good = Path(f"{uri}.sha256"), Path(uri).read_bytes()
    if damaged:
        Path(uri).unlink()
        Path(uri).write_bytes(good[: len(good) // 2])
    beside.unlink()
    weights.save(model, str(tmp_path), source["digest"])
    assert ("was damaged in the store; it is written again" in capsys.readouterr().err) == damaged
    assert beside.read_text() == digests.of_file(Path(uri))
    assert same(weights.load({**source, "uri": uri}), model)


def test_weights_of_another_backbone_do_not_fit(tmp_path, finetuned):
    other = backbones.build("MobileNetV2", 32)
    other.save_weights(tmp_path / "other.weights.h5")
    with warnings.catch_warnings():  # as outside of the tests: Keras warns, and keeps the random weights
        warnings.simplefilter("default")
        with pytest.raises(WeightsError, match="does not fit SmallConvNet"):
            resolve(tmp_path / "other.weights.h5")
    other.save(tmp_path / "other.keras")
    with pytest.raises(WeightsError, match=r"\(block2_conv/kernel\) has shape \(3, 3, 32, 64\), the file has"):
        resolve(tmp_path / "other.keras", backbone="SmallConvNet")


@pytest.mark.parametrize(("name", "data"), [("w.weights.h5", b"no hdf5"), ("w.keras", b"no zip"), ("w.h5", b"")])
def test_a_file_that_is_not_a_weights_file_is_refused_in_one_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match="does not fit") as caught:
        resolve(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_wrong_suffix_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        resolve(tmp_path / "none.weights.h5")
    with pytest.raises(WeightsError, match=r"expected a file that ends in \.weights\.h5"):
        resolve(tmp_path / "weights.npz")


def test_code_inside_a_keras_file_is_not_run(tmp_path):
    """A Lambda layer contains marshalled code: safe mode refuses the file."""
    image = keras.Input((32, 32, 3))
    marker = str(tmp_path / "ran")
    layer = keras.layers.Lambda(lambda x, path: (open(path, "w").close(), x)[1], arguments={"path": marker})  # noqa: PTH123
    unsafe = keras.Model(image, layer(image))
    assert Path(marker).exists()  # building the model ran it: loading it would too
    unsafe.save(tmp_path / "unsafe.keras")
    Path(marker).unlink()
    with pytest.raises(WeightsError, match="does not fit"):
        resolve(tmp_path / "unsafe.keras")
    assert not Path(marker).exists()


def test_imagenet_for_the_built_in_backbone_is_refused():
    with pytest.raises(WeightsError, match="SmallConvNet has none"):
        resolve("imagenet")


def test_imagenet_without_a_network_says_what_else_there_is(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))  # nothing is cached
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there: the network is gone
    with pytest.raises(WeightsError, match="without a network use 'random'"):
        resolve("imagenet", backbone="MobileNetV2", size=96)


def test_a_legacy_h5_file_loads(tmp_path):
    saved, source = resolve("random", seed=6)
    path = tmp_path / "notop.h5"
    saved.save_weights(Path(str(path).replace(".h5", ".weights.h5")))
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, saved)
    assert resolve(path)[1]["digest"] == source["digest"]
