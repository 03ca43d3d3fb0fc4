// The messages the page reads and writes, as PROTOCOL.md and FORMAT.md list them.
//
// agreement.ts holds what they give against the device's own messages (generated.d.ts): the type check fails if a field
// is called otherwise here and there.

/** @import * as Wire from "./generated.js" */
/** @import { Checker } from "./schema.js" */

import { FormatError, PageError } from "../errors.js";
import { isArea, isPoint } from "./area.js";
import {
  MAX_BASIS_CHARACTERS,
  MAX_CASE_CHARACTERS,
  MAX_CLIPS,
  MAX_CONTACT_CHARACTERS,
  MAX_DESCRIPTION_CHARACTERS,
  MAX_GAPS,
  MAX_NAME_CHARACTERS,
  MAX_PARTS,
  MAX_SEGMENTS,
  MAX_SETTING_CHARACTERS,
  MAX_TIMESTAMP_LIFE_S,
  MAX_TITLE_CHARACTERS,
  RANGES,
} from "./bounds.js";
import { INCIDENTS, KINDS, ONWARD } from "./kinds.js";
import { LABELS } from "./labels.js";
import {
  also,
  anyText,
  base64Text,
  count,
  distinct,
  flag,
  hexId,
  hybridRecipient,
  integer,
  keyId,
  keyText,
  label,
  list,
  mldsaSignature,
  mldsaText,
  object,
  one,
  pair,
  plainText,
  recipient,
  segmentId,
  sequence,
  sha256Text,
  shortText,
  tagged,
  text,
  trustKeyText,
  utcMs,
  utcS,
  version1,
} from "./schema.js";
import { isPlain } from "./text.js";

export {
  BUNDLE_ENVELOPE_LIMIT,
  BUNDLE_LIMIT,
  PACKAGE_LIMIT,
  ROOT_ENVELOPE_LIMIT,
  STATEMENT_ENVELOPE_LIMIT,
  STATEMENT_LIMIT,
} from "./bounds.js";

const EMAIL = /^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}$/;
const email = text(EMAIL);
const contact = also(
  object({ name: plainText(MAX_NAME_CHARACTERS) }, { email, phone: text(/^\+?[0-9][0-9 ]{2,30}[0-9]$/) }),
  (value) => value.email !== undefined || value.phone !== undefined,
);
const onward = also(
  object({ to: list(one(...ONWARD), 0, ONWARD.length) }, { basis: plainText(MAX_BASIS_CHARACTERS) }),
  ({ to }) => to.every((kind, i) => i === 0 || to[i - 1] < kind),
);
const language = text(/^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$/);
export const footageRequest = also(
  object({
    v: version1,
    id: hexId,
    requester: label,
    seq: sequence,
    trust_root: keyId,
    kind: one(...KINDS),
    case: plainText(MAX_CASE_CHARACTERS),
    incident: one(...INCIDENTS),
    description: plainText(MAX_DESCRIPTION_CHARACTERS),
    area: isArea,
    from: utcS,
    to: utcS,
    not_after: utcS,
    reply: hybridRecipient,
    contact,
    retention_days: integer(...RANGES["FootageRequest.retention_days"]),
    onward,
    language,
  }),
  (request) => request.from < request.to,
);

/**
 * An owner's contact card. Checked here by the rules that its requester will apply.
 *
 * @param {Omit<Wire.ContactCard, "v">} value
 * @returns {Wire.ContactCard}
 */
export function contactCard(value) {
  for (const [words, most] of /** @type {const} */ ([
    [value.name, 100],
    [value.street, 200],
    [value.note, 500],
  ])) {
    if (words !== undefined && !isPlain(words, most)) throw new PageError("error.contact-words");
  }
  if (value.email !== undefined && !EMAIL.test(value.email)) throw new PageError("error.contact-email");
  return { v: 1, ...value };
}

const enrolmentShape = object(
  {
    v: version1,
    device: keyText,
    owner_time_ms: utcMs,
    nonce: hexId,
    epoch: integer(...RANGES["Enrolment.epoch"]),
    recipients: list(object({ name: label, recipient }), ...RANGES["Enrolment.recipients"]),
    approvers: list(object({ name: label, key: keyText, mldsa: mldsaText }), ...RANGES["Enrolment.approvers"]),
    recovery: recipient,
    device_mldsa: sha256Text,
  },
  { previous: sha256Text },
  { approvals_needed: one(1, 2) },
);

