"""What the SavedModel's graph may contain, and whether model.keras was exported; the forger makes all digests anew."""

import pytest

from frostline.errors import RegistryError
from frostline.verification.certificate_checks import load_model
from frostline.verification.verify import require_verified, verify

from tests.support import forgery, hostile
from tests.support.forgery import failed


def negate_the_probabilities(meta):
    """Allowed operations, and the same weights: the least probable class wins."""
    function = hostile.serve(meta)
    name = next(one.name for one in function.signature.output_arg if one.type == 1)
    function.node_def.add(name="evil", op="Neg", input=[function.ret[name]]).attr["T"].type = 1
    function.ret[name] = "evil:y:0"


def test_a_graph_that_writes_a_file_does_not_verify(model_dir, tmp_path):
    target = tmp_path / "written"
    hostile.change(model_dir / "serving", lambda meta: hostile.write_file(meta, target))
    forgery.reseal(model_dir)
    assert failed(verify(model_dir)) == ["operations"]
    with pytest.raises(RegistryError, match=r"operations: .* has the operation WriteFile"):
        require_verified(model_dir, "m: the model")
    assert not target.exists()


def test_a_graph_of_allowed_operations_that_is_no_export_is_found_with_the_weights(bench, model_dir):
    hostile.change(model_dir / "serving", negate_the_probabilities)
    forgery.reseal(model_dir)
    assert failed(verify(model_dir)) == []
    result = verify(model_dir, bench.path("weights"))
    assert failed(result) == ["export"]
    assert "signature serving_default" in result["checks"][-1]["reason"]


def test_an_export_with_other_labels_is_found_too(bench, model_dir):
    forgery.export_again(load_model(model_dir), model_dir, labels=["jade", "cobalt", "amber"])
    forgery.reseal(model_dir)
    assert failed(verify(model_dir)) == []
    assert failed(verify(model_dir, bench.path("weights"))) == ["export"]
