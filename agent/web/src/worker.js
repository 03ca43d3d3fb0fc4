// The owner's client, in a worker: here keys are unlocked, footage is opened and statements are signed.  The page asks
// by name and gets plain values, pictures and films back; a key never crosses to it, and never leaves the browser.
import { plainOf, PageError } from "./errors.js";
import { ask } from "./link.js";
import * as deciding from "./owner/deciding.js";
import * as enrolling from "./owner/enrolling.js";
import * as keys from "./owner/keys.js";
import { readLedger } from "./owner/ledger.js";
import { meet, meetFirst, readEnrolment } from "./owner/meeting.js";
import * as reviewing from "./owner/reviewing.js";
import { changeSettings } from "./owner/setting.js";
import { disclosureOf, sharedOf } from "./owner/shared.js";
import * as store from "./owner/store.js";
import * as tipping from "./owner/tipping.js";
import * as trusting from "./owner/trusting.js";
import { identityToRecipient } from "./wire/age.js";
import { hex, randomBytes, utf8 } from "./wire/bytes.js";
import { publicKeyOfSeed } from "./wire/keys.js";
import { ownerCard } from "./wire/messages.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { parseKey } from "./wire/keys.js";
import { decode, encode } from "./wire/strictjson.js";

/** What opens footage while the page is unlocked; what approves is unlocked anew for each decision. */
let identity = null;
/** What opens what was recorded before a recovery: the kit of that time, kept sealed beside the owner's own keys. */
let older = [];
/** A new recovery kit that has not been tested yet. */
let newKit = null;
let draft = null;
let met = null;
const reviews = new Map();
const asked = new Map();

const device = async () => (met ??= (await meet()).device);
const opener = () => {
  if (!identity) throw new PageError("error.locked");
  return identity;
};