/**
 * @param {unknown} value
 */
export function enrolment(value) {
  const found = enrolmentShape(value);
  distinct(
    found.recipients.map((each) => each.name),
    "recipients",
  );
  distinct([...found.recipients.map((each) => each.recipient), found.recovery], "recipients");
  distinct(
    found.approvers.map((each) => each.name),
    "approvers",
  );
  distinct([...found.approvers.map((each) => each.key), found.device], "approvers");
  distinct(
    found.approvers.map((each) => each.mldsa),
    "approvers",
  );
  if ((found.approvals_needed ?? 1) > found.approvers.length)
    throw new FormatError("error.format", { what: "approvals_needed" });
  if ((found.previous === undefined) !== (found.epoch === 1))
    throw new FormatError("error.format", { what: "previous" });
  return found;
}

const redactedFile = object({ payload_sha256: sha256Text, key: sha256Text });
const sealedItem = object(
  { id: segmentId, payload_sha256: sha256Text, header_sha256: sha256Text },
  { redacted: redactedFile },
);
const REASONS = /** @type {const} */ ([
  "no longer kept",
  "no longer known",
  "privacy switch",
  "switched off",
  "camera lost",
  "camera covered",
  "storage failed",
  "nothing happened",
  "clock unknown",
  "device off",
  "not known yet",
]);
const absence = object({ from_ms: count, to_ms: count, reason: one(...REASONS) });
/** Ascending in time, each longer than zero. */
export const absences = also(list(absence, 0, MAX_GAPS), (gaps) =>
  gaps.every((gap, i) => gap.from_ms < gap.to_ms && (i === 0 || gaps[i - 1].to_ms <= gap.from_ms)),
);
const clipTold = object({ from_ms: count, to_ms: count, segments: integer(1, MAX_SEGMENTS) });
const items = list(sealedItem, 0, MAX_SEGMENTS);
const approvalShape = object(
  {
    v: version1,
    device: keyText,
    owner_time_ms: utcMs,
    nonce: hexId,
    request: sha256Text,
    reply: hybridRecipient,
    segments: items,
  },
  {
    contact: also(base64Text, (value) => value.length <= MAX_CONTACT_CHARACTERS),
    gaps: absences,
    clips: list(clipTold, 1, MAX_CLIPS),
  },
  { posters: items, sounds: items },
);

/**
 * @param {unknown} value
 */
export function approval(value) {
  const found = approvalShape(value);
  const [segments, posters, sounds] = [found.segments, found.posters ?? [], found.sounds ?? []];
  if (!segments.length && !posters.length && !found.clips?.length)
    throw new FormatError("error.format", { what: "segments" });
  for (const named of [segments, posters, sounds])
    distinct(
      named.map((each) => each.id),
      "segments",
    );
  distinct(
    (found.clips ?? []).map((clip) => `${clip.from_ms} ${clip.to_ms} ${clip.segments}`),
    "clips",
  );
  const shared = new Set(segments.map((each) => each.id));
  if (sounds.some((each) => !shared.has(each.id))) throw new FormatError("error.format", { what: "sounds" });
  // Two items under one header would share a file key, and opening one would open the other.
  distinct(
    [...segments, ...posters, ...sounds].map((each) => each.header_sha256),
    "header_sha256",
  );
  distinct(
    [...segments, ...sounds].flatMap((each) => each.redacted?.payload_sha256 ?? []),
    "redacted",
  );
  // The still shows what the owner covered in the film.
  const covered = new Set(segments.filter((each) => each.redacted).map((each) => each.id));
  if (posters.some((each) => each.redacted || covered.has(each.id)))
    throw new FormatError("error.format", { what: "posters" });
  return found;
}

const statement = { v: version1, device: keyText, owner_time_ms: utcMs, nonce: hexId };
const sealedText = also(base64Text, (value) => value.length <= MAX_CONTACT_CHARACTERS);
const tipShape = object(
  { ...statement, tip: hexId, trust_root: keyId, requester: label, reply: hybridRecipient },
  { message: sealedText },
  { segments: items, posters: items },
);

/**
 * @param {unknown} value
 */
export function tip(value) {
  const found = tipShape(value);
  const [segments, posters] = [found.segments ?? [], found.posters ?? []];
  if (found.message === undefined && !segments.length && !posters.length)
    throw new FormatError("error.format", { what: "message" });
  for (const named of [segments, posters])
    distinct(
      named.map((each) => each.id),
      "segments",
    );
  distinct(
    [...segments, ...posters].map((each) => each.header_sha256),
    "header_sha256",
  );
  if ([...segments, ...posters].some((each) => each.redacted))
    throw new FormatError("error.format", { what: "redacted" });
  return found;
}

