// Made by `make page-types` from the messages of agent/wire and the records of agent/core.  Do not edit.
//
// `null` in an optional member means absent, and the page's readers take it out (schema.js, `object`).

export interface Absence {
  from_ms: number;
  to_ms: number;
  why: Why;
}

export interface Adopted {
  kind: "adopted";
  begin: Begin;
  complete: boolean;
  file: Sealed;
  poster_file?: Sealed;
  sound_file?: Sealed;
  at: Stamp;
}

export interface Approval {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  request: string;
  reply: string;
  segments: SealedItem[];
  posters?: SealedItem[];
  sounds?: SealedItem[];
  contact?: string;
  gaps?: Absence[];
  clips?: ClipTold[];
}

export interface Begin {
  v?: number;
  segment: string;
  event: string;
  ordinal: number;
  boot: string;
  start_us: number;
  until_us: number;
  utc_ms: number;
  quality: ClockQuality;
  label?: string;
}

export interface Bulletin {
  v: 1;
  id: string;
  requester: string;
  audience: string;
  seq: number;
  title: string;
  description: string;
  not_after: number;
  area?: Polygon | Circle;
}

export interface Circle {
  shape: "circle";
  lat: number;
  lon: number;
  radius_m: number;
}

export interface ClipRecords {
  from_ms: number;
  to_ms: number;
  leaves: string[];
  follows?: string;
}

export interface ClipTold {
  from_ms: number;
  to_ms: number;
  segments: number;
}

export type ClockQuality = "held" | "synced" | "unknown";

export interface Contact {
  name: string;
  email?: string;
  phone?: string;
}

export interface ContactCard {
  v: 1;
  name?: string;
  street?: string;
  email?: string;
  note?: string;
}

export type Content = "poster" | "segment" | "sound";

export interface Context {
  v?: number;
  kind: Content;
  device: string;
  segment: string;
  event: string;
  ordinal: number;
  span: SpansSpan;
  media_bytes: number;
  label?: string;
  seen?: Sight[];
}

export interface Deletion {
  v: 1;
  request: string;
  requester: string;
  audience: string;
  seq: number;
  deleted_s: number;
}

export interface DisclosureManifest {
  v: 1;
  disclosure: string;
  device: string;
  request: string;
  approval: string;
  enrolments: string[];
  records: string[];
  parts: Part[];
  ledger: Ledgered;
  seconding?: string;
  told?: ClipRecords[];
}

export type DisclosuresSpan = [number, number];

export interface DrawnZone {
  name: string;
  kind: ZoneKind;
  corners: [number, number][];
  sensitivity_percent?: number;
  smallest_share?: number;
}

export interface Enrolment {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  epoch: number;
  recipients: NamedRecipient[];
  approvers: NamedKey[];
  recovery: string;
  previous?: string;
  approvals_needed?: 1 | 2;
}

export type EntryKind =
  | "alerts-changed"
  | "approved"
  | "blocked"
  | "boot"
  | "configuration-changed"
  | "deleted"
  | "denied"
  | "erased"
  | "expired"
  | "first-approval"
  | "held"
  | "matched"
  | "no-match"
  | "opt-in"
  | "opt-out"
  | "opted-out"
  | "receipt"
  | "received"
  | "recipients-changed"
  | "released"
  | "revoked"
  | "sealed"
  | "sending"
  | "sent"
  | "stopped"
  | "storage-fault"
  | "tip"
  | "trust-changed"
  | "withdrawn";

export interface Erasure {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  segments: string[];
}

export interface FootageRequest {
  v: 1;
  id: string;
  requester: string;
  seq: number;
  audience: string;
  kind: Kind;
  case: string;
  incident: Incident;
  description: string;
  area: Polygon | Circle;
  from: number;
  to: number;
  not_after: number;
  reply: string;
  contact: Contact;
}

export interface Hold {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  segments: string[];
  until_s: number;
}

export type Incident =
  | "assault"
  | "burglary"
  | "fire"
  | "fraud"
  | "missing-person"
  | "other"
  | "parcel-theft"
  | "robbery"
  | "theft"
  | "traffic"
  | "trespass"
  | "vandalism"
  | "vehicle-crime";

export type Kind = "court" | "defence" | "fire" | "insurer" | "neighbour" | "police";

export interface LedgerEntry {
  v: 1;
  kind: EntryKind;
  boot: string;
  boot_us: number;
  utc_ms: number;
  clock: ClockQuality;
  request?: string;
  requester?: string;
  disclosure?: string;
  subject?: string;
  segments?: number;
  size_bytes?: number;
  version?: number;
  reason?: string;
}

export interface Ledgered {
  checkpoint: string;
  entry: string;
  index: number;
  path: string[];
}

export interface Line {
  payload: string;
  sig: string;
}

export interface NamedKey {
  name: string;
  key: string;
}

