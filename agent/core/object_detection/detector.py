"""Looks at one picture through the network, around what moved.

The network knows the 80 classes of COCO. This module selects the classes that count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from agent.core.media import Luma, Picture
from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import OBJECTS_PX, decode, suppress
from agent.core.object_detection.labels import Box, Detection, ObjectLabel
from agent.core.object_detection.letterbox import WHOLE, fit, surroundings

__all__ = ["CLASSES", "LEAST_SCORE", "Answer", "ObjectDetector"]

Answer = Callable[[Pixels], Numbers]
"""A network: pixels in; one row for each cell out."""

CLASSES: Final[Mapping[ObjectLabel, tuple[int, ...]]] = {
    ObjectLabel.PERSON: (0,),
    ObjectLabel.VEHICLE: (1, 2, 3, 5, 7),  # bicycle, car, motorcycle, bus, truck
    ObjectLabel.ANIMAL: (14, 15, 16, 17, 18, 19, 21),  # bird, cat, dog, horse, sheep, cow, bear
}
"""Places in the list of COCO's 80 classes. COCO has no class for a parcel."""

LEAST_SCORE: Final = 0.4
"""Lower scores are noise. `LabelVotes` decides over several inferences. bench/LABELS.md says on which footage the score
was chosen."""

_MOST_OVERLAP: Final = 0.5


class ObjectDetector:
    """`objects`: the network."""

    def __init__(self, objects: Answer) -> None:
        self._objects = objects

    def detect(self, picture: Luma | Picture, moved: Box | None = None) -> tuple[Detection, ...]:
        """Returns the objects around `moved`, or anywhere in the picture if nothing moved. `picture` is only read.

        Raises the network's errors, and `FormatError`.
        """
        height_px, width_px = picture.shape[:2]
        region = WHOLE if moved is None else surroundings(moved, width_px, height_px)
        pixels, placing = fit(picture, OBJECTS_PX, region)
        answer = self._objects(pixels)
        found = [
            (label, placing.back(box), score)
            for label, classes in CLASSES.items()
            for box, score in suppress(decode(answer, classes, LEAST_SCORE), _MOST_OVERLAP)
        ]
        return tuple(Detection(label, score, box) for label, box, score in found if box is not None)