export const coApproval = object({ ...statement, request: sha256Text, approval: sha256Text });

const roots = list(trustKeyText, ...RANGES["TrustChange.roots_added"]);
const trustChangeShape = object(statement, {}, { roots_added: roots, roots_removed: roots });

/**
 * @param {unknown} value
 */
export function trustChange(value) {
  const found = trustChangeShape(value);
  const named = [...(found.roots_added ?? []), ...(found.roots_removed ?? [])];
  if (!named.length) throw new FormatError("error.format", { what: "roots_added" });
  distinct(named, "roots_added");
  return found;
}

const minute = integer(...RANGES["QuietHoursSetting.begins_minute"]);
const personHeight = integer(...RANGES["Settings.smallest_person"]);
const percent = integer(...RANGES["Settings.sensitivity_percent"]);
const tenThousandth = integer(0, 10_000);
const settingsShape = object(
  { v: version1, device: keyText, owner_time_ms: utcMs, nonce: hexId },
  {
    previous: sha256Text,
    name: plainText(MAX_SETTING_CHARACTERS),
    position: isPoint,
    sensitivity_percent: percent,
    smallest_person: personHeight,
    zones: list(
      object(
        {
          name: plainText(MAX_SETTING_CHARACTERS),
          kind: one("include", "exclude", "privacy"),
          corners: list(pair(tenThousandth), ...RANGES["ZoneSetting.corners"]),
        },
        {},
        { sensitivity_percent: percent, smallest_person: personHeight },
      ),
      ...RANGES["Settings.zones"],
    ),
    max_bytes: integer(...RANGES["Settings.max_bytes"]),
    max_age_days: integer(...RANGES["Settings.max_age_days"]),
    quiet: object({ begins_minute: minute, ends_minute: minute }),
    private: list(
      object({
        days: also(
          list(integer(0, 6), ...RANGES["PrivateHoursSetting.days"]),
          (days) => new Set(days).size === days.length,
        ),
        begins_minute: minute,
        ends_minute: minute,
      }),
      ...RANGES["Settings.private"],
    ),
    updates: one("ask", "security"),
  },
);

/**
 * @param {unknown} value
 */
export function settings(value) {
  const found = settingsShape(value);
  distinct(
    (found.zones ?? []).map((zone) => zone.name),
    "zones",
  );
  return found;
}

const partNumber = integer(0, MAX_PARTS);
// One spelling for any set: ascending, with space between any two.
/** @type {(spans: [number, number][], apart: number) => boolean} */
const ascending = (spans, apart) => spans.every(([first], i) => i === 0 || first > spans[i - 1][1] + apart);
const partRange = also(pair(partNumber), ([first, last]) => first <= last);
const span64 = also(pair(count), ([start, end]) => start < end);
const partMissing = object({
  part: partNumber,
  missing: also(list(span64, ...RANGES["PartMissing.missing"]), (spans) => ascending(spans, 0)),
});
const receiptShape = object(
  {
    v: version1,
    disclosure: hexId,
    requester: label,
    trust_root: keyId,
    seq: sequence,
    state: one("partial", "complete", "refused"),
  },
  {
    request: hexId,
    manifest: sha256Text,
    retention_days: integer(...RANGES["Receipt.retention_days"]),
    time_s: utcS,
    question: sequence,
  },
  {
    stored: also(list(partRange, ...RANGES["Receipt.stored"]), (spans) => ascending(spans, 1)),
    incomplete: list(partMissing, ...RANGES["Receipt.stored"]),
    unopened: also(list(partRange, ...RANGES["Receipt.stored"]), (spans) => ascending(spans, 1)),
  },
);
export const receipt = also(
  receiptShape,
  ({ state, request, manifest, stored = [], incomplete = [], unopened = [] }) => {
    const parts = incomplete.map((each) => each.part);
    return (
      new Set(parts).size === parts.length &&
      !parts.some((part) => stored.some(([first, last]) => first <= part && part <= last)) &&
      (state !== "complete" || (manifest !== undefined && !parts.length)) &&
      (!unopened.length || (state === "complete" && unopened[0][0] > 0)) &&
      (state === "partial" || request !== undefined)
    );
  },
);
export const deletion = object({
  v: version1,
  request: hexId,
  requester: label,
  trust_root: keyId,
  seq: sequence,
  deleted_s: utcS,
});
export const bulletin = object(
  {
    v: version1,
    id: hexId,
    requester: label,
    trust_root: keyId,
    seq: sequence,
    title: plainText(MAX_TITLE_CHARACTERS),
    description: plainText(MAX_DESCRIPTION_CHARACTERS),
    language,
    not_after: utcS,
  },
  { area: isArea },
);

