// Labels of object detection (agent/core/object_detection/labels.py).
export const LABELS = /** @type {const} */ (["person", "vehicle", "animal", "parcel"]);

/**
 * The words for an event: its kind and its labels. "Motion" is dropped beside a label. An empty list means that object
 * detection ran and is unsure; without it (null), and before the still is opened (undefined), only the kind is known.
 *
 * @param {string} kind
 * @param {readonly string[] | null | undefined} labels
 * @returns {readonly string[]}
 */
export function withLabels(kind, labels) {
  if (!labels) return [kind];
  if (!labels.length) return [kind, "unsure"];
  return [...(kind === "motion" ? [] : [kind]), ...labels];
}
