"""The freeze policy as configuration: which layers are frozen in each phase, and learning rates by depth."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from frostline.documents.freeze import FreezeSection, Policy
from frostline.errors import shown
from frostline.section import Integer, Number, Section, as_tuple

POLICIES = ("head_only", "none", "first_layers", "through", "blocks", "match", "fraction")


class PolicyConfig(Section):
    """Which layers of the backbone are frozen: exactly one field must be set. The head is never frozen."""

    head_only: Literal[True] | None = Field(None, description="freeze the whole backbone; only the head is trained")
    none: Literal[True] | None = Field(None, description="freeze nothing")
    first_layers: Integer | None = Field(None, ge=1, description="freeze the first N layers of model.layers")
    through: str | None = Field(None, min_length=1, description="freeze all layers up to the end of this block")
    blocks: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] | None = Field(
        None, min_length=1, description="freeze these blocks, given by name or glob, such as mixed*"
    )
    match: str | None = Field(None, min_length=1, description="freeze layers whose name matches this regex")
    fraction: Number | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="freeze the fewest first blocks with this fraction of the parameters; layers if blocks are coarse",
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        """Accept the words `head_only` and `none` for the policies of that name."""
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
                raise ValueError(f"match: {shown(self.match)} is not a regular expression: {error}") from None
        return self

    def policy(self) -> Policy:
        """The chosen policy as {name: value}, in JSON's types."""
        return self._chosen()

    def _chosen(self) -> FreezeSection:
        name = next(name for name in POLICIES if getattr(self, name) is not None)
        value = getattr(self, name)
        return cast(FreezeSection, {name: list(value) if isinstance(value, tuple) else value})


class PhaseConfig(Section):
    """A later phase of training: its freeze policy, epochs and learning rate."""

    policy: PolicyConfig = Field(description="freeze policy of this phase")
    epochs: Integer = Field(ge=1, description="passes over the training split")
    learning_rate: Number = Field(gt=0.0, description="step size of the optimizer in this phase")


class FreezeConfig(PolicyConfig):
    """The policy of the first phase, BatchNorm, later phases, and learning rates by depth."""

    batch_norm: Literal["freeze", "follow"] = Field(
        "freeze", description="freeze: freeze every BatchNorm of the backbone; follow: as the policy says"
    )
    phases: Annotated[tuple[PhaseConfig, ...], BeforeValidator(as_tuple)] = Field(
        (), description="phases after the first, which uses the run's epochs and learning rate"
    )
    layer_lr_decay: Number = Field(
        1.0, gt=0.0, le=1.0, description="ratio of each block's learning rate to that of the block after it"
    )

    def section(self) -> FreezeSection:
        """The section as configured, in JSON's types, without fields that were left at their default."""
        section = self._chosen()
        section["batch_norm"] = self.batch_norm
        if self.phases:
            section["phases"] = [
                {"policy": phase.policy.policy(), "epochs": phase.epochs, "learning_rate": phase.learning_rate}
                for phase in self.phases
            ]
        if self.layer_lr_decay != 1.0:
            section["layer_lr_decay"] = self.layer_lr_decay
        return section
