"""The head as configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from frostline.section import Fraction, Integer, Section, as_tuple


class HeadConfig(Section):
    """The layers after the backbone: pooling, hidden dense layers (ReLU), dropout, logits."""

    hidden: Annotated[tuple[Integer, ...], BeforeValidator(as_tuple)] = Field(
        (), description="number of units of each hidden dense layer"
    )
    dropout: Fraction = Field(0.0, description="fraction of features dropped before the logits in training")

    @model_validator(mode="after")
    def _positive_units(self) -> HeadConfig:
        if any(units < 1 for units in self.hidden):
            raise ValueError(f"hidden: every layer needs at least 1 unit; received {list(self.hidden)}")
        return self
