// What a second opinion can name (agent/core/opinion/sights.py).
export const SIGHTS = /** @type {const} */ (["person", "vehicle", "animal", "parcel"]);
