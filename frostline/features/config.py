"""The cache of the frozen prefix's features: as configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from frostline.section import Number, Section


class CacheConfig(Section):
    """Whether the output of the frozen prefix is cached, so that it runs once per image and not once per epoch."""

    mode: Literal["auto", "off", "require"] = Field(
        "auto", description="auto: if it saves time and fits the limit; require: fail if there is no frozen prefix"
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="storage type of cached features")
    precision: Literal["auto", "float32"] = Field(
        "auto", description="auto: compute the prefix in bfloat16 if the hardware has it and a sample agrees"
    )
    limit_gb: Annotated[Number, Field(gt=0.0)] = Field(
        100.0,
        description="gigabytes (1e9 bytes) of features and finished trainings; the least recently used go first",
    )

    @property
    def limit_bytes(self) -> int:
        """The limit in bytes."""
        return int(self.limit_gb * 1_000_000_000)

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        """`auto`, `off` and `require` alone are sections; YAML 1.1 reads `off` as false."""
        if value is False:
            value = "off"
        if isinstance(value, dict) and value.get("mode") is False:
            value = {**value, "mode": "off"}
        return {"mode": value} if isinstance(value, str) else value
