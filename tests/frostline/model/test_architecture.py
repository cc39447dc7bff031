"""The digest of a graph, and what a model or a file of weights says of its preprocessing."""

import keras
import numpy as np
import pytest

from frostline.errors import WeightsError
from frostline.model import architecture, head
from frostline.model.config import HeadConfig


def small(scale=1 / 255, normalised=True, filters=4):
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Rescaling(scale, name="rescaling")(image)
    if normalised:
        x = keras.layers.Normalization(name="normalization")(x)
    return keras.Model(image, keras.layers.Conv2D(filters, 3, name="conv")(x), name="small")


def test_the_digest_is_that_of_the_graph_and_survives_saving_freezing_and_a_head(tmp_path):
    model = small()
    before = architecture.digest(model)
    assert before == architecture.digest(small())
    model.get_layer("conv").trainable = False
    whole = head.attach(model, HeadConfig(hidden=(4,)), 3)
    whole.save(tmp_path / "whole.keras")
    loaded = keras.models.load_model(tmp_path / "whole.keras")
    architecture.require_backbone(loaded, before, "whole.keras")
    architecture.require_backbone(loaded, None, "whole.keras")
    assert architecture.digest(model) == before


@pytest.mark.parametrize("change", [{"scale": 1 / 127.5}, {"normalised": False}, {"filters": 5}])
def test_another_graph_has_another_digest(change):
    """Also where all weights have the same names and shapes."""
    other = small(**change)
    assert architecture.digest(other) != architecture.digest(small())
    with pytest.raises(WeightsError, match=r"model\.keras: its backbone's graph has digest"):
        architecture.require_backbone(head.attach(other, HeadConfig(), 2), architecture.digest(small()), "model.keras")


def test_normalization_is_derived_again_from_assigned_statistics():
    model = small()
    image = np.full((1, 16, 16, 3), 100.0, np.float32)
    before = np.asarray(model(image))
    model.set_weights(
        [np.full(3, 0.2), np.full(3, 4.0), np.array(1), *[w.numpy() for w in model.get_layer("conv").weights]]
    )
    np.testing.assert_array_equal(np.asarray(model(image)), before)  # Keras does not notice
    architecture.finalize(model)
    assert np.abs(np.asarray(model(image)) - before).max() > 1e-3


def test_the_preprocessing_of_a_model_is_what_its_first_layers_do():
    assert [one["class"] for one in architecture.preprocessing(small())] == ["Rescaling", "Normalization"]
    assert architecture.preprocessing(small())[0]["scale"] == 1 / 255
    outer = keras.Input((16, 16, 3))
    nested = keras.Model(outer, small()(keras.layers.Rescaling(2.0)(outer)))
    assert architecture.preprocessing(nested) == architecture.preprocessing(small())


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_a_file_of_weights_says_which_layers_it_was_saved_from(tmp_path, suffix):
    for normalised in (True, False):
        model, path = small(normalised=normalised), tmp_path / f"{normalised}{suffix}"
        (model.save if suffix == ".h5" else model.save_weights)(path)
        found = architecture.preprocessing_in_file(path)
        assert architecture.agrees(architecture.preprocessing(model), found)
        assert not architecture.agrees(architecture.preprocessing(small(normalised=not normalised)), found)


def test_of_a_whole_model_the_scale_is_compared_too():
    one, other = (architecture.preprocessing(small(scale)) for scale in (1 / 255, 1 / 127.5))
    assert architecture.agrees(one, one)
    assert not architecture.agrees(one, other)


def test_a_file_that_lists_no_layers_says_nothing(tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("something")
    assert architecture.preprocessing_in_file(tmp_path / "x.h5") is None
    (tmp_path / "y.h5").write_bytes(b"no hdf5")
    with pytest.raises(OSError, match="file signature not found"):
        architecture.preprocessing_in_file(tmp_path / "y.h5")
