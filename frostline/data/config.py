"""Which images are used, how they are split and how training images are varied: as configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from frostline.section import Fraction, Integer, Section, as_tuple


class DataConfig(Section):
    """Which images of the source are used, and how they are split."""

    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(
        (), description="labels to keep, in this order; empty: all, sorted by name"
    )
    train_examples_per_class: Integer = Field(
        0, ge=0, description="images a class in the training split, the first by content hash; 0: all"
    )
    validation_fraction: Fraction = Field(0.1, ge=0.0, description="share of all images used to watch training")
    test_fraction: Fraction = Field(0.2, gt=0.0, description="share of all images used by evaluation only")

    @model_validator(mode="after")
    def _something_to_train_on(self) -> DataConfig:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ValueError("validation_fraction + test_fraction must be below 1")
        return self


class AugmentConfig(Section):
    """Random changes to training images, each a pure function of (seed, view, image)."""

    flip: bool = Field(False, description="mirror left to right, one image in two")
    crop: Fraction = Field(
        0.0, description="largest share of height and width cut away; what is left is scaled up again"
    )
    colour: Fraction = Field(
        0.0, description="largest relative change of brightness, of contrast and of saturation; 0.2: factors 0.8 to 1.2"
    )
    views: Annotated[Integer, Field(ge=0)] = Field(
        0, description="variants of each image, taken in turn, so that a feature cache can hold them; 0: one an epoch"
    )

    @property
    def active(self) -> bool:
        """Whether any image is changed."""
        return self.flip or self.crop > 0 or self.colour > 0

    @model_validator(mode="after")
    def _views_of_something(self) -> AugmentConfig:
        if self.views and not self.active:
            raise ValueError(f"views: {self.views} variants of images that nothing changes; set flip, crop or colour")
        return self
