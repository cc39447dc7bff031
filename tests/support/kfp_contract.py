"""Bodies of Kubeflow Pipelines' API, held against the models of kfp-server-api."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from kfp_server_api import models

_PRIMITIVES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def faults(body: Any, model: str, where: str = "") -> list[str]:
    """What in a JSON body the model does not have or has with another type; one line each.

    Args:
        body: as parsed.
        model: a class of kfp_server_api.models, or a type as its `openapi_types` writes it, such as `list[str]`.
        where: of the body in a larger one.
    """
    if listed := re.fullmatch(r"list\[(.*)\]", model):
        if not isinstance(body, list):
            return [f"{where}: expected a list"]
        return [fault for index, each in enumerate(body) for fault in faults(each, listed[1], f"{where}[{index}]")]
    if mapped := re.fullmatch(r"dict\(str, (.*)\)", model):
        if not isinstance(body, dict):
            return [f"{where}: expected an object"]
        return [fault for key, each in body.items() for fault in faults(each, mapped[1], f"{where}.{key}")]
    if model == "object":
        return []
    if model in _PRIMITIVES:
        good = isinstance(body, _PRIMITIVES[model]) and (model == "bool" or not isinstance(body, bool))
        return [] if good else [f"{where}: expected {model}, received {body!r}"]
    if model == "datetime":
        return [] if _is_time(body) else [f"{where}: expected a time, received {body!r}"]
    return _faults_of_model(body, getattr(models, model), where)


def _faults_of_model(body: Any, model: Any, where: str) -> list[str]:
    if hasattr(model, "allowable_values"):
        return [] if body in model.allowable_values else [f"{where}: {body!r} is no {model.__name__}"]
    if not isinstance(body, dict):
        return [f"{where}: expected {model.__name__}"]
    fields = {written: model.openapi_types[name] for name, written in model.attribute_map.items()}
    unknown = [f"{where}.{key}: {model.__name__} has no such field" for key in body if key not in fields]
    return unknown + [
        fault for key, each in body.items() if key in fields for fault in faults(each, fields[key], f"{where}.{key}")
    ]


def _is_time(body: Any) -> bool:
    try:
        return datetime.fromisoformat(body).tzinfo is not None
    except (TypeError, ValueError):
        return False
