"""A server that answers as Kubeflow Pipelines does, and a client that does not wait between two polls.

After each test, what both sent is what the models of kfp-server-api allow.
"""

import kfp
import pytest

from pipelines.remote import following

from tests.support.kfp_server import KfpServer


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(following, "POLL_SECONDS", 0.01)
    for name in ("KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_IAP_OAUTH2_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    with KfpServer() as running:
        yield running
    assert running.faults == []
