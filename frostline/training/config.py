"""Training as configuration: the section, and everything that one training session takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from frostline.data.config import AugmentConfig
from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.model.config import HeadConfig
from frostline.section import Fraction, Integer, Number, Section


class TrainingConfig(Section):
    """Optimizer, learning rate schedule, loss, early stopping and checkpoints."""

    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        "adam", description="optimizer: adam, adamw, or sgd with Nesterov momentum"
    )
    weight_decay: Annotated[Number, Field(ge=0.0)] = Field(
        0.0, description="decoupled weight decay per step, times the learning rate; adamw only"
    )
    momentum: Fraction = Field(0.9, description="momentum; sgd only")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="learning rate over a phase; cosine decays to 0 at its end"
    )
    warmup_steps: Annotated[Integer, Field(ge=0)] = Field(
        0, description="steps of linear warm-up at the start of each phase, the first above 0; cosine only"
    )
    label_smoothing: Fraction = Field(0.0, description="label smoothing (0..1)")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced weighs each class by the inverse of its frequency in the training split"
    )
    clip_norm: Annotated[Number, Field(ge=0.0)] = Field(
        0.0, description="clip gradients to this global L2 norm; 0 disables clipping"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="compute type of trained layers; bfloat16 keeps weights and losses in float32"
    )
    patience: Annotated[Integer, Field(ge=0)] = Field(
        0, description="end a phase after this many epochs without improvement, keep its best weights; 0 disables"
    )
    monitor: Literal["validation_loss", "validation_accuracy"] = Field(
        "validation_loss", description="metric that patience watches"
    )
    synchronized_batch_norm: bool = Field(
        False, description="compute the statistics of trained BatchNorm over all replicas"
    )
    tensor_float_32: bool = Field(
        False, description="let a GPU train with TensorFloat-32: faster, with operands of 10 bits; never used elsewhere"
    )
    checkpoint_seconds: Annotated[Integer, Field(ge=1)] = Field(60, description="seconds between two checkpoints")

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingConfig:
        if (self.weight_decay > 0) != (self.optimizer == "adamw"):
            raise ValueError(
                f"weight_decay: {self.weight_decay} does not fit optimizer {self.optimizer}; "
                "adamw needs a value above 0, such as 0.004, and no other optimizer takes one"
            )
        if self.warmup_steps and self.schedule != "cosine":
            raise ValueError(f"warmup_steps: {self.warmup_steps} needs schedule: cosine")
        return self

    def require_warm_up_fits(self, images: int, batch_size: int, epochs: Sequence[int]) -> None:
        """Check that every phase is longer than the warm-up.

        Args:
            images: of the training split, or more.
            batch_size: images per step.
            epochs: of each phase.

        Raises:
            ConfigError: a phase has no step after the warm-up.
        """
        steps = min(epochs) * -(-images // batch_size)
        if self.warmup_steps and self.warmup_steps >= steps:
            raise ConfigError(
                "training.warmup_steps",
                self.warmup_steps,
                f"a phase of {min(epochs)} epochs has at most {steps} steps ({images} images, batch_size "
                f"{batch_size}); warm-up must be shorter",
            )


class SessionSettings(Section):
    """Everything that a training session is configured by; field names are the pipeline's parameter names."""

    head: HeadConfig = Field(description="the layers on top of the backbone")
    training: TrainingConfig = Field(description="optimizer, schedule, loss, early stopping, checkpoints")
    augment: AugmentConfig = Field(description="random changes to training images")
    cache: CacheConfig = Field(description="what is kept of the frozen prefix")
    epochs: Integer = Field(description="passes over the training split in the first phase")
    batch_size: Integer = Field(description="images per step, over all replicas")
    learning_rate: Number = Field(description="step size of the optimizer in the first phase")
    seed: Integer = Field(description="seed of the head, shuffling, dropout and augmentation")
    store: str = Field(description="root of the store: a directory or gs://")
