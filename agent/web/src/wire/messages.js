// The messages the page reads and writes, as PROTOCOL.md and FORMAT.md list them.
import { isArea, isPoint, requireMeasurable } from "./area.js";
import {
  anyText, base64Text, count, distinct, flag, hexId, hybridRecipient, integer, keyId, keyText, label, list, object, one,
  recipient, segmentId, sequence, sha256Text, shortText, tagged, text, utcMs, utcS, version1, MAX_INTEGER,
} from "./schema.js";
import { FormatError, PageError } from "../errors.js";
import { SIGHTS } from "./sights.js";
import { isPlain } from "./text.js";

export const KINDS = ["police", "fire", "insurer", "neighbour", "court", "defence"];
export const INCIDENTS = [
  "assault", "burglary", "fire", "fraud", "missing-person", "parcel-theft", "robbery", "theft", "traffic", "trespass",
  "vandalism", "vehicle-crime", "other",
];
export const STATEMENT_LIMIT = 4 << 20;
export const STATEMENT_ENVELOPE_LIMIT = 6 << 20;
export const BUNDLE_LIMIT = 1 << 20;
export const BUNDLE_ENVELOPE_LIMIT = 3 << 19;

const EMAIL = /^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}$/;
const email = text(EMAIL);
const requestShape = object({
  v: version1, id: hexId, requester: label, seq: sequence, audience: keyId, kind: one(...KINDS), case: shortText(64),
  incident: one(...INCIDENTS), description: shortText(500), area: isArea, from: utcS, to: utcS, not_after: utcS,
  reply: hybridRecipient, contact: object({ name: shortText(100) }, { email, phone: shortText(32) }),
});

/** What an owner says about themselves, as a requester will read it: else it would be none to them. */
export function contactCard(value) {
  const plain = { name: 100, street: 200, note: 500 };
  for (const [field, most] of Object.entries(plain)) {
    if (value[field] !== undefined && !isPlain(value[field], most)) throw new PageError("error.contact-words");
  }
  if (value.email !== undefined && !EMAIL.test(value.email)) throw new PageError("error.contact-email");
  return { v: 1, ...value };
}

export function footageRequest(value) {
  const request = requestShape(value);
  if (request.from >= request.to) throw new FormatError("error.format", { what: "from" });
  requireMeasurable(request.area);
  return request;
}

const enrolmentShape = object(
  {
    v: version1, device: keyText, owner_time_ms: utcMs, nonce: hexId, epoch: integer(1, 256),
    recipients: list(object({ name: label, recipient }), 1, 8), approvers: list(object({ name: label, key: keyText }), 1, 8),
    recovery: recipient,
  },
  { previous: sha256Text, approvals_needed: integer(1, 2) },
);

export function enrolment(value) {
  const found = enrolmentShape(value);
  distinct(found.recipients.map((each) => each.name), "recipients");
  distinct([...found.recipients.map((each) => each.recipient), found.recovery], "recipients");
  distinct(found.approvers.map((each) => each.name), "approvers");
  distinct([...found.approvers.map((each) => each.key), found.device], "approvers");
  if ((found.previous === undefined) !== (found.epoch === 1)) throw new FormatError("error.format", { what: "previous" });
  return found;
}

const sealedItem = object({ id: segmentId, payload_sha256: sha256Text, header_sha256: sha256Text });
const WHY = [
  "no longer kept", "privacy switch", "switched off", "camera lost", "camera covered", "storage failed", "nothing happened",
  "clock unknown", "device off", "not known yet",
];
const absence = object({ from_ms: count, to_ms: count, why: one(...WHY) });
export const absences = list(absence, 0, 4096);
const approvalShape = object(
  {
    v: version1, device: keyText, owner_time_ms: utcMs, nonce: hexId, request: sha256Text, reply: hybridRecipient,
    segments: list(sealedItem, 0, 10_000),
  },
  {
    posters: list(sealedItem, 0, 10_000), sounds: list(sealedItem, 0, 10_000), contact: base64Text, gaps: absences,
    clips: list(object({ from_ms: count, to_ms: count, segments: sequence }), 1, 4096),
  },
);

export function approval(value) {
  const found = approvalShape(value);
  for (const name of ["segments", "posters", "sounds"]) distinct((found[name] ?? []).map((each) => each.id), name);
  return found;
}

const minute = integer(0, 1439);
const percent = integer(10, 1000);
const tenThousandth = integer(0, 10_000);
const settingsShape = object(
  { v: version1, device: keyText, owner_time_ms: utcMs, nonce: hexId },
  {
    previous: sha256Text, name: shortText(64), position: isPoint, sensitivity_percent: percent,
    zones: list(
      object(
        { name: shortText(64), kind: one("include", "exclude", "privacy"), corners: list(list(tenThousandth, 2, 2), 3, 64) },
        { sensitivity_percent: percent, smallest_share: integer(0, 9_999) },
      ),
      0,
      32,
    ),
    max_bytes: integer(10_000_000, 10 ** 15), max_age_days: integer(1, 3650),
    quiet: object({ begins_minute: minute, ends_minute: minute }),
    private: list(object({ days: list(integer(0, 6), 1, 7), begins_minute: minute, ends_minute: minute }), 0, 16),
  },
);

