// Kinds of requesters, of incidents, and of parties that footage may be passed on to, as PROTOCOL.md lists them. A
// separate module: the pages need these lists, and the readers of the messages would make the page larger.
export const KINDS = /** @type {const} */ (["police", "fire", "insurer", "neighbour", "court", "defence"]);
export const INCIDENTS = /** @type {const} */ ([
  "assault",
  "burglary",
  "fire",
  "fraud",
  "lost-pet",
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
/** Parties that a requester may pass footage on to, in the order in which an owner reads them. */
export const ONWARD = /** @type {const} */ ([
  "court",
  "defence",
  "parties",
  "agencies",
  "abroad",
  "contractors",
  "records",
  "appeal",
]);
