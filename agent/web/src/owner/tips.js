// Sends one requester an anonymous tip (agent/clients/owner/outgoing_tips.py). Words and pictures are sealed here to
// the key that the requester's trust bundle gives for tips, and signed for the doorbell that sends them.

import { PageError } from "../errors.js";
import { rewrap, sealTo, split } from "../wire/age.js";
import { MAX_TIP_CHARACTERS } from "../wire/bounds.js";
import { base64, sha256hex } from "../wire/bytes.js";
import { posterOf } from "../wire/segment.js";
import { encode } from "../wire/strictjson.js";
import { cleaned, isPlain } from "../wire/text.js";
import { hashIn, orSkip } from "./decisions.js";
import { fetchPoster, fetchSegment, trusted } from "./review.js";
import { signAndSubmit } from "./statements.js";
import { syncAfter, syncDevice } from "./sync.js";

/** @import { Bytes, CaptureRecord, Failed, FetchFile } from "../types.js" */
/** @import { SyncedDevice, TipMatter, Unlocked, WithIdentity } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */

/**
 * Requesters that this owner trusts and that take tips.
 *
 * @param {SyncedDevice} synced
 */
async function tipRecipientsAt(synced) {
  const { store } = await trusted(synced);
  return [...store.bundles.keys()].flatMap((root) =>
    store
      .requesters(root)
      .filter((each) => each.tips && each.keys.some((key) => !key.revoked))
      .map((each) => ({ ...each, root })),
  );
}

export async function tipRecipients() {
  return (await tipRecipientsAt(await syncDevice())).map(({ root, id, name, kind }) => ({ root, id, name, kind }));
}

/**
 * Has the doorbell send it.  `tip`: its id, by which it is sent once; `posters`: stills, by the segment they begin;
 * `opens(open)` does `open(key)` with the key that can.
 *
 * @param {TipMatter} options
 * @param {Unlocked} keys
 * @param {WithIdentity} opens
 */
export async function sendTip({ tip, root, requester, text, segments, posters }, keys, opens) {
  if (!text && !segments.length && !posters.length) throw new PageError("error.nothing-told");
  const synced = await syncDevice();
  const taker = (await tipRecipientsAt(synced)).find((each) => each.root === root && each.id === requester);
  const reply = taker?.tips;
  if (!taker || !reply) throw new PageError("error.takes-no-tips");
  /** @type {Bytes[]} */
  const headers = [];
  /** @type {Failed[]} */
  const failed = [];
  /**
   * @param {string[]} ids
   * @param {FetchFile} fetchOne
   * @param {(record: CaptureRecord) => Wire.SealedFile | undefined} fileOf
   */
  const items = async (ids, fetchOne, fileOf) => {
    const made = [];
    for (const id of ids) {
      const item = await orSkip(id, failed, () =>
        opens(async (identity) => {
          const { record, data } = await fetchOne(id, synced.device, identity);
          const header = await rewrap(data.subarray(0, split(data)), identity, reply);
          headers.push(header);
          return { id, payload_sha256: hashIn(fileOf(record)), header_sha256: await sha256hex(header) };
        }),
      );
      if (item) made.push(item);
    }
    return made.length ? made : undefined;
  };
  const matter = {
    tip,
    trust_root: root,
    requester,
    reply,
    message: text ? await sealed(text, reply) : undefined,
    segments: await items(segments, fetchSegment, (record) => record.file),
    posters: await items(posters, fetchPoster, posterOf),
  };
  if (failed.length) throw new PageError("error.cannot-share", { n: failed.length, failed });
  const answer = await signAndSubmit("tip", synced.device, matter, keys.approval, headers);
  await syncAfter();
  return answer.disclosure;
}

/**
 * @param {string} text
 * @param {string} recipient
 */
async function sealed(text, recipient) {
  const words = cleaned(text);
  if (!isPlain(words, MAX_TIP_CHARACTERS)) throw new PageError("error.tip-text");
  return base64(await sealTo(encode({ v: 1, text: words }), recipient));
}
