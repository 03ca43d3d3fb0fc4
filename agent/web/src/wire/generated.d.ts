// Made by `make page-types` from the messages of agent/wire and the records of agent/core.  Do not edit.
//
// `null` in an optional member means absent.  The page's readers take it out of signed messages (schema.js, `object`).

export type AbsenceReason =
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
  gaps?: FootageAbsence[];
  clips?: ClipClaim[];
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
  trust_root: string;
  seq: number;
  title: string;
  description: string;
  language: string;
  not_after: number;
  area?: Polygon | Circle;
}

export type ByteRange = [number, number];

export interface CellRange {
  south_west: string;
  north_east: string;
}

export interface Circle {
  shape: "circle";
  lat: number;
  lon: number;
  radius_m: number;
}

export interface ClipClaim {
  from_ms: number;
  to_ms: number;
  segments: number;
}

export interface ClipRecords {
  from_ms: number;
  to_ms: number;
  leaves: string[];
  prev_in_clip?: string;
}

export type ClockQuality = "held" | "synced" | "unknown";

export interface CoApproval {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  request: string;
  approval: string;
}

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
  span: TimeSpan;
  media_bytes: number;
  label?: string;
  seen?: ObjectLabel[];
  redactions?: Redaction[];
  exact?: boolean;
}

export interface Deletion {
  v: 1;
  request: string;
  requester: string;
  trust_root: string;
  seq: number;
  deleted_s: number;
}

export interface Denial {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  request: string;
}

