"""The contract of a model that takes seconds or minutes: it runs in steps, as a job."""

from abc import abstractmethod
from collections.abc import Generator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from PIL import Image
from pydantic import BaseModel

from project.models.base.model import Declared, Model, P

R = TypeVar("R", bound=BaseModel | Image.Image)


class LongModel(Declared, Generic[P, R]):
    """Named images in, one result out, step by step: a job that reports its progress.

    Several jobs may run at once, so `steps` must not change the model. A job whose worker died runs
    again from its beginning, so `steps` must have no effect but its result.
    """

    images: ClassVar[tuple[str, ...]] = ("image",)  # their names; () for none
    result: ClassVar[type[BaseModel] | type[Image.Image]]  # a picture is answered as a PNG

    @abstractmethod
    def steps(self, images: Mapping[str, Image.Image], params: P) -> Generator[float, None, R]:
        """Do the work in steps; after each but the last yield the share done, 0 to 1, growing.

        images: an RGB image, upright and at least MIN_IMAGE_SIDE a side, for each name in `images`.
        Where it yields, the job reports, is cancelled or ends at its time limit: a step that takes
        long delays all three. Raises InvalidInput for an input that cannot be used.
        """


AnyModel = Model[Any, Any] | LongModel[Any, Any]
