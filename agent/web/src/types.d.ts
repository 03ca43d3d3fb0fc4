// Types that several modules of the page share.  Types of messages come from the device's own: wire/generated.d.ts.
import type * as Wire from "./wire/generated.js";

/** A public Ed25519 key.  `id` is 16 hex digits, `text` is `ed25519:…`. */
export interface PublicKey {
  raw: Uint8Array;
  id: string;
  text: string;
  /** The key as WebCrypto holds it, once it was needed. */
  imported?: Promise<CryptoKey>;
}

/** The key pair of a trust root, or of one of its signers. */
export interface TrustKey {
  key: PublicKey;
  /** 64 hex digits. */
  mldsaSha256: string;
  id: string;
  text: string;
}

/** Bytes that no other thread can change meanwhile: WebCrypto and Blob take no others. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** A signed message that was taken apart, and whose signature nothing says about yet. */
export interface Claimed {
  type: string;
  payload: Bytes;
  keyId: string;
  signature: Bytes;
}

/** A signed head of the ledger. */
export interface Checkpoint {
  size: number;
  root: Bytes;
  note: string;
}

/** A list of owners, the hash of its payload, and the envelope that it came in. */
export interface Enrolled {
  value: Wire.Enrolment;
  sha256: string;
  envelope: string;
}

/** State of a doorbell that this browser remembers. */
export interface Known {
  /** Envelopes of every list of owners, oldest first. */
  enrolments: string[];
  checkpoint: string;
  /** Trust roots that were chosen in this browser. */
  roots: string[];
  /** The newest bundle of each root that was ever seen, by its pair. */
  bundles: Newest;
  /** SHA-256 of each first list of owners that this owner signed since the doorbell has lost its owners. */
  claims?: string[];
}

/** A root that an owner chose, and when: the time is that owner's. */
export interface ChosenRoot {
  key: string;
  id: string;
  by: string;
  at: number;
}

/** A root of the household that this browser does not know. Disputed: another pair with its id was chosen, too. */
export interface FoundRoot extends ChosenRoot {
  isDisputed: boolean;
  requesters: string[];
}

/**
 * The versions of the newest bundle, root file and timestamp, and the payload hashes of bundle and root file: 0 and ""
 * for a bundle that came without them.
 */
export interface Seen {
  version: number;
  sha256: string;
  root_version: number;
  timestamp: number;
  root_sha256: string;
}

/** By the text of a root's pair. */
export type Newest = Record<string, Seen>;

/** `least` of `keys` keys sign the lists of a root, since `changedS` (UTC s), or from the beginning. */
export interface Signers {
  keys: number;
  least: number;
  changedS: number | null;
}

/** A bundle with verified signatures. `file`, `endsS` and the hashes are there if it came in a package. */
export interface OpenedBundle {
  bundle: Wire.TrustBundle;
  seen: Seen;
  file?: Wire.RootFile;
  /** The root file that changed the keys or the threshold last, if one did. */
  keysSince?: Wire.RootFile;
  /** Hash of the payload of each root file, from version 1 on. */
  fileSha256s: string[];
  endsS?: number;
}

/** A doorbell that was found to be the known one, and to have gone forwards only. */
export interface SyncedDevice {
  device: PublicKey;
  known: Known;
  /** The list of owners in force. */
  enrolment: Wire.Enrolment;
  enrolled: Enrolled;
  checkpoint: Checkpoint;
  /** How many entries the ledger has more than last time. */
  grown: number;
}

/** An owner's secrets.  `approval` is a 32-byte seed; `older` are identities from before a recovery. */
export interface Secrets {
  identity: string;
  approval: Bytes;
  older: string[];
}

export interface Unlocked extends Secrets {
  card: Wire.OwnerCard;
}

/** Signed at capture, about one stored segment. */
export type CaptureRecord = Wire.SegmentRecord | Wire.RecoveredRecord;

/** UTC ms. */
export interface TimeSpan {
  start: number;
  end: number;
  quality: Wire.ClockQuality;
}

