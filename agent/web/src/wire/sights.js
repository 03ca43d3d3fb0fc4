// What a second opinion can name (agent/core/opinion/sights.py).
export const SIGHTS = ["person", "vehicle", "animal", "parcel"];
