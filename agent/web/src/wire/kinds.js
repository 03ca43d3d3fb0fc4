// Kinds of requesters and of incidents, as PROTOCOL.md lists them.  A module by itself: the pages need these lists, and
// not the readers of the messages, which would make the page larger.
export const KINDS = /** @type {const} */ (["police", "fire", "insurer", "neighbour", "court", "defence"]);
export const INCIDENTS = /** @type {const} */ ([
  "assault",
  "burglary",
  "fire",
  "fraud",
  "missing-person",
  "parcel-theft",
  "robbery",
  "theft",
  "traffic",
  "trespass",
  "vandalism",
  "vehicle-crime",
  "other",
]);