/** A requester with the key that signed, as a trust bundle lists them. */
export interface Requester extends Wire.RequesterEntry {
  root: string;
  key: PublicKey;
  /** The same requester in a newer bundle, to which no owner has agreed yet: it takes rights away. */
  now?: Wire.RequesterEntry;
}

/** One segment of a request under review. */
export interface Offered {
  number: number;
  id: string;
  record: CaptureRecord;
  span: TimeSpan;
}

/** A file that does not open, and why. */
export interface Failed {
  id: string;
  text: string;
  values?: Record<string, unknown>;
}

/** Needed to open one kind of file of a segment: its stored bytes, and the record that they were checked against. */
export type FetchFile = (
  id: string,
  device: PublicKey,
  identity: string,
  signed?: CaptureRecord,
) => Promise<{ data: Bytes; record: CaptureRecord }>;

/** Tries each of the owner's identities, the newest first. */
export type WithIdentity = <T>(open: (identity: string, device: PublicKey) => Promise<T>) => Promise<T>;

/** A segment as a player takes it, in UTC ms. */
export interface Playable {
  id: string;
  start: number;
  end: number;
  sound?: boolean;
}

/** `[x, y]` in shares of the picture. */
export type Corner = number[];

export interface Zone {
  name: string;
  kind: string;
  corners: Corner[];
  sensitivity: number;
  smallest_person?: number;
}

/** Steps of one colour scale, as the detector counts them, for each cell of a coarse grid. */
export interface Sample {
  t: number;
  cells: Float32Array;
}

/** First argument of `h`: attributes, properties and listeners. */
export interface Options {
  // biome-ignore lint/suspicious/noExplicitAny: each kind of listener takes another event
  [key: `on${string}`]: (event: any) => unknown;
  [key: string]: unknown;
  nodeType?: never;
}

/** A child argument of `h`. */
export type Child = Node | string | number | false | null | undefined | Child[];

/** The doorbell's result of an operation; agent/custodian/page/operations.py says what is in it. */
// biome-ignore lint/suspicious/noExplicitAny: its types are not made from the device's yet
export type Answer = any;

/** Any kind: an unknown entry must not hide the others. */
export type Entry = Omit<Wire.LedgerEntry, "kind"> & { kind: string };

export type Area = Wire.FootageRequest["area"];

/** Signs and hands in what the household sets. */
export type Save = (changes: Record<string, unknown>) => Promise<unknown>;

/** Both keys of an approver: Ed25519, and ML-DSA-44 (1 312 bytes). */
export interface Signer {
  key: PublicKey;
  mldsa: Bytes;
}

/** Everyone who was an owner at some time, by key id. */
export type Owners = Map<string, Signer & { name: string }>;

/** Content of the owners' next list. */
export interface Lists {
  epoch: number;
  recipients: Wire.NamedRecipient[];
  approvers: Wire.NamedKey[];
  recovery: string;
  device_mldsa: string;
  previous?: string;
  approvals_needed?: number;
}

/** Makes the next lists of owners out of those in force. */
export type Change = (
  recipients: Wire.NamedRecipient[],
  approvers: Wire.NamedKey[],
) => Pick<Lists, "recipients" | "approvers" | "approvals_needed"> & { recovery?: string };

/** The keys as this browser stores them: `sealed` is an age file that the passphrase opens. */
export interface Kept {
  card: Wire.OwnerCard;
  sealed: Uint8Array;
  passkey?: Passkey;
}

/** The same keys, sealed to a secret of an authenticator, which gives it for `id` and `salt` (both base64). */
export interface Passkey {
  id: string;
  salt: string;
  sealed: Uint8Array;
}

/** An age identity for the pictures of alerts, sealed with a key of this browser that no script can read. */
export interface Glance {
  key: CryptoKey;
  iv: Bytes;
  sealed: Bytes;
}

