"""A model that does not verify is not published, and nothing in the registry changes."""

import pytest

from frostline import digests, storage
from frostline.documents.freeze import FREEZE_PLAN
from frostline.errors import RegistryError

from tests.support import forgery
from tests.support.pushes import Run, compared_with


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("serving/saved_model.pb", r"files: serving/saved_model\.pb differs"),
        ("freeze_certificate.json", r"certificate: .*"),
        ("model.keras", r"files: model\.keras differs"),
    ],
)
def test_a_model_that_does_not_verify_is_not_published(root, made, tmp_path, damage, message):
    Run(tmp_path / "first", root, made).push()
    before = {item.uri: item for item in storage.list_files(root)}
    run = Run(tmp_path / "run", root, made, "d2", compared_with(root))
    path = tmp_path / "run" / "model" / damage
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refusal = f"digits: the model does not verify, so it cannot become the champion; {message}"
    with pytest.raises(RegistryError, match=refusal):
        run.push()
    assert {item.uri: item for item in storage.list_files(root)} == before
    assert not (tmp_path / "run" / "published" / "version.json").exists()


def test_a_model_with_other_layers_than_its_plan_is_not_published(made, tmp_path):
    """Its certificate is made anew, so that all digests match: only the plan does not follow from the model."""
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    model = tmp_path / "run" / "model"
    plan = FREEZE_PLAN.read(model)
    plan["layers"][1]["name"] = "another_layer"
    FREEZE_PLAN.write(model, plan)
    forgery.reseal(model, plan_digest=digests.of_json(plan))
    with pytest.raises(RegistryError, match="does not verify"):
        run.push()
    assert not (tmp_path / "registry").exists()
