// The owner's side of a talk session, in the worker: its key and its frames. The page gives it sound and gets states.
import { ask, fetchOp } from "../link.js";
import { identityToRecipient } from "../wire/age.js";
import { concat, hex, randomBytes } from "../wire/bytes.js";
import { frameWriter, readOffer } from "../wire/talk.js";

/** @import { PublicKey, TalkAnswer, TalkFrame } from "../types.js" */

/** @type {{ id: string, seal: Awaited<ReturnType<typeof frameWriter>> } | null} */
let session = null;

/**
 * Asks the doorbell for a session. Without one, the answer says why.
 *
 * @param {string} identity
 * @param {PublicKey} device
 * @returns {Promise<TalkAnswer>}
 */
export async function beginTalk(identity, device) {
  session = null;
  const challenge = hex(randomBytes(16));
  const to = await identityToRecipient(identity);
  const { result, body } = await fetchOp("talk_begin", { to, challenge });
  if (!result.envelope) return { state: result.state, talker: result.talker ?? null, replies: [] };
  const { envelope } = result;
  const offer = await readOffer({ envelope, sealed: body.slice(), challenge, device, identity });
  session = { id: offer.session, seal: await frameWriter(offer.key, offer.session) };
  return { state: "ready", talker: null, replies: offer.replies };
}

/**
 * Seals frames in their order and sends them. The answer is the state of the speaker.
 *
 * @param {TalkFrame[]} frames
 * @returns {Promise<string>}
 */
export async function sendTalk(frames) {
  const now = session;
  if (!now) return "ended";
  // The counter is in the order of the calls, so all of them are made at once.
  const sealed = await Promise.all(frames.map(({ kind, content }) => now.seal(kind, content)));
  const sizes = sealed.map((each) => each.length);
  return (await fetchOp("talk_send", { session: now.id, sizes }, concat(...sealed))).result.state;
}

/** Gives the floor back. */
export async function endTalk() {
  const now = session;
  session = null;
  if (now) await ask("talk_end", { session: now.id });
}
