"""The first problem of a value that does not fit its model: where, what was received, and what is expected."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from frostline.section import Problem, first_problem


class Inner(BaseModel):
    model_config = ConfigDict(strict=True)
    count: Annotated[int, Field(ge=0)] = 0
    names: Annotated[list[str], Field(min_length=1)] = ["a"]
    pairs: Annotated[list[int], Field(min_length=2)] = [1, 2]
    size: tuple[int, int] = (1, 1)


class Outer(BaseModel):
    rows: list[Inner] = []

    @model_validator(mode="after")
    def _has_few_rows(self):
        if len(self.rows) > 1:
            raise ValueError("Expected one row at most")
        return self


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"rows": [{"count": -1}]}, Problem("rows.0.count", -1, "input should be greater than or equal to 0")),
        ({"rows": [{"count": "1"}]}, Problem("rows.0.count", "1", "input should be a valid integer")),
        ({"rows": [{"names": []}]}, Problem("rows.0.names", [], "expected at least one item")),
        ({"rows": [{"pairs": [1]}]}, Problem("rows.0.pairs", [1], "expected at least 2 items")),
        ({"rows": [{"size": 3}]}, Problem("rows.0.size", 3, "expected a list")),
        ({"rows": [3]}, Problem("rows.0", 3, "expected a mapping")),
        ({"rows": [{}, {}]}, Problem("", {"rows": [{}, {}]}, "expected one row at most")),
        (
            {"rows": [{"count": -1, "names": []}]},
            Problem("rows.0.count", -1, "input should be greater than or equal to 0"),
        ),
    ],
)
def test_the_first_problem_has_its_place_what_was_received_and_what_is_expected(value, problem):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(value)
    assert first_problem(caught.value) == problem
