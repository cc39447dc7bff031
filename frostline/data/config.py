"""The `data` and `augment` sections: which images are used, how they are split, how training images are augmented."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from frostline.section import Fraction, Integer, Section, as_tuple

Layout = Literal["auto", "classes", "splits"]


class DataConfig(Section):
    """Which images of the source are used, and how they are split."""

    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(
        (), description="class names to keep, in the order of their indexes; empty keeps all, sorted by name"
    )
    layout: Layout = Field(
        "auto",
        description="what the source's folders are: classes, or given splits (train, val, test) with class folders "
        "inside; auto looks at their names",
    )
    train_examples_per_class: Integer = Field(
        0, ge=0, description="images per class in the training split, chosen by content hash; 0 keeps all"
    )
    validation_fraction: Fraction = Field(
        0.1, ge=0.0, description="fraction of all images in the validation split (0..1), used to monitor training"
    )
    test_fraction: Fraction = Field(
        0.2, gt=0.0, description="fraction of all images in the test split (0..1), used by evaluation only"
    )

    @model_validator(mode="after")
    def _leaves_training_images(self) -> DataConfig:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ValueError("validation_fraction + test_fraction must be below 1")
        return self


class AugmentConfig(Section):
    """Random changes to training images, each a pure function of (seed, view, image)."""

    flip: bool = Field(False, description="mirror images left to right with probability 0.5")
    crop: Fraction = Field(
        0.0, description="largest fraction of height and width that a random crop removes, before it is resized back"
    )
    colour: Fraction = Field(
        0.0, description="largest relative change of brightness, contrast and saturation; 0.2 means factors 0.8 to 1.2"
    )
    views: Annotated[Integer, Field(ge=0)] = Field(
        0, description="variants per image, used in turn, so that features can be cached; 0 makes a new one per epoch"
    )

    @property
    def active(self) -> bool:
        """Whether any image is changed."""
        return self.flip or self.crop > 0 or self.colour > 0

    @model_validator(mode="after")
    def _views_need_a_change(self) -> AugmentConfig:
        if self.views and not self.active:
            raise ValueError(f"views: {self.views} needs flip, crop or colour; without them all variants are equal")
        return self