const operations = {
  /** What this browser has, and whether its keys are another doorbell's than `device`. */
  async state({ device } = {}) {
    const [kept, known] = await Promise.all([store.keys(), store.devices()]);
    const isOther = device !== undefined && kept !== undefined && known.length > 0 && !known.includes((await parseKey(device)).id);
    return { name: kept?.card.name ?? null, unlocked: identity !== null, isOther };
  },

  // Making an owner

  async draftKeys({ name }) {
    const [secrets, recovery] = await Promise.all([keys.makeSecrets(), keys.makeRecovery()]);
    draft = { secrets, recovery, card: await keys.cardOf(name, secrets, await identityToRecipient(recovery)) };
    return { recovery, recipient: draft.card.recovery };
  },

  async keepDraft({ passphrase, withRecovery }) {
    // A second owner has no kit of their own: the doorbell's first one stays in force.
    if (!withRecovery) draft.card = { ...draft.card, recovery: await enrolledRecovery() };
    await keys.keep(draft.card, draft.secrets, passphrase);
    identity = draft.secrets.identity;
  },

  /** `typed`: the kit, as the owner has it on paper.  It is opened with what was typed, not with what we remember. */
  async enrolFirst({ typed, origin }) {
    const recovery = await keys.readKit(typed);
    await requireKit(recovery, draft.card);
    await enrolling.enrolFirst(draft.card, draft.secrets, recovery);
    await enrolling.prove(draft.secrets.approval, origin);
    await meetFirst();
    draft = null;
  },

  // A second phone or owner

  async offerCard({ secret }) {
    const text = new TextDecoder().decode(encode(draft.card));
    const mac = hex(hmac(sha256, utf8(secret), utf8(text)));
    await ask("page_card", { card: JSON.stringify({ card: text, mac }) });
  },

  async makeInvitation() {
    const { code, life_s: lifeS, install, fingerprint } = await ask("page_invite");
    const { enrolled } = await meet();
    return { code, secret: hex(randomBytes(16)), life: lifeS, enrolment: enrolled.sha256 };
  },

  /** Names of those who joined with this invitation: cards the doorbell could not have made, for it has no secret. */
  async joined({ secret }) {
    const found = [];
    for (const offered of (await ask("page_cards")).cards) {
      const card = readCard(offered, secret);
      if (card) found.push(card.name);
    }
    return found;
  },

  async admit({ secret, name, passphrase }) {
    const own = await keys.unlock(passphrase);
    const offers = (await ask("page_cards")).cards.map((offered) => readCard(offered, secret));
    const card = offers.find((each) => each?.name === name);
    if (!card) throw new PageError("error.nobody-joined");
    const change = (recipients, approvers) => {
      if (recipients.some((each) => each.name === card.name)) throw new PageError("error.name-taken");
      return {
        recipients: [...recipients, { name: card.name, recipient: card.recipient }],
        approvers: [...approvers, { name: card.name, key: card.approver }],
      };
    };
    return enrolling.enrolNext(change, own.approval, { [own.card.recipient]: own.identity });
  },

  /** The other side: answers the test only this browser can open.  False while nobody has admitted it yet. */
  async answerInvitation({ passphrase, origin, expected }) {
    const own = await keys.unlock(passphrase);
    await answerWaitingTest(own);
    const now = await readEnrolment((await ask("enrolment")).envelope);
    if (!now.value.recipients.some((each) => each.recipient === own.card.recipient)) return false;
    if (expected && now.value.previous !== expected) throw new PageError("error.other-owners");
    await enrolling.prove(own.approval, origin);
    await meetFirst(expected);
    use(own);
    return true;
  },

  async removeOwner({ name, passphrase }) {
    const own = await keys.unlock(passphrase);
    if (name === own.card.name) throw new PageError("error.not-yourself");
    const others = (list) => list.filter((each) => each.name !== name);
    const change = (recipients, approvers) => ({ recipients: others(recipients), approvers: others(approvers) });
    await enrolling.enrolNext(change, own.approval, { [own.card.recipient]: own.identity });
  },

  /** How many owners it takes to share something from now on: 1 or 2. */
  async agreeOn({ needed, passphrase }) {
    const own = await keys.unlock(passphrase);
    const change = (recipients, approvers) => ({ recipients, approvers, approvals_needed: needed });
    await enrolling.enrolNext(change, own.approval, { [own.card.recipient]: own.identity });
  },

  // A new phone, with nothing but the recovery kit

  async recover({ typed, name, passphrase, replaces, origin }) {
    const recovery = await keys.readKit(typed);
    const approval = await keys.recoveryApproval(recovery);
    const shown = await readEnrolment((await ask("enrolment")).envelope);
    await requireKit(recovery, shown.value);
    const kitKey = (await publicKeyOfSeed(approval)).text;
    // A kit that `doorward owner keygen` made opens footage and decides nothing.
    if (!shown.value.approvers.some((each) => each.key === kitKey)) throw new PageError("error.kit-only-opens");
    await enrolling.prove(approval, origin);
    await meetFirst(shown.sha256);
    // Footage from before is sealed to the old keys and the kit: this one opens it, now and whenever these keys do.
    const secrets = { ...(await keys.makeSecrets()), older: [recovery] };
    const card = await keys.cardOf(name, secrets, shown.value.recovery);
    const others = (list) => list.filter((each) => each.name !== replaces && each.name !== name);
    const change = (recipients, approvers) => ({
      recipients: [...others(recipients), { name, recipient: card.recipient }],
      approvers: [...others(approvers), { name, key: card.approver }],
    });
    await keys.keep(card, secrets, passphrase);
    await enrolling.enrolNext(change, approval, { [card.recipient]: secrets.identity });
    await enrolling.prove(secrets.approval, origin);
    await meet();
    use(secrets);
  },

  // Another recovery kit, in place of the one that may have been seen or lost

  async draftKit() {
    newKit = await keys.makeRecovery();
    return { recovery: newKit, recipient: await identityToRecipient(newKit) };
  },

  /** `typed`: the new kit, as the owner has it on paper.  What is recorded from now on is sealed to it, not to the old. */
  async replaceKit({ typed, passphrase }) {
    const recovery = await keys.readKit(typed);
    if (recovery !== newKit) throw new PageError("error.another-kit");
    const own = await keys.unlock(passphrase);
    const recipient = await identityToRecipient(recovery);
    const kit = { name: keys.RECOVERY, key: (await publicKeyOfSeed(await keys.recoveryApproval(recovery))).text };
    const change = (recipients, approvers) => ({
      recipients,
      approvers: [...approvers.filter((each) => each.name !== keys.RECOVERY), kit],
      recovery: recipient,
    });
    await enrolling.enrolNext(change, own.approval, { [own.card.recipient]: own.identity, [recipient]: recovery });
    await keys.rename({ ...own.card, recovery: recipient });
    newKit = null;
  },

  async owners() {
    const { value } = await readEnrolment((await ask("enrolment")).envelope);
    const recipients = new Set(value.recipients.map((each) => each.name));
    const kit = { recipient: value.recovery, decides: value.approvers.some((each) => each.name === keys.RECOVERY) };
    return { kit, epoch: value.epoch, owners: [...recipients], mine: (await store.keys())?.card.name ?? null, needed: value.approvals_needed ?? 1 };
  },

  async backup() {
    return keys.backup();
  },

  async restore({ text, passphrase, origin }) {
    await keys.restore(text, passphrase);
    return operations.unlock({ passphrase, origin });
  },

  async unlock({ passphrase, origin }) {
    const own = await keys.unlock(passphrase);
    await answerWaitingTest(own);
    await enrolling.prove(own.approval, origin);
    await meetFirst();
    use(own);
  },

  async lock() {
    identity = newKit = null;
    older = [];
    reviews.clear();
    asked.clear();
  },

  async forget() {
    await operations.lock();
    await store.forgetEverything();
  },

  // Looking

  async hello() {
    return ask("page_hello");
  },

  async ask({ op, head }) {
    return ask(op, head);
  },

  async meet() {
    const { grown, checkpoint } = await meet();
    return { grown, size: checkpoint.size };
  },

  async poster({ id }) {
    const { image, seen } = await whicheverOpens((key) => reviewing.fetchPoster(id, met, key, signedIn(id)));
    return { media: image, seen };
  },

  async sound({ id }) {
    const { sound } = await whicheverOpens((key) => reviewing.fetchSound(id, met, key, signedIn(id)));
    return sound.slice();
  },

  async segment({ id }) {
    const { media, whole, record } = await whicheverOpens((key) => reviewing.fetchSegment(id, met, key, signedIn(id)));
    return { media: media.slice(), whole, span: reviewing.spanOfRecord(record) };
  },

  async live({ after }) {
    const { number, gops } = await whicheverOpens((key) => reviewing.fetchLive(after, met, key));
    return { number, gops: gops.map((gop) => ({ ...gop, media: gop.media.slice() })) };
  },

  /** Requests that matched: what the doorbell says of each, and what was asked in it where that opens with these keys. */
  async requests() {
    const answer = await ask("requests", { all: true });
    const shown = answer.requests.filter((each) => !["received", "no match"].includes(each.state));
    const opened = shown.map(async (each) => ({ ...each, ...(await askedIn(each.id)) }));
    return { ...answer, requests: await Promise.all(opened) };
  },

  async review({ id }) {
    const found = await whicheverOpens((key) => reviewing.review(id, key));
    reviews.set(id, found);
    return reviewing.shown(found);
  },

  /** What left, or may leave, of what a request (or a disclosure or tip) was given; null where nobody said yes. */
  async shared({ request, disclosure }) {
    const [now, ledger] = [await meet(), await readLedger()];
    const id = disclosure ?? disclosureOf(ledger.entries, request);
    if (!id) return null;
    let found;
    for (const key of [opener(), ...older]) {
      found = await sharedOf(id, ledger, now, key);
      if (found.unlisted !== "others") break;
    }
    return found;
  },

  // Deciding: each takes the passphrase, for the approval key is not kept unlocked

  async approve({ id, passphrase, ...choice }) {
    const own = await keys.unlock(passphrase);
    const found = reviews.get(id);
    if (!found) throw new PageError("error.review-first");
    return deciding.approve(found, own, choice, whicheverOpens);
  },

  async deny({ id, passphrase }) {
    await deciding.deny(id, await keys.unlock(passphrase));
  },

  async decide({ kind, matter, passphrase }) {
    return deciding.decide(kind, matter, await keys.unlock(passphrase));
  },

  async second({ id, passphrase }) {
    const found = reviews.get(id);
    if (!found) throw new PageError("error.review-first");
    return deciding.second(found, await keys.unlock(passphrase));
  },

  async gaps({ id }) {
    const found = reviews.get(id);
    if (!found) throw new PageError("error.review-first");
    return reviewing.gapsOf(found);
  },

  async takers() {
    return tipping.takers();
  },

  async tip({ passphrase, ...matter }) {
    return tipping.sendTip(matter, await keys.unlock(passphrase), whicheverOpens);
  },

  async bulletins() {
    return reviewing.bulletins(opener());
  },

  async trust() {
    return trusting.overview();
  },

  async trustRoot({ root, passphrase }) {
    await trusting.trustRoot(root, await keys.unlock(passphrase));
  },

  async untrustRoot({ root, passphrase }) {
    await trusting.untrustRoot(root, await keys.unlock(passphrase));
  },

  async lookAtBundle({ bytes }) {
    return trusting.lookAtBundle(bytes);
  },

  async offerBundle({ bytes }) {
    return trusting.offerBundle(bytes);
  },

  async set({ changes, passphrase }) {
    await changeSettings(changes, await keys.unlock(passphrase));
  },

  /** What stays in this browser: an address for contact cards. */
  async address() {
    return (await store.memory("address")) ?? "";
  },

  async keepAddress({ address }) {
    await store.remember("address", address);
  },

  async ledger() {
    return readLedger();
  },
};

