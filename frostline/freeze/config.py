"""The freeze policy as configuration: which layers stay still, when, and how fast the others learn."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from frostline.section import Integer, Number, Section, as_tuple

POLICIES = ("head_only", "none", "first_layers", "through", "blocks", "match", "fraction")


class PolicyConfig(Section):
    """Exactly one way to choose the frozen layers of the backbone. The head is never frozen."""

    head_only: Literal[True] | None = Field(None, description="freeze the whole backbone, train the head")
    none: Literal[True] | None = Field(None, description="freeze nothing")
    first_layers: Integer | None = Field(None, ge=1, description="freeze the first N layers, in the model's own order")
    through: str | None = Field(None, min_length=1, description="freeze everything up to and including this block")
    blocks: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] | None = Field(
        None, min_length=1, description="freeze these blocks; names or globs, such as mixed*"
    )
    match: str | None = Field(None, min_length=1, description="freeze layers in whose name this regular expression is")
    fraction: Number | None = Field(
        None, gt=0.0, le=1.0, description="freeze the fewest shallow blocks that hold this share of the parameters"
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        """`head_only` and `none` are policies as they are."""
        if isinstance(value, str) and value not in ("head_only", "none"):
            near = difflib.get_close_matches(value, POLICIES, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"{hint}expected head_only, none, or a mapping such as {{through: mixed7}}")
        return {value: True} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> PolicyConfig:
        chosen = [name for name in POLICIES if getattr(self, name) is not None]
        if len(chosen) != 1:
            found = ", ".join(chosen) or "no policy"
            raise ValueError(f"choose exactly one policy of {', '.join(POLICIES)}; found {found}")
        if self.match is not None:
            try:
                re.compile(self.match)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"match: {self.match!r} is not a regular expression: {error}") from None
        return self

    def policy(self) -> dict[str, Any]:
        """The one chosen policy as {name: value}, in JSON's types."""
        chosen = next(name for name in POLICIES if getattr(self, name) is not None)
        value = getattr(self, chosen)
        return {chosen: list(value) if isinstance(value, tuple) else value}


class PhaseConfig(Section):
    """A later phase of training: what is frozen in it, for how long, and how fast the rest learns."""

    policy: PolicyConfig = Field(description="what is frozen in this phase")
    epochs: Integer = Field(ge=1, description="passes over the training split")
    learning_rate: Number = Field(gt=0.0, description="Adam's step size")


class FreezeConfig(PolicyConfig):
    """The policy of the run; what BatchNorm does; further phases; learning rates by depth."""

    batch_norm: Literal["freeze", "follow"] = Field(
        "freeze", description="freeze: no backbone BatchNorm ever changes; follow: each follows its layer's policy"
    )
    phases: Annotated[tuple[PhaseConfig, ...], BeforeValidator(as_tuple)] = Field(
        (), description="what follows the first phase, which takes the run's own epochs and learning rate"
    )
    layer_lr_decay: Number = Field(
        1.0, gt=0.0, le=1.0, description="learning rate of each block, as a multiple of that of the block above it"
    )

    def section(self) -> dict[str, Any]:
        """The section as configured, in JSON's types, without what was not chosen."""
        section: dict[str, Any] = {**self.policy(), "batch_norm": self.batch_norm}
        if self.phases:
            section["phases"] = [
                {"policy": phase.policy.policy(), "epochs": phase.epochs, "learning_rate": phase.learning_rate}
                for phase in self.phases
            ]
        if self.layer_lr_decay != 1.0:
            section["layer_lr_decay"] = self.layer_lr_decay
        return section
