"""What a run asks of nodes is what Kubernetes takes: a mistake would show hours later, or as a long wait."""

import re

import pytest

from frostline.config import RunConfig
from frostline.errors import ConfigError
from frostline.section import parse

GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
TAINT = {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoExecute", "tolerationSeconds": 60.0}

GOOD = [
    *({"cpu": text} for text in ("2", "0.5", "1.25", "500m", "64")),
    *({"train_memory": text} for text in ("4Gi", "512Mi", "4194304Ki", "1.5G", "1Ti")),
    *({"accelerator_type": text} for text in ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb")),
    *({"node_selector": one} for one in ({}, {"cloud.google.com/gke-spot": "true"}, {"pool": ""})),
    *({"tolerations": one} for one in ([], [GPU], [TAINT], [{"key": "spot"}], [{"operator": "Exists"}])),
]
BAD = [
    *(
        ("cpu", text, "expected a number of CPU cores")
        for text in ("", "2Gi", "two", "0", "0m", "1.2345", "0.5m", "2 ")
    ),
    *(("train_cpu", text, "expected a number of CPU cores") for text in ("1k", "-1")),
    *(("memory", text, "with its unit") for text in ("", "4", "4gb", "4GB", "512m", "0Gi", "4gi", "4ki", "4 Gi")),
    *(("train_memory", text, "with its unit") for text in ("-4Gi", "1e3")),
    *(("accelerator_type", text, "such as nvidia.com/gpu") for text in ("", "NVIDIA_TESLA_T4", "gpu", "nvidia.com/")),
    ("node_selector", {"a b": "c"}, "cannot be one"),
    ("node_selector", {"a": "b c"}, "cannot be one"),
    ("node_selector", {"a": "x" * 64}, "cannot be one"),
    ("tolerations", [{**GPU, "op": "Exists"}], "not 'op'"),
    ("tolerations", [{**GPU, "operator": "Eq"}], "for operator one of Equal, Exists"),
    ("tolerations", [{**GPU, "effect": "NoSchedual"}], "for effect one of NoSchedule"),
    ("tolerations", [{**GPU, "value": "true"}], "no value where the operator is Exists"),
    ("tolerations", [{**TAINT, "value": True}], "text for value; in YAML, quote it"),
    ("tolerations", [{"effect": "NoSchedule"}], "expected a key"),
]


@pytest.mark.parametrize("values", GOOD, ids=str)
def test_what_kubernetes_takes_is_accepted_as_it_is(values):
    arguments = parse(RunConfig, values).arguments()
    assert {name: arguments[name] for name in values} == values


@pytest.mark.parametrize(("field", "value", "told"), BAD, ids=str)
def test_what_kubernetes_refuses_or_reads_otherwise_is_told_before_anything_runs(field, value, told):
    with pytest.raises(ConfigError, match=rf"^{field}.*: received .*{re.escape(told)}"):
        parse(RunConfig, {field: value})
