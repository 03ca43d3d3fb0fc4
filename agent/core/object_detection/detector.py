"""Looks at one picture through two networks: objects first, and near faces when no person was among them.

A visitor who fills the picture has no body that the object network knows; their face it is, that the other one finds.
Which of the object network's 24 classes count as what is said here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from agent.core.media import Luma
from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import FACES_PX, OBJECTS_PX, decode_faces, decode_objects, suppress
from agent.core.object_detection.labels import Box, Detection, ObjectLabel
from agent.core.object_detection.letterbox import fit

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

LEAST_SCORE: Final = 0.3
"""Lower scores are noise. `votes.py` decides over several inferences."""

_LEAST_FACE: Final = 0.6
_MOST_OVERLAP: Final = 0.5


class ObjectDetector:
    """`objects` and `faces`: None leaves near faces out."""

    def __init__(self, objects: Answer, faces: Answer | None = None) -> None:
        self._objects = objects
        self._faces = faces

    def detect(self, luma: Luma) -> tuple[Detection, ...]:
        """Returns the objects in the picture. `luma` is only read. Raises the network's errors, and `FormatError`."""
        pixels, placing = fit(luma, OBJECTS_PX)
        boxes, logits = self._objects(pixels)
        found = [
            (sight, placing.back(box), score)
            for sight, classes in CLASSES.items()
            for box, score in suppress(decode_objects(boxes, logits, classes, LEAST_SCORE), _MOST_OVERLAP)
        ]
        if self._faces is not None and not any(sight is ObjectLabel.PERSON for sight, _box, _score in found):
            found += [(ObjectLabel.PERSON, box, score) for box, score in self._detect_near_faces(luma, self._faces)]
        return tuple(Detection(sight, score, box) for sight, box, score in found if box is not None)

    @staticmethod
    def _detect_near_faces(luma: Luma, faces: Answer) -> list[tuple[Box | None, float]]:
        pixels, placing = fit(luma, FACES_PX)
        boxes, logits = faces(pixels)
        return [
            (placing.back(box), score)
            for box, score in suppress(decode_faces(boxes, logits, _LEAST_FACE), _MOST_OVERLAP)
        ]