export interface NamedRecipient {
  name: string;
  recipient: string;
}

export interface OptIn {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  scope: Scope;
  value?: string;
}

export interface OptOut {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  scope: Scope;
  value?: string;
  until_s?: number;
}

export interface OwnLimits {
  window_min_s?: number;
  window_max_s?: number;
  look_back_max_s?: number;
  area_min_m2?: number;
  area_max_m2?: number;
  life_max_s?: number;
  requests_per_case?: number;
  requests_per_requester_per_day?: number;
}

export interface OwnerCard {
  v: 1;
  name: string;
  recipient: string;
  approver: string;
  recovery: string;
}

export interface Part {
  kind: PartKind;
  id: string;
  size_bytes: number;
  sha256: string;
}

export type PartKind = "poster" | "segment" | "sound";

export interface PartMissing {
  part: number;
  missing: DisclosuresSpan[];
}

export type PartRange = [number, number];

export interface Point {
  lat: number;
  lon: number;
}

export interface Polygon {
  shape: "polygon";
  vertices: Point[];
}

export interface Poster {
  file: Sealed;
  key: string;
}

export interface PrivateHours {
  days: number[];
  begins_minute: number;
  ends_minute: number;
}

export interface PushSubscription {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  endpoint: string;
  p256dh: string;
  auth: string;
}

export interface PushUnsubscription {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  endpoint: string;
}

export interface QuietHours {
  begins_minute: number;
  ends_minute: number;
}

export interface Receipt {
  v: 1;
  disclosure: string;
  request?: string;
  requester: string;
  audience: string;
  seq: number;
  state: ReceiptState;
  manifest?: string;
  stored?: PartRange[];
  incomplete?: PartMissing[];
  question?: number;
  unopened?: PartRange[];
  retention_days?: number;
  time_s?: number;
}

export type ReceiptState = "complete" | "partial" | "refused";

export interface Refusal {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  request: string;
}

export interface Region {
  south_west: Point;
  north_east: Point;
}

export interface Release {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  segments: string[];
}

export interface RequesterEntry {
  id: string;
  name: string;
  kind: Kind;
  keys: RequesterKey[];
  regions: Region[];
  limits?: OwnLimits;
  tips?: string;
}

export interface RequesterKey {
  key: string;
  from_s: number;
  until_s: number;
  revoked?: boolean;
}

export interface Revocation {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  disclosure: string;
}

export type Scope = "all" | "hours" | "incident" | "kind" | "requester";

export interface Sealed {
  size: number;
  header_size: number;
  sha256_header: string;
  sha256_payload: string;
}

export interface SealedItem {
  id: string;
  payload_sha256: string;
  header_sha256: string;
}

export interface Seconding {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  request: string;
  approval: string;
}

export interface Segment {
  kind: "segment";
  id: string;
  event: string;
  ordinal: number;
  span: SpansSpan;
  epoch: number;
  file: Sealed;
  key: string;
  poster?: Poster;
  label?: string;
  sound?: Sound;
  silence?: Silence;
  follows?: string;
}

export interface Settings {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  previous?: string;
  name?: string;
  position?: Point;
  sensitivity_percent?: number;
  zones?: DrawnZone[];
  max_bytes?: number;
  max_age_days?: number;
  quiet?: QuietHours;
  private?: PrivateHours[];
}

export type Sight = "animal" | "parcel" | "person" | "vehicle";

export type Silence = "microphone absent";

export interface Sound {
  file: Sealed;
  key: string;
}

export interface SpansSpan {
  boot: string;
  start_us: number;
  end_us: number;
  utc_ms: number;
  quality: ClockQuality;
}

export interface Stamp {
  boot: string;
  at_us: number;
  utc_ms: number;
  quality: ClockQuality;
}

export interface Stolen {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  since_s: number;
}

export interface Tip {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  tip: string;
  audience: string;
  requester: string;
  reply: string;
  message?: string;
  segments?: SealedItem[];
  posters?: SealedItem[];
}

export interface TipManifest {
  v: 1;
  tip: string;
  audience: string;
  message?: string;
  device?: string;
  records?: string[];
  parts?: Part[];
}

export interface TipText {
  v: 1;
  text: string;
}

export interface TrustBundle {
  v: 1;
  root: string;
  version: number;
  issued_s: number;
  requesters: RequesterEntry[];
}

export interface TrustChange {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  roots_added?: string[];
  roots_removed?: string[];
}

export type Why =
  | "camera covered"
  | "camera lost"
  | "clock unknown"
  | "device off"
  | "no longer kept"
  | "no longer known"
  | "not known yet"
  | "nothing happened"
  | "privacy switch"
  | "storage failed"
  | "switched off";

export interface Withdrawal {
  v: 1;
  request: string;
  requester: string;
  audience: string;
  seq: number;
  reason?: string;
}

export type ZoneKind = "exclude" | "include" | "privacy";
