// Labels of object detection (agent/core/object_detection/labels.py).
export const LABELS = /** @type {const} */ (["person", "vehicle", "animal", "parcel"]);
