"""The bucket emulator of the other tests."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[1] / "frostline" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("bucket_emulator", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
gcs, _gcs_server = _MODULE.gcs, _MODULE._gcs_server
