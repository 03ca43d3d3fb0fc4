// Makes redacted files for a requester, checks them, and seals them (agent/clients/owner/redaction.py). They are
// kept while the page is unlocked, so the film that an owner looks at is the one that leaves, byte for byte.
import { FormatError } from "../errors.js";
import { coverFilm, requireCovered, requireExact } from "../media/cover_film.js";
import { muteSound, requireMuted } from "../media/mute_sound.js";
import { sealCommitted } from "../wire/age.js";
import { concat, sha256hex } from "../wire/bytes.js";
import { filmLengthMs, redactedContext, soundOf } from "../wire/segment.js";
import { fetchSegment, fetchSound } from "./review.js";

/** @import { Bytes, Offered, PublicKey, WithIdentity } from "../types.js" */
/** @import { Lossless } from "../media/cover_film.js" */
/** @import { File } from "./redaction_plan.js" */
/** @import * as Wire from "../wire/generated.js" */

/** Bytes of films that are kept. Two approvals of the largest size fit. */
const MOST_KEPT_BYTES = 64 << 20;

export class RedactedFiles {
  /** @type {Map<string, { plan: string, media: Bytes }>} the oldest first */
  #kept = new Map();
  #whichever;
  #loadLossless;

  /**
   * @param {WithIdentity} whichever tries each of the owner's identities
   * @param {() => Promise<Lossless>} loadLossless
   */
  constructor(whichever, loadLossless) {
    this.#whichever = whichever;
    this.#loadLossless = loadLossless;
  }

  /**
   * The redacted film or sound of a segment. Throws `FormatError` if the captured file fails to open, differs from its
   * record, or is not hidden where the redactions say so.
   *
   * @param {File} file
   * @param {Offered} segment
   * @param {Wire.Redaction[]} redactions
   * @param {boolean} exact pixels of a film outside of its covers keep their values
   */
  async make(file, segment, redactions, exact) {
    const [name, plan] = [`${file} ${segment.id}`, JSON.stringify([exact, redactions])];
    const kept = this.#kept.get(name);
    // The very film that the owner has looked at: an encoder may give other bytes the next time.
    if (kept?.plan === plan) return kept.media;
    // A file that a power failure cut has no signed length or key.
    if (segment.record.kind !== "segment") throw new FormatError("error.redact-cut");
    const captured = await this.#opened(file, segment);
    const lengthMs = filmLengthMs(segment.record);
    const lossless = exact && file === "segment" ? await this.#loadLossless() : undefined;
    const media =
      file === "segment"
        ? await coverFilm(captured, redactions, lengthMs, lossless)
        : muteSound(captured, redactions, lengthMs);
    // The new file is checked before anything is signed: a cover that failed must not leave.
    await (file === "segment" ? requireCovered(media, redactions, { exact }) : requireMuted(media, redactions));
    if (lossless) await requireExact(captured, media, redactions);
    this.#keep(name, { plan, media });
    return media;
  }

  /**
   * The same, sealed to `reply`: the item that an owner signs, and the bytes that the doorbell sends.
   *
   * @param {File} file
   * @param {Offered} segment
   * @param {Wire.Redaction[]} redactions
   * @param {{ device: PublicKey, reply: string, exact: boolean }} options
   */
  async seal(file, segment, redactions, { device, reply, exact }) {
    const media = await this.make(file, segment, redactions, exact);
    const { record } = segment;
    const captured = file === "segment" ? record.file : soundOf(record);
    if (record.kind !== "segment" || !captured) throw new FormatError("error.redact-cut");
    const context = redactedContext(record, {
      kind: file,
      device: device.id,
      media_bytes: media.length,
      redactions,
      exact: (file === "segment" && exact) || undefined,
    });
    // A new key. With the captured file's key, the requester could open the captured film, if they ever get its
    // ciphertext.
    const { header, payload, commitment } = await sealCommitted(concat(media, context), reply);
    /** @type {Wire.SealedItem} */
    const item = {
      id: record.id,
      payload_sha256: captured.sha256_payload,
      header_sha256: await sha256hex(header),
      redacted: { payload_sha256: await sha256hex(payload), key: commitment },
    };
    return { item, own: [header, payload] };
  }

  /**
   * @param {File} file
   * @param {Offered} segment
   */
  #opened(file, { id, record }) {
    return this.#whichever(async (identity, device) =>
      file === "segment"
        ? (await fetchSegment(id, device, identity, record)).media
        : (await fetchSound(id, device, identity, record)).sound,
    );
  }

  /**
   * @param {string} name
   * @param {{ plan: string, media: Bytes }} made
   */
  #keep(name, made) {
    this.#kept.delete(name);
    this.#kept.set(name, made);
    let size = [...this.#kept.values()].reduce((sum, { media }) => sum + media.length, 0);
    for (const [oldest, { media }] of this.#kept) {
      if (size <= MOST_KEPT_BYTES || oldest === name) break;
      size -= media.length;
      this.#kept.delete(oldest);
    }
  }
}