/** Opens the test that an owner's invitation left for this browser, if there is one; also after a reload. */
async function answerWaitingTest({ card, identity: own }) {
  if (!(await ask("device")).pending) return;
  const tests = [{ name: card.name, recipient: card.recipient }];
  await enrolling.answerTests(tests, { [card.recipient]: own }).catch((error) => {
    if (error.kind !== "RequestError") throw error;
  });
}

const signedIn = (id) => {
  for (const found of reviews.values()) {
    const each = found.segments.find((segment) => segment.id === id);
    if (each) return each.record;
  }
  return undefined;
};

/** What was asked, opened once and remembered while unlocked; nothing of what came before this owner was enrolled. */
function askedIn(id) {
  if (!asked.has(id)) {
    const opened = whicheverOpens((key) => reviewing.asked(id, key)).catch((error) => {
      if (error.text !== "error.does-not-open") throw error;
      return {};
    });
    asked.set(id, opened);
    opened.catch(() => asked.delete(id));
  }
  return asked.get(id);
}

const isForOtherKeys = (error) => ["error.does-not-open", "error.not-yours"].includes(error.text);

/** After a recovery several keys may open: the new one, and the kit for what was recorded before. */
async function whicheverOpens(open) {
  const first = opener();
  met = await device();
  let problem;
  for (const key of [first, ...older]) {
    try {
      return await open(key);
    } catch (error) {
      if (!isForOtherKeys(error)) throw error;
      problem ??= error;
    }
  }
  throw problem;
}

function use(own) {
  identity = own.identity;
  older = own.older;
}

/** Raises for a kit that is not the one of this list of owners, with the names that are printed on both. */
async function requireKit(recovery, enrolment) {
  const name = (recipient) => `${recipient.slice(0, 16)} … ${recipient.slice(-8)}`;
  const mine = await identityToRecipient(recovery);
  if (mine !== enrolment.recovery) throw new PageError("error.other-kit", { mine: name(mine), wanted: name(enrolment.recovery) });
}

async function enrolledRecovery() {
  return (await readEnrolment((await ask("enrolment")).envelope)).value.recovery;
}

function readCard(offered, secret) {
  try {
    const { card: text, mac } = JSON.parse(offered);
    if (hex(hmac(sha256, utf8(secret), utf8(text))) !== mac) return null;
    return ownerCard(decode(utf8(text)));
  } catch {
    return null;
  }
}

self.onmessage = async ({ data: { number, name, values } }) => {
  try {
    const result = await operations[name](values ?? {});
    const media = result?.media ?? (result instanceof Uint8Array ? result : null);
    self.postMessage({ number, result }, media ? [media.buffer] : []);
  } catch (error) {
    self.postMessage({ number, error: plainOf(error) });
  }
};