export const ownerCard = object({
  v: version1,
  name: label,
  recipient,
  approver: keyText,
  approver_mldsa: mldsaText,
  recovery: recipient,
});

const bound = integer(0, 2 ** 40);
const isRegion = also(
  object({ south_west: isPoint, north_east: isPoint }),
  ({ south_west: low, north_east: high }) => low.lat <= high.lat && low.lon <= high.lon,
);
const requesterEntry = object(
  {
    id: label,
    name: plainText(MAX_NAME_CHARACTERS),
    kind: one(...KINDS),
    keys: list(
      also(
        object({ key: keyText, from_s: utcS, until_s: utcS }, {}, { revoked: flag }),
        (key) => key.from_s <= key.until_s,
      ),
      ...RANGES["RequesterEntry.keys"],
    ),
    regions: list(isRegion, ...RANGES["RequesterEntry.regions"]),
  },
  { tips: hybridRecipient },
  {
    limits: object(
      {},
      {
        window_min_s: bound,
        window_max_s: bound,
        look_back_max_s: bound,
        area_min_m2: bound,
        area_max_m2: bound,
        life_max_s: bound,
        retention_max_days: bound,
        requests_per_case: bound,
        requests_per_requester_per_day: bound,
      },
    ),
  },
);
const cellText = also(text(/^(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,2})$/), (cell) => {
  const [row, column] = cellPlace(cell);
  return row < 360 && column < 720;
});
const cellRange = also(
  object({ south_west: cellText, north_east: cellText }),
  ({ south_west: low, north_east: high }) => cellPlace(low).every((first, i) => first <= cellPlace(high)[i]),
);
const bundleShape = object(
  {
    v: version1,
    root: keyId,
    version: sequence,
    issued_s: utcS,
    requesters: list(requesterEntry, 0, 1024),
  },
  { directory_sha256: sha256Text },
  { sections: list(object({ cells: cellRange, sha256: sha256Text }), ...RANGES["TrustBundle.sections"]) },
);
export const trustSection = object({ v: version1, requesters: list(requesterEntry, 1, 1024) });

/**
 * Row and column of a cell.
 *
 * @param {string} cell
 */
export function cellPlace(cell) {
  return cell.split("-").map(Number);
}

/**
 * Folds case as Unicode's full folding does: "ß" is "ss".
 *
 * @param {string} name
 */
const folded = (name) => name.toLowerCase().toUpperCase().toLowerCase();

/**
 * @param {unknown} value
 */
export function trustBundle(value) {
  const bundle = bundleShape(value);
  distinct(
    (bundle.sections ?? []).map((each) => each.sha256),
    "sections",
  );
  return distinctRequesters(bundle);
}

/**
 * Throws if two requesters of a bundle share an id, a name or a key.
 *
 * @param {Wire.TrustBundle} bundle
 */
export function distinctRequesters(bundle) {
  distinct(
    bundle.requesters.map((each) => each.id),
    "requesters",
  );
  distinct(
    bundle.requesters.map((each) => folded(each.name)),
    "requesters.name",
  );
  distinct(
    bundle.requesters.flatMap((each) => each.keys.map((key) => key.key)),
    "requesters.keys",
  );
  return bundle;
}

const rootShape = also(
  object({
    v: version1,
    root: keyId,
    version: sequence,
    issued_s: utcS,
    expires_s: utcS,
    keys: list(trustKeyText, ...RANGES["RootFile.keys"]),
    threshold: integer(...RANGES["RootFile.threshold"]),
    timestamp_keys: list(trustKeyText, ...RANGES["RootFile.timestamp_keys"]),
  }),
  (file) => file.threshold <= file.keys.length && file.issued_s < file.expires_s,
);

/**
 * @param {unknown} value
 */
export function rootFile(value) {
  const file = rootShape(value);
  // Neither half of a pair may be in another pair: one person would count twice then.
  const halves = [...file.keys, ...file.timestamp_keys].map((each) => each.split("+"));
  for (const half of [0, 1])
    distinct(
      halves.map((each) => each[half]),
      "keys",
    );
  return file;
}

