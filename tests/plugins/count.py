"""count: a number as an object, from parameters alone, as a job."""

from pydantic import BaseModel

from project.models.base import NO_WEIGHTS, Field, NoInputs, Params, StepModel, Steps


class To(Params):
    """Where to stop."""

    to: int = Field(ge=1, examples=[3])


class Counted(BaseModel):
    """The numbers."""

    numbers: list[int]
    title: str


class Count(StepModel[NoInputs, Counted, To]):
    """Counts."""

    version, licence, summary = "1.0.0", "MIT", "Counts."
    weights, background = NO_WEIGHTS, True

    def steps(self, inputs: NoInputs, params: To) -> Steps[Counted]:
        for number in range(1, params.to):
            yield number / params.to
        return Counted(numbers=list(range(1, params.to + 1)), title="numbers")