export interface DisclosureManifest {
  v: 1;
  disclosure: string;
  device: string;
  device_mldsa: string;
  request: string;
  approval: string;
  enrolments: string[];
  records: string[];
  second_signatures: SecondSignature[];
  parts: Part[];
  ledger: LedgerProof;
  co_approval?: string;
  clips?: ClipRecords[];
  time?: TimeProof;
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
  device_mldsa: string;
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
  | "padding"
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
  | "time-confirmed"
  | "tip"
  | "trust-changed"
  | "update-chosen"
  | "update-reversed"
  | "withdrawn";

export interface EntryLimits {
  window_min_s?: number;
  window_max_s?: number;
  look_back_max_s?: number;
  area_min_m2?: number;
  area_max_m2?: number;
  life_max_s?: number;
  retention_max_days?: number;
  requests_per_case?: number;
  requests_per_requester_per_day?: number;
}

export interface Erasure {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  segments: string[];
}

export interface FootageAbsence {
  from_ms: number;
  to_ms: number;
  reason: AbsenceReason;
}

export interface FootageRequest {
  v: 1;
  id: string;
  requester: string;
  seq: number;
  trust_root: string;
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
  retention_days: number;
  onward: Onward;
  language: string;
}

export interface HealthReport {
  v: 1;
  device: string;
  name: string;
  at: number;
  clock: ClockQuality;
  uptime: number;
  version: string;
  configuration: string;
  has_owner: boolean;
  recorder: HealthWord;
  camera: HealthWord;
  storage: HealthWord;
  supply: HealthWord;
  throttle?: number;
  wifi_dbm?: number;
  update?: UpdateWord;
  update_version?: string;
}

export type HealthWord = "fault" | "ok" | "unknown";

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
  | "lost-pet"
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

export interface LedgerProof {
  checkpoint: string;
  entry: string;
  index: number;
  path: string[];
}

export interface NamedKey {
  name: string;
  key: string;
  mldsa: string;
}

export interface NamedRecipient {
  name: string;
  recipient: string;
}

export interface NamedSection {
  cells: CellRange;
  sha256: string;
}

export type ObjectLabel = "animal" | "parcel" | "person" | "vehicle";

export interface Onward {
  to: OnwardKind[];
  basis?: string;
}

export type OnwardKind = "abroad" | "agencies" | "appeal" | "contractors" | "court" | "defence" | "parties" | "records";

export interface OptIn {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  scope: Scope;
  value?: string;
  trust_root?: string;
}

export interface OptOut {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  scope: Scope;
  value?: string;
  trust_root?: string;
  until_s?: number;
}

export interface OwnerCard {
  v: 1;
  name: string;
  recipient: string;
  approver: string;
  approver_mldsa: string;
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
  missing: ByteRange[];
}

export type PartRange = [number, number];

export type Place = [number, number, number, number, number];

export interface Point {
  lat: number;
  lon: number;
}

export interface Polygon {
  shape: "polygon";
  vertices: Point[];
}

export interface PosterRecord {
  file: SealedFile;
  key: string;
}

export interface PrivateHoursSetting {
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
  glance?: string;
  glance_signer?: string;
}

export interface PushUnsubscription {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  endpoint: string;
}

export interface QuietHoursSetting {
  begins_minute: number;
  ends_minute: number;
}

export interface Receipt {
  v: 1;
  disclosure: string;
  request?: string;
  requester: string;
  trust_root: string;
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

export interface RecoveredRecord {
  kind: "recovered";
  begin: Begin;
  complete: boolean;
  file: SealedFile;
  poster_file?: SealedFile;
  sound_file?: SealedFile;
  at: Stamp;
}

export interface Redacted {
  payload_sha256: string;
  key: string;
}

export interface Redaction {
  kind: RedactionKind;
  from_ms: number;
  until_ms: number;
  places?: Place[];
}

export type RedactionKind = "area" | "face" | "plate" | "voice";

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
  regions: TrustRegion[];
  limits?: EntryLimits;
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

export interface RootFile {
  v: 1;
  root: string;
  version: number;
  issued_s: number;
  expires_s: number;
  keys: string[];
  threshold: number;
  timestamp_keys: string[];
}

export type Scope = "all" | "bulletins" | "hours" | "incident" | "kind" | "requester";

export interface SealedFile {
  size: number;
  header_size: number;
  sha256_header: string;
  sha256_payload: string;
}

export interface SealedItem {
  id: string;
  payload_sha256: string;
  header_sha256: string;
  redacted?: Redacted;
}

export type SecondSignature = "covered" | "none";

export interface SegmentRecord {
  kind: "segment";
  id: string;
  event: string;
  ordinal: number;
  span: TimeSpan;
  epoch: number;
  file: SealedFile;
  key: string;
  poster?: PosterRecord;
  label?: string;
  sound?: SoundRecord;
  silence?: SoundGapReason;
  prev_in_clip?: string;
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
  smallest_person?: number;
  zones?: ZoneSetting[];
  max_bytes?: number;
  max_age_days?: number;
  quiet?: QuietHoursSetting;
  private?: PrivateHoursSetting[];
  updates?: "ask" | "security";
}

export interface SignedLine {
  mldsa?: string;
  payload: string;
  sig: string;
}

export type SoundGapReason = "microphone absent";

export interface SoundRecord {
  file: SealedFile;
  key: string;
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

export interface TimeProof {
  checkpoint: string;
  cosignatures?: string;
  stamps?: TimeStamp[];
}

export interface TimeSpan {
  boot: string;
  start_us: number;
  end_us: number;
  utc_ms: number;
  quality: ClockQuality;
}

export interface TimeStamp {
  name: string;
  response: string;
}

export interface Tip {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  tip: string;
  trust_root: string;
  requester: string;
  reply: string;
  message?: string;
  segments?: SealedItem[];
  posters?: SealedItem[];
}

export interface TipManifest {
  v: 1;
  tip: string;
  trust_root: string;
  message?: string;
  device?: string;
  device_mldsa?: string;
  records_mldsa?: string;
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
  directory_sha256?: string;
  sections?: NamedSection[];
}

export interface TrustChange {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  roots_added?: string[];
  roots_removed?: string[];
}

export interface TrustPackage {
  v: 1;
  roots: string[];
  bundle: string;
  timestamp: string;
  sections?: string[];
}

export interface TrustRegion {
  south_west: Point;
  north_east: Point;
}

export interface TrustSection {
  v: 1;
  requesters: RequesterEntry[];
}

export interface TrustTimestamp {
  v: 1;
  root: string;
  version: number;
  issued_s: number;
  expires_s: number;
  root_version: number;
  root_sha256: string;
  bundle_version: number;
  bundle_sha256: string;
}

export interface UpdateChoice {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  version: string;
  sha256: string;
}

export interface UpdateReversal {
  v: 1;
  device: string;
  owner_time_ms: number;
  nonce: string;
  version: string;
  before: string;
  change: string;
}

export type UpdateWord = "installed" | "interrupted" | "none" | "refused" | "rolled back";

export interface Withdrawal {
  v: 1;
  request: string;
  requester: string;
  trust_root: string;
  seq: number;
  reason?: string;
  language?: string;
}

export type ZoneKind = "exclude" | "include" | "privacy";

export interface ZoneSetting {
  name: string;
  kind: ZoneKind;
  corners: [number, number][];
  sensitivity_percent?: number;
  smallest_person?: number;
}

export interface AbsenceSummary {
  from_ms: number;
  to_ms: number;
  reason: string;
}

export interface AlertBrowser {
  endpoint: string;
  browser: string;
  owner: string | null;
  made_s: number;
  used_s: number;
  pictures: string;
}

export interface AlertBrowsersAnswer {
  browsers: AlertBrowser[];
}

export interface AlertQueueStatus {
  channels: Record<string, Channel>;
}

export interface AskedAnswer {
  payload_sha256: string;
}

export interface BeginTalk {
  to: string;
  challenge: string;
}

export interface BlockedSummary {
  requester: string;
  reason: string;
  payload_sha256?: string;
  root?: string;
  at_ms?: number | null;
}

export interface BrowserSummary {
  id: string;
  browser: string;
  made_s: number;
  seen_s: number;
  this: boolean;
  owner?: string | null;
}

export interface BrowsersAnswer {
  browsers: BrowserSummary[];
}

export interface BulletinsAnswer {
  bulletins: string[];
}

export interface BundleAnswer {
  added: string[];
  removed: string[];
  changed: string[];
}

export interface CardsAnswer {
  cards: string[];
}

export interface ChallengeAnswer {
  challenge: string;
}

export interface Channel {
  waiting: number;
  delivered: number;
  failures: number;
  fault: string | null;
}

export interface ChannelsAnswer {
  channels: string[];
}

export interface CheckpointAnswer {
  checkpoint: string;
  proof: string[];
}

export interface ConfirmEnrolment {
  tokens: Record<string, string>;
}

export interface ConfirmedAnswer {
  epoch: number;
  waiting?: string[];
}

export interface DetectionReport {
  state: string;
  detail?: string;
  inferences?: number;
  dropped?: number;
  ms_per_inference?: number;
  labels?: string[] | null;
}

export interface DeviceAnswer {
  device: string;
  device_id: string;
  device_mldsa: string;
  epoch: number;
  enrolled: boolean;
  pending: boolean;
  broker_name?: string | null;
}

export interface DiskReport {
  syncs: number;
  seconds: number;
  written_bytes: number;
  buckets: [string, number][];
}

export interface EndSession {
  id: string;
}

export interface EndTalk {
  session: string;
}

export interface EndedAnswer {
  ended: boolean;
}

export interface EnrolmentTest {
  name: string;
  recipient: string;
}

export interface EventSummary {
  event: string;
  start_ms: number;
  end_ms: number;
  kind: string;
  segments: string[];
  poster: string | null;
}

export interface EventsAnswer {
  events: EventSummary[];
  gaps: TimelineGap[];
  rings: number[];
}

export interface GapsAnswer {
  gaps: AbsenceSummary[];
}

export interface GetApproval {
  disclosure: string;
}

export interface GetChallenge {

}

export interface GetCheckpoint {
  old_size: number;
}

export interface GetDevice {

}

export interface GetEnrolment {

}

export interface GetEnrolmentTest {
  name: string;
}

export interface GetEntries {
  start: number;
  end: number;
}

export interface GetKept {

}

export interface GetLinkAddress {

}

export interface GetLiveGops {
  after: number;
  small?: boolean;
}

export interface GetNonce {

}

export interface GetPageFacts {

}

export interface GetPageNow {

}

export interface GetPageSession {

}

export interface GetPlace {

}

export interface GetPoster {
  id: string;
}

export interface GetPushKey {

}

export interface GetRequest {
  id: string;
}

export interface GetSealedRequest {
  id: string;
}

export interface GetSegment {
  id: string;
}

export interface GetSignedSettings {

}

export interface GetSound {
  id: string;
}

export interface GetStatus {

}

export interface GetTimeOpening {
  size: number;
  beat?: number;
}

export interface GetTrust {

}

export interface GetUpdate {

}

export interface Health {
  temperature_c?: number | null;
  throttle_level?: number | null;
  under_voltage?: boolean | null;
  throttled?: boolean | null;
  wifi_dbm?: number | null;
}

export interface HelloAnswer {
  claimed: boolean;
  device: string;
  owner: boolean;
  session: string;
  doorbell: string;
  program: string;
}

export interface InvitationAnswer {
  code: string;
  life_s: number;
  install: string;
  fingerprint: string;
}

export interface Jump {
  ahead_s: number;
  confirmed_in_s: number;
}

export interface KeptAnswer {
  held: Record<string, number>;
  being_deleted: string[];
}

export interface KeyAnswer {
  key: string;
}

export interface LeavePage {

}

export interface LeavesAnswer {
  entries: string[];
}

export interface LinkAddressAnswer {
  secret: string;
  relay: RelayAccount | null;
}

export interface ListAlertBrowsers {

}

export interface ListBrowsers {

}

export interface ListBulletins {

}

export interface ListCards {

}

export interface ListEnrolments {
  after: number;
}

export interface ListEvents {
  from_ms: number;
  to_ms: number;
}

export interface ListGaps {
  id: string;
}

export interface ListRequests {
  all?: boolean;
}

export interface ListSegments {
  from_ms: number;
  to_ms: number;
}

export interface ListTips {

}

export interface ListTrustChanges {

}

export interface LiveAnswer {
  numbers: number[];
  sizes: number[];
  watching?: string[];
  small?: boolean;
}

export interface MakeInvitation {

}

export interface NoAnswer {

}

export interface NonceAnswer {
  nonce: string;
}

export interface NowAnswer {
  waiting: string;
  camera: string;
}

export interface OfferAnswer {
  version: string;
  sha256: string;
  length: number;
  released: string;
  security?: boolean;
  rollout_hours?: number;
  notes?: Record<string, string>;
  withdrawn?: boolean;
}

export interface OfferCard {
  card: string;
}

export interface OptOutSummary {
  scope: Scope;
  value?: string | null;
  trust_root?: string | null;
  until_s?: number | null;
}

export interface PanelReport {
  connected: boolean;
  detail?: string;
  backend?: string;
  board?: string;
  privacy?: boolean | null;
  open?: boolean | null;
  health?: Health;
}

export interface PlaceAnswer {
  position?: Position | null;
}

export interface Position {
  lat: number;
  lon: number;
}

export interface ProposeEnrolment {
  envelope: string;
}

export interface ProveOwner {
  envelope: string;
}

export interface RecordAnswer {
  record: string;
}

export interface RecorderReport {
  state: string;
  detail: string;
  frames: number;
  frames_dropped: number;
  packets_dropped: number;
  events: number;
  segments: number;
  analysis_ms_per_frame: number;
  in_memory_bytes?: number;
  in_memory_s?: number;
  recorded_s?: number;
  in_event?: boolean;
  motion_passes?: string;
  sound?: string;
  speaker?: string;
  object_detection?: DetectionReport | null;
  scrub?: ScrubReport | null;
  wear?: Wear | null;
  disk?: DiskReport | null;
  panel?: PanelReport | null;
}

export interface RelayAccount {
  url: string;
  account: string;
  password: string;
}

export interface RequestAnswer {
  state: string;
  payload_sha256?: string;
  certain?: boolean;
  disclosure?: string | null;
  waits_s?: number | null;
  receipt?: string | null;
  deletion?: string | null;
  sealed?: string | null;
  first?: string | null;
  segments?: string[];
  records?: string[];
}

export interface RequestSummary {
  id: string;
  state: string;
  requester_name: string;
  segments: number;
  received_ms: number;
  requester?: string;
  root?: string;
  kind?: string | null;
  incident?: string | null;
  from?: number | null;
  to?: number | null;
  not_after?: number | null;
  certain?: boolean;
  disclosure?: string | null;
  trusted?: boolean;
  stated?: string | null;
}

export interface RequestsAnswer {
  requests: RequestSummary[];
  blocked: BlockedSummary[];
  counters: Record<string, number>;
  opt_outs?: OptOutSummary[];
  quiet_hours?: OptOutSummary[];
}

export interface ScrubReport {
  segments: number;
  read_bytes: number;
  damaged: string[];
  fault: string;
}

export interface SegmentSummary {
  id: string;
  event: string;
  ordinal: number;
  start_ms: number;
  end_ms: number;
  quality: string;
  size_bytes: number;
  poster: boolean;
  sound: boolean;
  whole: boolean;
  held_until_s?: number | null;
}

export interface SegmentsAnswer {
  segments: SegmentSummary[];
  more: boolean;
}

export interface SendTalk {
  session: string;
  sizes: number[];
}

export interface SendTestAlert {

}

export interface SharedAnswer {
  kept: boolean;
}

export interface SignedAnswer {
  envelope?: string | null;
  sha256?: string | null;
}

export interface Status {
  device: string;
  device_id: string;
  owners: string[];
  recorder: RecorderReport;
  vault: Vault;
  clock: string;
  link: UplinkReport;
  panel?: PanelReport | null;
  clock_jump?: Jump | null;
  alerts?: AlertQueueStatus | null;
  requests_told?: number;
  messages_dropped?: number;
  newest_ms?: number | null;
  update?: UpdateStatus | null;
  time?: TimeStatus | null;
  page_fault?: string;
}

export interface SubmitBundle {
  cell: string | null;
}

export interface SubmitStatement {
  envelope: string;
  sizes?: number[];
}

export interface TalkOfferAnswer {
  state: TalkState;
  talker?: string | null;
  envelope?: string | null;
}

export type TalkState = "ended" | "no speaker" | "not known" | "private" | "ready";

export interface TalkStateAnswer {
  state: TalkState;
}

export interface TestsAnswer {
  tests: EnrolmentTest[];
  epoch?: number;
}

export interface TimeStatus {
  beats: number;
  confirmed: number;
  by: Record<string, string | null>;
}

export interface TimelineGap {
  start_ms: number;
  end_ms: number;
  reason: string;
}

export interface TipSummary {
  id: string;
  requester: string;
  state: string;
  root?: string;
}

export interface TipsAnswer {
  tips: TipSummary[];
}

export interface TrustAnswer {
  roots: string[];
  bundles: string[];
  heard: string[];
  cell?: string | null;
  agreed_in?: Record<string, string>;
}

export interface UpdateAnswer {
  running: string;
  looks: boolean;
  automatic: boolean;
  chosen: boolean;
  checked_ms?: number | null;
  trouble?: string | null;
  offer?: OfferAnswer | null;
  outcome?: UpdateOutcomeAnswer | null;
  back?: UpdateReversalAnswer | null;
}

export interface UpdateOutcomeAnswer {
  version: string;
  result: string;
}

export interface UpdateReversalAnswer {
  version: string;
  change: string;
  chosen: boolean;
  refused?: string | null;
  ended?: string | null;
}

export interface UpdateStatus {
  running: string;
  offer?: string | null;
  security?: boolean;
  trouble?: string | null;
}

export interface UplinkReport {
  link: string;
  remedy: string;
  transfers?: number | null;
  sent_bytes?: number | null;
  received_messages?: number | null;
  relay?: string;
  relay_remedy?: string;
}

export interface UseAlertBrowser {
  endpoint: string;
  browser: string;
  language: string;
}

export interface Vault {
  segments: number;
  stored_bytes: number;
}

export interface VerdictAnswer {
  state?: string | null;
  request?: string | null;
  disclosure?: string | null;
}

export interface Wear {
  bytes_per_recorded_hour: number | null;
}

/** By name. */
export interface ControlOperations {
  device: { request: GetDevice; answer: DeviceAnswer };
  enrolment: { request: GetEnrolment; answer: SignedAnswer };
  enrolments: { request: ListEnrolments; answer: NoAnswer };
  nonce: { request: GetNonce; answer: NonceAnswer };
  enrol: { request: ProposeEnrolment; answer: TestsAnswer };
  enrol_test: { request: GetEnrolmentTest; answer: NoAnswer };
  enrol_confirm: { request: ConfirmEnrolment; answer: ConfirmedAnswer };
  status: { request: GetStatus; answer: Status };
  requests: { request: ListRequests; answer: RequestsAnswer };
  request: { request: GetRequest; answer: RequestAnswer };
  asked: { request: GetSealedRequest; answer: AskedAnswer };
  gaps: { request: ListGaps; answer: GapsAnswer };
  place: { request: GetPlace; answer: PlaceAnswer };
  bulletins: { request: ListBulletins; answer: BulletinsAnswer };
  tips: { request: ListTips; answer: TipsAnswer };
  shared: { request: GetApproval; answer: SharedAnswer };
  segment: { request: GetSegment; answer: RecordAnswer };
  poster: { request: GetPoster; answer: RecordAnswer };
  sound: { request: GetSound; answer: RecordAnswer };
  live: { request: GetLiveGops; answer: LiveAnswer };
  talk_begin: { request: BeginTalk; answer: TalkOfferAnswer };
  talk_send: { request: SendTalk; answer: TalkStateAnswer };
  talk_end: { request: EndTalk; answer: NoAnswer };
  list: { request: ListSegments; answer: SegmentsAnswer };
  kept: { request: GetKept; answer: KeptAnswer };
  settings: { request: GetSignedSettings; answer: SignedAnswer };
  statement: { request: SubmitStatement; answer: VerdictAnswer };
  trust: { request: GetTrust; answer: TrustAnswer };
  trust_changes: { request: ListTrustChanges; answer: NoAnswer };
  trust_bundle: { request: SubmitBundle; answer: BundleAnswer };
  update: { request: GetUpdate; answer: UpdateAnswer };
  checkpoint: { request: GetCheckpoint; answer: CheckpointAnswer };
  ledger: { request: GetEntries; answer: LeavesAnswer };
  time_opening: { request: GetTimeOpening; answer: NoAnswer };
  link_address: { request: GetLinkAddress; answer: LinkAddressAnswer };
  alerts_test: { request: SendTestAlert; answer: ChannelsAnswer };
  push_key: { request: GetPushKey; answer: KeyAnswer };
  push_browsers: { request: ListAlertBrowsers; answer: AlertBrowsersAnswer };
  push_used: { request: UseAlertBrowser; answer: NoAnswer };
  page_hello: { request: GetPageSession; answer: HelloAnswer };
  page_challenge: { request: GetChallenge; answer: ChallengeAnswer };
  page_prove: { request: ProveOwner; answer: NoAnswer };
  page_leave: { request: LeavePage; answer: EndedAnswer };
  page_card: { request: OfferCard; answer: NoAnswer };
  page_cards: { request: ListCards; answer: CardsAnswer };
  page_invite: { request: MakeInvitation; answer: InvitationAnswer };
  page_browsers: { request: ListBrowsers; answer: BrowsersAnswer };
  page_end: { request: EndSession; answer: EndedAnswer };
  page_facts: { request: GetPageFacts; answer: any };
  page_now: { request: GetPageNow; answer: NowAnswer };
  events: { request: ListEvents; answer: EventsAnswer };
}