export const trustTimestamp = also(
  object({
    v: version1,
    root: keyId,
    version: sequence,
    issued_s: utcS,
    expires_s: utcS,
    root_version: sequence,
    root_sha256: sha256Text,
    bundle_version: sequence,
    bundle_sha256: sha256Text,
  }),
  ({ issued_s: from, expires_s: to }) => from < to && to <= from + MAX_TIMESTAMP_LIFE_S,
);

export const trustPackage = object(
  {
    v: version1,
    roots: list(anyText, ...RANGES["TrustPackage.roots"]),
    bundle: anyText,
    timestamp: anyText,
  },
  {},
  { sections: list(anyText, ...RANGES["TrustPackage.sections"]) },
);

const quality = one("synced", "held", "unknown");
const anyMs = integer(-(2 ** 45), 2 ** 45);
const span = object({ boot: hexId, start_us: count, end_us: count, utc_ms: anyMs, quality });
const stamp = object({ boot: hexId, at_us: count, utc_ms: anyMs, quality });
const sealed = object({ size: sequence, header_size: sequence, sha256_header: sha256Text, sha256_payload: sha256Text });
const recordLabel = shortText(64);
export const begin = object(
  {
    segment: segmentId,
    event: segmentId,
    ordinal: count,
    boot: hexId,
    start_us: count,
    until_us: count,
    utc_ms: anyMs,
    quality,
  },
  { v: integer(1, 1), label: recordLabel },
);

export const segmentRecord = object(
  {
    kind: one("segment"),
    id: segmentId,
    event: segmentId,
    ordinal: count,
    span,
    epoch: count,
    file: sealed,
    key: sha256Text,
  },
  {
    poster: object({ file: sealed, key: sha256Text }),
    label: recordLabel,
    sound: object({ file: sealed, key: sha256Text }),
    silence: one("microphone absent"),
    prev_in_clip: sha256Text,
  },
);
export const recoveredRecord = object(
  { kind: one("recovered"), begin, complete: flag, file: sealed, at: stamp },
  { poster_file: sealed, sound_file: sealed },
);
export const manifestPayload = object(
  {
    seq: count,
    prev: sha256Text,
    record: tagged("kind", {
      segment: segmentRecord,
      recovered: recoveredRecord,
      evicted: object({ kind: one("evicted"), segments: list(segmentId, 1, 64), reason: anyText, at: stamp }),
      gap: object({ kind: one("gap"), reason: anyText, span }),
      boot: object({ kind: one("boot"), device: keyId, device_mldsa: mldsaText, epoch: count, at: stamp }),
      chapter: object(
        { kind: one("chapter"), number: count, oldest: count, device: keyId, device_mldsa: mldsaText, at: stamp },
        { carried: object({ size: count, sha256: sha256Text }) },
      ),
    }),
  },
  { v: version1 },
);
// The second signature, `mldsa`, says something only about a whole manifest. The page reads records one by one.
export const manifestLine = object({ payload: base64Text, sig: base64Text }, { mldsa: mldsaSignature });

export const liveContext = object(
  { device: keyId, span },
  { v: version1, continues: one(true), sound: object({ size: sequence, start_us: count }) },
);
const areLabels = list(one(...LABELS), 0, LABELS.length);
// Each once and in this order: one spelling for one meaning.
/** @type {Checker<Wire.ObjectLabel[]>} */
const labels = (value, place) => {
  const seen = areLabels(value, place);
  if (seen.some((each, i) => LABELS.indexOf(each) <= LABELS.indexOf(seen[i - 1])))
    throw new FormatError("error.format", { what: place });
  return seen;
};
export const context = object(
  {
    kind: one("segment", "poster", "sound"),
    device: keyId,
    segment: segmentId,
    event: segmentId,
    ordinal: count,
    span,
    media_bytes: count,
  },
  { v: integer(1, 1), label: recordLabel, seen: labels },
);

const reason = shortText(48);
// Accepts any kind of entry, so that an unknown one cannot hide the others.
export const ledgerEntry = object(
  { v: version1, kind: shortText(32), boot: hexId, boot_us: count, utc_ms: utcMs, clock: quality },
  {
    request: hexId,
    requester: label,
    disclosure: hexId,
    subject: sha256Text,
    segments: count,
    size_bytes: count,
    version: sequence,
    reason,
  },
);
