"""Another device computes a little differently: what that explains is told, and what it does not is rejected."""

import numpy as np
import pytest

from frostline import registry
from frostline.errors import RegistryError
from frostline.evaluation import golden

from tests.support.pushes import Run


def shift_golden(directory, shift, device, monkeypatch):
    """As if another kind of device had computed the golden batch."""
    images, probabilities = golden.read(directory)
    probabilities[1, 0] += np.float32(shift)
    monkeypatch.setattr(golden.arithmetic, "device_kind", lambda: device)
    golden.write(directory, images, probabilities)
    monkeypatch.undo()


@pytest.mark.parametrize(("shift", "device"), [(2e-5, "CPU"), (2.3e-3, "NVIDIA A100")])
def test_a_small_difference_in_arithmetic_is_pushed_and_told(made, tmp_path, capsys, monkeypatch, shift, device):
    """2.3e-3 is what operands of TensorFloat-32 make of a probability."""
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    shift_golden(tmp_path / "run" / "evaluation", shift, device, monkeypatch)
    assert run.push() == "pushed: digits version 1 is the champion"
    told = capsys.readouterr().err
    assert "the golden batch: a probability differs by" in told
    assert f"computed on {device}, and here on CPU" in told


@pytest.mark.parametrize(("shift", "device"), [(2.3e-3, "CPU"), (3e-2, "NVIDIA A100")])
def test_a_difference_that_no_arithmetic_explains_is_rejected(made, tmp_path, monkeypatch, shift, device):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    shift_golden(tmp_path / "run" / "evaluation", shift, device, monkeypatch)
    with pytest.raises(RegistryError, match="is stored, but does not serve: the golden batch: a probability differs"):
        run.push()
    assert registry.standing(str(tmp_path / "registry"), "digits", 1).standing == "rejected"