/** Own replies: frames of a voice, each sealed with a key of this browser that no script can read. */
export interface OwnReplies {
  key: CryptoKey;
  replies: { name: string; iv: Bytes; sealed: Bytes }[];
}

/** Opens this browser's keys: the passphrase, or the secret that a passkey gave. */
export type Credential = string | Bytes;

/** A request that was looked at and checked, in the worker. */
export interface Reviewed {
  /** The doorbell's name of the request. */
  name: string;
  synced: SyncedDevice;
  request: Wire.FootageRequest;
  sha256: string;
  requester: Requester;
  /** Whether another root lists a requester with this name. */
  namesake: boolean;
  state: string;
  disclosure: string | null;
  segments: Offered[];
  /** The approval that waits for a second owner. */
  first: { yes: Wire.Approval; sha256: string; by: string; isGone: boolean } | null;
  receipt: Wire.Receipt | null;
  deletion: Wire.Deletion | null;
  position: Wire.Point | null;
}

/** The same for the page: plain values only. */
export type Review = ReturnType<typeof import("./owner/review.js").shown>;

/** One segment of a clip, as the page shows it. */
export interface Moment extends Playable {
  /** As the review counts it, from 1. */
  number: number;
  /** The length of its film by its record. */
  lengthMs: number;
  cut: boolean;
}

/** One thing that an owner covers in a clip or mutes in its sound, in ms of the clip. Lasts to its end by default. */
export interface Planned {
  kind: Wire.RedactionKind;
  from_ms: number;
  until_ms?: number;
  places?: Wire.Place[];
}

/** The segments of one event. */
export interface Clip {
  event: string;
  kind: string;
  /** The segment whose still shows the clip. */
  poster: string | null;
  segments: Moment[];
}

/** Plays segments in that element. */
export type StartFilm = (video: HTMLVideoElement, segments: Playable[]) => void;

/** An owner's choice of footage to share. */
export interface Choice {
  segments: string[];
  posters: string[];
  sounds?: string[];
  clips: string[];
  contact?: Omit<Wire.ContactCard, "v">;
  gaps?: Wire.FootageAbsence[];
  /** Redactions by the event of the clip. */
  plans?: Record<string, Planned[]>;
  /** Pixels of redacted films outside of their covers keep their values. */
  exact?: boolean;
}

/** The covers and mutes in all clips of an answer. */
export interface Covering {
  /** By the event of the clip. */
  plans: Record<string, Required<Planned>[]>;
  exact: boolean;
}

/** An owner's unasked message to one requester; `tip` is the id by which it is sent once. */
export interface TipMatter {
  tip: string;
  root: string;
  requester: string;
  text: string;
  segments: string[];
  posters: string[];
}

/** One file that left, or may leave. */
export interface Shared {
  kind: string;
  id: string;
  start: number;
  end: number;
  stored?: boolean;
  /** The owner's redaction of it left, and not the captured file. */
  redacted?: boolean;
}

/** A piece of film.  `continues`: it shows nothing without the one before. */
export interface Gop {
  media: Bytes;
  continues?: boolean;
  span: TimeSpan;
}

/**
 * The same of live view.  `order` is boot, start and end by the doorbell's clock since boot, in µs. `sound` is there
 * while the microphone is on: a film that may be a header alone, and when its first sample was heard.
 */
export interface LiveGop extends Gop {
  order: [boot: string, start: number, end: number];
  sound?: { media: Bytes; start: number };
}

/** Opens the film of a segment. */
export type Load = (id: string) => Promise<{ media: Bytes }>;

/** Opens what was heard during a segment; undefined if there is nothing to hear. */
export type Ears = (segment: Playable) => Promise<Bytes | undefined>;

/** A frame of a talk session; wire/talk.js lists the kinds. */
export interface TalkFrame {
  kind: number;
  content: Uint8Array;
}

/** Whether the doorbell's speaker is open for this browser; otherwise who talks, or why it is closed. */
export interface TalkAnswer {
  state: string;
  talker: string | null;
  replies: string[];
}
