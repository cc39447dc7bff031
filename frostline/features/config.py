"""What is kept of the frozen prefix: as configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from frostline.section import Number, Section


class CacheConfig(Section):
    """What is kept of the frozen prefix, so that it runs once an image and not once an epoch."""

    mode: Literal["auto", "off", "require"] = Field(
        "auto", description="auto: where it saves time and fits; require: fail where there is no frozen prefix"
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="type of the stored features")
    precision: Literal["auto", "float32"] = Field(
        "auto", description="auto: the prefix computes in bfloat16 where the hardware does and a sample agrees"
    )
    limit_gb: Annotated[Number, Field(gt=0.0)] = Field(
        100.0, description="gigabytes (1e9 bytes) that all features in the store may take; the least recently used go"
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        """`auto`, `off` and `require` are sections as they are; YAML 1.1 reads `off` as false."""
        if value is False:
            value = "off"
        if isinstance(value, dict) and value.get("mode") is False:
            value = {**value, "mode": "off"}
        return {"mode": value} if isinstance(value, str) else value
