"""Addresses of versions (`registry:MODEL/N`), and what a registry says where it does not hold what was asked for."""

import json

import pytest

from frostline import digests, registry, storage
from frostline.errors import RegistryError


def test_a_manifest_that_changed_after_the_promotion_does_not_serve(root, make):
    version = make()
    registry.promote(root, version, expected=None, reason="first")
    made_anew = {"identity": version.manifest["identity"], "files": version.manifest["files"], "metadata": {"n": 2}}
    data = json.dumps({**version.manifest, **made_anew, "content": digests.of_json(made_anew)}).encode()
    storage.write_bytes(storage.join(version.uri, registry.MANIFEST), data)
    with pytest.raises(RegistryError, match="not the one that was promoted"):
        registry.look_up(root, "registry:digits@champion")


def test_a_rejected_version_is_named_with_the_reason_and_not_handed_out(root, make):
    version = make()
    registry.reject(root, version, reason="it does not load")
    with pytest.raises(RegistryError) as caught:
        registry.look_up(root, "registry:digits/1")
    assert str(caught.value) == f"registry:digits/1: version 1 in {root} was rejected: it does not load"


@pytest.mark.parametrize(
    "reference", ["digits", "registry:", "registry:digits@latest", "registry:digits/0", "registry:d/1/2"]
)
def test_a_reference_that_is_none_is_refused(root, reference):
    with pytest.raises(RegistryError) as caught:
        registry.look_up(root, reference)
    assert str(caught.value).startswith(f"received {reference!r}; expected registry:MODEL@champion")


def test_a_model_without_champion_is_told(root, make):
    make()
    with pytest.raises(RegistryError) as caught:
        registry.look_up(root, "registry:digits")
    assert str(caught.value) == f"registry:digits: {root} has no champion of digits; push a model with that name first"


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "a\n", "-a", "x" * 64])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(RegistryError, match="model_name"):
        registry.champion(str(tmp_path), name)