export function settings(value) {
  const found = settingsShape(value);
  distinct((found.zones ?? []).map((zone) => zone.name), "zones");
  return found;
}

export const receipt = object(
  { v: version1, disclosure: hexId, requester: label, audience: keyId, seq: sequence, state: one("partial", "complete", "refused") },
  {
    request: hexId, manifest: sha256Text, stored: list((value) => value), incomplete: list((value) => value),
    retention_days: count, time_s: utcS,
  },
);
export const deletion = object({ v: version1, request: hexId, requester: label, audience: keyId, seq: sequence, deleted_s: utcS });
export const bulletin = object(
  {
    v: version1, id: hexId, requester: label, audience: keyId, seq: sequence, title: shortText(100),
    description: shortText(500), not_after: utcS,
  },
  { area: isArea },
);

export const ownerCard = object({ v: version1, name: label, recipient, approver: keyText, recovery: recipient });

const bound = integer(0, 2 ** 40);
const isRegion = object({ south_west: isPoint, north_east: isPoint });
const bundleShape = object({
  v: version1, root: keyId, version: sequence, issued_s: utcS,
  requesters: list(
    object(
      {
        id: label, name: shortText(100), kind: one(...KINDS),
        keys: list(object({ key: keyText, from_s: utcS, until_s: utcS }, { revoked: flag }), 1, 8),
        regions: list(isRegion, 1, 32),
      },
      {
        limits: object({}, {
          window_min_s: bound, window_max_s: bound, look_back_max_s: bound, area_min_m2: bound, area_max_m2: bound,
          life_max_s: bound, requests_per_case: bound, requests_per_requester_per_day: bound,
        }),
        tips: hybridRecipient,
      },
    ),
    0,
    1024,
  ),
});

export function trustBundle(value) {
  const bundle = bundleShape(value);
  distinct(bundle.requesters.map((each) => each.id), "requesters");
  distinct(bundle.requesters.map((each) => each.name.toLowerCase()), "requesters.name");
  distinct(bundle.requesters.flatMap((each) => each.keys.map((key) => key.key)), "requesters.keys");
  return bundle;
}

const quality = one("synced", "held", "unknown");
const anyMs = integer(-(2 ** 45), 2 ** 45);
const span = object({ boot: hexId, start_us: count, end_us: count, utc_ms: anyMs, quality });
const stamp = object({ boot: hexId, at_us: count, utc_ms: anyMs, quality });
const sealed = object({ size: sequence, header_size: sequence, sha256_header: sha256Text, sha256_payload: sha256Text });
const recordLabel = shortText(64);
export const begin = object(
  { segment: segmentId, event: segmentId, ordinal: count, boot: hexId, start_us: count, until_us: count, utc_ms: anyMs, quality },
  { v: version1, label: recordLabel },
);

export const manifestPayload = object(
  {
    seq: count, prev: sha256Text,
    record: tagged("kind", {
      segment: object(
        { kind: one("segment"), id: segmentId, event: segmentId, ordinal: count, span, epoch: count, file: sealed, key: sha256Text },
        {
          poster: object({ file: sealed, key: sha256Text }), label: recordLabel,
          sound: object({ file: sealed, key: sha256Text }), silence: one("microphone absent"),
          follows: sha256Text,
        },
      ),
      adopted: object({ kind: one("adopted"), begin, complete: flag, file: sealed, at: stamp }, { poster_file: sealed, sound_file: sealed }),
      evicted: object({ kind: one("evicted"), segments: list(segmentId, 1, 64), reason: anyText, at: stamp }),
      gap: object({ kind: one("gap"), reason: anyText, span }),
      boot: object({ kind: one("boot"), device: keyId, epoch: count, at: stamp }),
    }),
  },
  { v: version1 },
);
export const manifestLine = object({ payload: base64Text, sig: base64Text });

export const liveContext = object({ device: keyId, span }, { v: version1 });
const isSights = list(one(...SIGHTS), 0, SIGHTS.length);
/** Each once and in this order: one spelling for one meaning. */
const sights = (value, place) => {
  isSights(value, place);
  if (value.some((each, i) => SIGHTS.indexOf(each) <= SIGHTS.indexOf(value[i - 1]))) throw new FormatError("error.format", { what: place });
  return value;
};
export const context = object(
  {
    kind: one("segment", "poster", "sound"), device: keyId, segment: segmentId, event: segmentId, ordinal: count, span,
    media_bytes: count,
  },
  { v: version1, label: recordLabel, seen: sights },
);

const reason = shortText(48);
export const ledgerEntry = object(
  { v: version1, kind: shortText(32), boot: hexId, boot_us: count, utc_ms: utcMs, clock: quality },
  { request: hexId, requester: label, disclosure: hexId, subject: sha256Text, segments: count, size_bytes: count, version: sequence, reason },
);
