"""Looks at one picture through two networks: objects first, and near faces when no person was among them.

A visitor who fills the picture has no body that the object network knows; their face it is, that the other one finds.
Which of the object network's 24 classes count as what is said here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from agent.core.media import Luma, Picture
from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import FACES_PX, OBJECTS_PX, decode_faces, decode_objects, suppress
from agent.core.object_detection.labels import Box, Detection, ObjectLabel
from agent.core.object_detection.letterbox import WHOLE, fit, surroundings

__all__ = ["CLASSES", "LEAST_SCORE", "Answer", "ObjectDetector"]

Answer = Callable[[Pixels], tuple[Numbers, Numbers]]
"""A network: pixels in; boxes and logits out, one row for each anchor."""

CLASSES: Final[Mapping[ObjectLabel, tuple[int, ...]]] = {
    ObjectLabel.PERSON: (4,),
    ObjectLabel.VEHICLE: (1, 18, 23),  # Bicycle, Vehicle, Car
    ObjectLabel.ANIMAL: (6, 8, 20),  # Cattle, Cat, Dog
    ObjectLabel.PARCEL: (11,),  # Box
}
"""Their places in the network's own list, which stands in front of it in its package."""

LEAST_SCORE: Final = 0.4
"""Lower scores are noise: leaves in the wind reach 0.38. `votes.py` decides over several inferences. bench/LABELS.md
says on which footage the score was chosen."""

_LEAST_FACE: Final = 0.6
_MOST_OVERLAP: Final = 0.5


class ObjectDetector:
    """`objects` and `faces`: None leaves near faces out."""

    def __init__(self, objects: Answer, faces: Answer | None = None) -> None:
        self._objects = objects
        self._faces = faces

    def detect(self, picture: Luma | Picture, moved: Box | None = None) -> tuple[Detection, ...]:
        """Returns the objects around `moved`, or anywhere in the picture if nothing moved. `picture` is only read.

        Raises the network's errors, and `FormatError`.
        """
        height_px, width_px = picture.shape[:2]
        region = WHOLE if moved is None else surroundings(moved, width_px, height_px)
        pixels, placing = fit(picture, OBJECTS_PX, region)
        boxes, logits = self._objects(pixels)
        found = [
            (label, placing.back(box), score)
            for label, classes in CLASSES.items()
            for box, score in suppress(decode_objects(boxes, logits, classes, LEAST_SCORE), _MOST_OVERLAP)
        ]
        if self._faces is not None and not any(label is ObjectLabel.PERSON for label, _box, _score in found):
            faces = self._detect_near_faces(picture, region, self._faces)
            found += [(ObjectLabel.PERSON, box, score) for box, score in faces]
        return tuple(Detection(label, score, box) for label, box, score in found if box is not None)

    @staticmethod
    def _detect_near_faces(picture: Luma | Picture, region: Box, faces: Answer) -> list[tuple[Box | None, float]]:
        pixels, placing = fit(picture, FACES_PX, region)
        boxes, logits = faces(pixels)
        return [
            (placing.back(box), score)
            for box, score in suppress(decode_faces(boxes, logits, _LEAST_FACE), _MOST_OVERLAP)
        ]
