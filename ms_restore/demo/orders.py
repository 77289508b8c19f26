"""What a visitor may ask for, checked: names of ours and numbers, never a path."""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field

from ms_restore.degradations.bayer_mosaic import Pattern
from ms_restore.solvers.tasks import Task

_Id = Annotated[str, Field(max_length=64)]
_Sigma = Annotated[float, Field(ge=0, le=100)]


class ImproveOrder(BaseModel):
    """A picture for a model.

    Attributes:
        picture: our name of the upload; empty where a sample is asked for.
        model: a name of the list.
        sigma_255: what a model that is told the noise is told, on a scale of 0 to 255; None
            estimates it.
        ratio: of raw files: how many times as long an exposure is wanted; None: by the file's.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    picture: _Id = ""
    model: Annotated[str, Field(max_length=300)]
    sigma_255: Optional[_Sigma] = None
    ratio: Optional[Annotated[float, Field(ge=1, le=10_000)]] = None


class RestoreOrder(BaseModel):
    """A picture whose degradation is known.

    Attributes:
        picture: our name of the upload; empty where a sample is asked for.
        task: see ``solvers.tasks``.
        shape: of the blur, for the tasks that have one.
        length: of motion blur, in pixels.
        angle: of motion blur, in degrees, counter-clockwise from the horizontal.
        deviation: of Gaussian blur, in pixels.
        radius: of blur out of focus, in pixels.
        scale: of super_resolve.
        pattern: of demosaic.
        mask: our name of the upload that is white where the picture of inpaint is known.
        sigma_255: the picture's noise on a scale of 0 to 255; None: as the task assumes, or an
            estimate.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    picture: _Id = ""
    task: Task
    shape: Literal["motion", "gaussian", "disk"] = "motion"
    length: Annotated[float, Field(ge=1, le=60)] = 15
    angle: Annotated[float, Field(ge=0, le=180)] = 30
    deviation: Annotated[float, Field(ge=0.3, le=10)] = 1.6
    radius: Annotated[float, Field(ge=0.5, le=20)] = 3
    scale: Literal[2, 3, 4] = 2
    pattern: Pattern = "RGGB"
    mask: _Id = ""
    sigma_255: Optional[_Sigma] = None

    def kernel(self) -> Optional[str]:
        """Return the text of the blur, see ``kernels.load``; None for tasks without one."""
        if self.task not in ("deblur", "super_resolve"):
            return None
        return {
            "motion": f"motion:{self.length:g}:{self.angle:g}",
            "gaussian": f"gaussian:{self.deviation:g}",
            "disk": f"disk:{self.radius:g}",
        }[self.shape]
