// The owner's client, in a worker: here keys are unlocked, footage is opened and statements are signed. The page asks
// by name and gets plain values, pictures and films back. Keys stay in the worker.

import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { atDoor, hello, isAway, leaveRelay, reachDoor, reachDoorbell, rememberRelay, retryDoor } from "./away.js";
import { LostError, OpenError, PageError, plainOf } from "./errors.js";
import { nameOfKit } from "./kit_name.js";
import { ask } from "./link.js";
import { msOf } from "./media/cover_film.js";
import { bytesOf, decoded, planesOf } from "./media/decoded.js";
import { picturesIn } from "./media/fmp4.js";
import { SuggestRuns } from "./media/suggest_runs.js";
import { openButtonCode } from "./owner/button_code.js";
import * as decisions from "./owner/decisions.js";
import * as enrolling from "./owner/enrolment.js";
import { makeGlanceKey, newestAlert } from "./owner/glance.js";
import { householdRoots, takeOverRoots } from "./owner/household_roots.js";
import * as keys from "./owner/keys.js";
import { rememberClaim } from "./owner/known.js";
import { readLedger } from "./owner/ledger.js";
import * as ownReplies from "./owner/own_replies.js";
import { RedactedFiles } from "./owner/redacted_files.js";
import { redactionsOf } from "./owner/redaction_plan.js";
import * as reviewing from "./owner/review.js";
import { changeSettings } from "./owner/settings.js";
import { disclosureOf, sharedOf } from "./owner/shared.js";
import * as store from "./owner/store.js";
import { readEnrolment, syncDevice, syncNewDevice } from "./owner/sync.js";
import { beginTalk, endTalk, sendTalk } from "./owner/talk.js";
import * as tips from "./owner/tips.js";
import * as trusting from "./owner/trust.js";
import { identityToRecipient } from "./wire/age.js";
import { hex, randomBytes, utf8 } from "./wire/bytes.js";
import { parseKey, publicKeyOfSeed } from "./wire/keys.js";
import { LiveOpener } from "./wire/live.js";
import { ownerCard } from "./wire/messages.js";
import { approverOf } from "./wire/mldsa.js";
import { decode, encode } from "./wire/strictjson.js";

/** @import { Answer, Bytes, Choice, Credential, LiveGop, PublicKey, Reviewed, Secrets } from "./types.js" */
/** @import { Planned, TalkFrame, TipMatter } from "./types.js" */
/** @import { Draft } from "./owner/cover_draft.js" */
/** @import { Followed } from "./owner/region_tracks.js" */
/** @import { Arguments } from "./link.js" */
/** @import { ControlOperations } from "./wire/generated.js" */
/** @import * as Wire from "./wire/generated.js" */
/**
 * Opens footage while the page is unlocked. The approval key is unlocked for each decision.
 *
 * @type {string | null}
 */
let identity = null;
/**
 * Opens footage from before a recovery: the kit of that time, kept sealed beside the owner's own keys.
 *
 * @type {string[]}
 */
let older = [];
/**
 * A new recovery kit that has not been tested yet.
 *
 * @type {string | null}
 */
let newKit = null;
/**
 * The keys of a future owner.
 *
 * @type {{ secrets: Secrets, recovery: string, card: Wire.OwnerCard } | null}
 */
let draft = null;
/**
 * The recipient of keys that a recovery has kept before the doorbell took them: another try may replace them.
 *
 * @type {string | undefined}
 */
let untaken;
/**
 * The key of live view that this browser opens its parts with.
 *
 * @type {{ key: string, opener: LiveOpener } | undefined}
 */
let live;
/** @type {PublicKey | null} */
let synced = null;
/** @type {Map<string, Reviewed>} */
const reviews = new Map();
/** @type {Map<string, Promise<object>>} */
const asked = new Map();
let redacted = new RedactedFiles(firstThatOpens, loadLossless);
/** @type {SuggestRuns<Draft[]>} */
const suggesting = new SuggestRuns();
/** @type {SuggestRuns<Followed>} */
const following = new SuggestRuns();

const device = async () => {
  synced ??= (await syncDevice()).device;
  return synced;
};
const opener = () => {
  if (!identity) throw new PageError("error.locked");
  return identity;
};

/** The keys that were made a moment ago: the page asks for them in this order. */
const drafted = () => {
  if (!draft) throw new PageError("error.no-keys");
  return draft;
};

/** @typedef {typeof operations} Operations */
const operations = {
  /**
   * This browser's keys, whether they are another doorbell's than `device`, and whether `device` had an owner when this
   * browser saw it last.
   *
   * @param {{ device?: string }} options
   */
  async state({ device }) {
    const [kept, known] = await Promise.all([store.keys(), store.devices()]);
    const hadOwner = device !== undefined && known.includes((await parseKey(device)).id);
    const isOther = device !== undefined && kept !== undefined && known.length > 0 && !hadOwner;
    return { name: kept?.card.name ?? null, unlocked: identity !== null, isOther, hadOwner };
  },

  // Making an owner

  /** @param {{ name: string }} options */
  async draftKeys({ name }) {
    const [secrets, recovery] = await Promise.all([keys.makeSecrets(), keys.makeRecovery()]);
    const card = await keys.cardOf(name, secrets, await identityToRecipient(recovery));
    draft = { secrets, recovery, card };
    return { recovery, recipient: card.recovery };
  },

  /** @param {{ passphrase: string, withRecovery: boolean }} options */
  async keepDraft({ passphrase, withRecovery }) {
    // A second owner has no separate kit: the doorbell's first one stays in force.
    const made = drafted();
    if (withRecovery) await requireNeverOwned();
    else made.card = { ...made.card, recovery: await enrolledRecovery() };
    await keys.keep(made.card, made.secrets, passphrase);
    identity = made.secrets.identity;
  },

  /**
   * `typed`: the kit, as the owner has it on paper. Opens with the typed text, to prove that the paper is right.
   *
   * @param {{ typed: string, origin: string }} options
   */
  async enrolFirst({ typed, origin }) {
    const recovery = await keys.readKit(typed);
    const { card, secrets } = drafted();
    await requireKit(recovery, card);
    await requireNeverOwned();
    await enrolling.enrolFirst(card, secrets, recovery);
    await enter(secrets.approval, origin);
    draft = null;
  },

  /**
   * The first enrolment of another doorbell of the household, with the keys and the kit of the first one.
   *
   * @param {{ text: string, passphrase: string, typed: string, origin: string }} options
   */
  async claimWithKeys({ text, passphrase, typed, origin }) {
    const recovery = await keys.readKit(typed);
    const own = await keys.openBackup(text, passphrase);
    await requireKit(recovery, own.card);
    await requireNeverOwned();
    await enrolling.enrolFirst(own.card, own, recovery);
    await keys.keepBackup(own);
    await enter(own.approval, origin);
    use(own);
  },

  /**
   * The first enrolment of a doorbell that had owners and has lost them, with the keys in this browser and the kit that
   * was in force. Call it only after the owner's clear decision: this browser then gives up the list of owners and the
   * ledger that it has seen. `isNewer`: the owner says that another browser or a command made this kit, so this browser
   * has not seen it.
   *
   * @param {{ credential: Credential, typed: string, origin: string, isNewer?: boolean }} options
   */
  async claimAgain({ credential, typed, origin, isNewer = false }) {
    const recovery = await keys.readKit(typed);
    const own = await keys.unlock(credential);
    const { id } = await shownDevice();
    const known = await store.memory(id);
    if (!known) throw new OpenError("error.unknown-doorbell");
    const card = { ...own.card, recovery: await identityToRecipient(recovery) };
    await requireCurrentKit(recovery, known.enrolments, isNewer);
    // Kept first, because the doorbell's answer may get lost: only such a list may take the place of those from before.
    await enrolling.enrolFirst(card, own, recovery, (sha256) => rememberClaim(id, sha256));
    await keys.rename(card);
    await enter(own.approval, origin);
    use(own);
  },

  // A second phone or owner

  /** @param {{ secret: string }} options */
  async offerCard({ secret }) {
    const text = new TextDecoder().decode(encode(drafted().card));
    const mac = hex(hmac(sha256, utf8(secret), utf8(text)));
    await ask("page_card", { card: JSON.stringify({ card: text, mac }) });
  },

  async makeInvitation() {
    const { code, life_s: lifeS, install, fingerprint } = await ask("page_invite");
    const { enrolled } = await syncDevice();
    return { code, secret: hex(randomBytes(16)), life: lifeS, install, fingerprint, enrolment: enrolled.sha256 };
  },

  /**
   * Names of those who joined with this invitation. Only a holder of its secret can make their cards, and the doorbell
   * has none.
   *
   * @param {{ secret: string }} options
   */
  async joined({ secret }) {
    const found = [];
    for (const offered of (await ask("page_cards")).cards) {
      const card = readCard(offered, secret);
      if (card) found.push(card.name);
    }
    return found;
  },

  /** @param {{ secret: string, name: string, credential: Credential }} options */
  async admit({ secret, name, credential }) {
    const own = await keys.unlock(credential);
    const { cards } = await ask("page_cards");
    const offers = cards.flatMap((/** @type {string} */ offered) => readCard(offered, secret) ?? []);
    // A guest of the household who has seen the code could offer keys under the expected name.
    if (new Set(offers.map(({ recipient }) => recipient)).size > 1) throw new PageError("error.two-joined");
    const card = offers.find((each) => each.name === name);
    if (!card) throw new PageError("error.nobody-joined");
    /**
     * @param {Wire.NamedRecipient[]} recipients
     * @param {Wire.NamedKey[]} approvers
     */
    const change = (recipients, approvers) => {
      if (recipients.some((each) => each.name === card.name)) throw new PageError("error.name-taken");
      return {
        recipients: [...recipients, { name: card.name, recipient: card.recipient }],
        approvers: [...approvers, { name: card.name, key: card.approver, mldsa: card.approver_mldsa }],
      };
    };
    return changeOwners(change, own.approval, { [own.card.recipient]: own.identity });
  },

  /**
   * The other side: answers the test that only this browser can open. False until an owner has admitted it.
   *
   * @param {{ passphrase: string, origin: string, expected: string }} options
   */
  async answerInvitation({ passphrase, origin, expected }) {
    const own = await keys.unlock(passphrase);
    await answerWaitingTest(own);
    const now = await readEnrolment((await ask("enrolment")).envelope);
    if (!now.value.recipients.some((each) => each.recipient === own.card.recipient)) return false;
    // The invitation named the list before. Any other one may be that of a doorbell with other owners.
    if (expected && now.value.previous !== expected) throw new PageError("error.other-owners");
    await enter(own.approval, origin, expected);
    use(own);
    return true;
  },

  /** @param {{ name: string, credential: Credential }} options */
  async removeOwner({ name, credential }) {
    const own = await keys.unlock(credential);
    if (name === own.card.name) throw new PageError("error.not-yourself");
    /**
     * @template {{ name: string }} T
     * @param {T[]} list
     * @returns {T[]}
     */
    const others = (list) => list.filter((each) => each.name !== name);
    /**
     * @param {Wire.NamedRecipient[]} recipients
     * @param {Wire.NamedKey[]} approvers
     */
    const change = (recipients, approvers) => ({ recipients: others(recipients), approvers: others(approvers) });
    await changeOwners(change, own.approval, { [own.card.recipient]: own.identity });
  },

  /**
   * Sets the number of owners that sharing takes from now on: 1 or 2.
   *
   * @param {{ needed: number, credential: Credential }} options
   */
  async agreeOn({ needed, credential }) {
    const own = await keys.unlock(credential);
    /**
     * @param {Wire.NamedRecipient[]} recipients
     * @param {Wire.NamedKey[]} approvers
     */
    const change = (recipients, approvers) => ({ recipients, approvers, approvals_needed: needed });
    await changeOwners(change, own.approval, { [own.card.recipient]: own.identity });
  },

  // A new phone, with the recovery kit alone

  /**
   * Makes new keys with the kit, `typed`. The list of owners that the kit signs leaves out the keys named `replaces`.
   * When the list takes effect, the phone with those keys loses an owner's rights. Refused in a browser with keys.
   *
   * @param {{ typed: string, name: string, passphrase: string, replaces: string, origin: string }} options
   */
  async recover({ typed, name, passphrase, replaces, origin }) {
    const recovery = await keys.readKit(typed);
    await keys.requireNoOthers(untaken);
    const approval = await keys.recoveryApproval(recovery);
    const shown = await readEnrolment((await ask("enrolment")).envelope);
    await requireKit(recovery, shown.value);
    const kitKey = (await publicKeyOfSeed(approval)).text;
    // A kit that `doorward owner keygen` made opens footage but cannot decide.
    if (!shown.value.approvers.some((each) => each.key === kitKey)) throw new PageError("error.kit-only-opens");
    await enrolling.prove(approval, origin);
    await syncNewDevice(shown.sha256);
    // Footage from before is sealed to the old keys and the kit: this one opens it, now and whenever these keys do.
    const secrets = { ...(await keys.makeSecrets()), older: [recovery] };
    const card = await keys.cardOf(name, secrets, shown.value.recovery);
    /**
     * @template {{ name: string }} T
     * @param {T[]} list
     * @returns {T[]}
     */
    const others = (list) => list.filter((each) => each.name !== replaces && each.name !== name);
    /**
     * @param {Wire.NamedRecipient[]} recipients
     * @param {Wire.NamedKey[]} approvers
     */
    const change = (recipients, approvers) => ({
      recipients: [...others(recipients), { name, recipient: card.recipient }],
      approvers: [...others(approvers), { name, key: card.approver, mldsa: card.approver_mldsa }],
    });
    // Kept before the doorbell takes them: if its answer is lost, footage is sealed to keys that this browser has.
    await keys.keep(card, secrets, passphrase);
    untaken = card.recipient;
    await enrolling.enrolNext(change, approval, { [card.recipient]: secrets.identity });
    untaken = undefined;
    await enter(secrets.approval, origin);
    use(secrets);
  },

  // Another recovery kit, in place of the one that may have been seen or lost

  async draftKit() {
    newKit = await keys.makeRecovery();
    return { recovery: newKit, recipient: await identityToRecipient(newKit) };
  },

  /**
   * `typed`: the new kit, as the owner has it on paper. New footage is sealed to it instead of the old kit.
   *
   * @param {{ typed: string, credential: Credential }} options
   */
  async replaceKit({ typed, credential }) {
    const recovery = await keys.readKit(typed);
    if (recovery !== newKit) throw new PageError("error.another-kit");
    const own = await keys.unlock(credential);
    const recipient = await identityToRecipient(recovery);
    const kit = { name: keys.RECOVERY, ...(await approverOf(await keys.recoveryApproval(recovery))) };
    /**
     * @param {Wire.NamedRecipient[]} recipients
     * @param {Wire.NamedKey[]} approvers
     */
    const change = (recipients, approvers) => ({
      recipients,
      approvers: [...approvers.filter((each) => each.name !== keys.RECOVERY), kit],
      recovery: recipient,
    });
    await changeOwners(change, own.approval, { [own.card.recipient]: own.identity, [recipient]: recovery });
    await keys.rename({ ...own.card, recovery: recipient });
    newKit = null;
  },

  async owners() {
    const { value } = await readEnrolment((await ask("enrolment")).envelope);
    const recipients = new Set(value.recipients.map((each) => each.name));
    const kit = { recipient: value.recovery, decides: value.approvers.some((each) => each.name === keys.RECOVERY) };
    return {
      kit,
      epoch: value.epoch,
      owners: [...recipients],
      mine: (await store.keys())?.card.name ?? null,
      needed: value.approvals_needed ?? 1,
    };
  },

  async backup() {
    return keys.backup();
  },

  /** Data that a page needs to ask for the passkey of these keys. */
  async passkey() {
    const found = (await store.keys())?.passkey;
    return found ? { id: found.id, salt: found.salt } : null;
  },

  /** @param {{ id: string, salt: string, secret: Bytes, credential: Credential }} options */
  async addPasskey({ id, salt, secret, credential }) {
    await keys.addPasskey({ id, salt }, secret, credential);
  },

  /** A new glance key: the values of it that an owner signs. */
  async makeGlanceKey() {
    return makeGlanceKey();
  },

  /** The picture of a fresh alert, which the glance key opens while the owner's keys are locked. */
  async newestAlert() {
    return newestAlert();
  },

  async removePasskey() {
    await keys.removePasskey();
  },

  /**
   * The code of a long press, opened with the kit, with the keys in this browser (`credential`) or with a backup. The
   * backup's keys stay in this browser, sealed, if they open the code and the browser has none.
   *
   * @param {{ sealed: Bytes, typed?: string, credential?: Credential, text?: string, passphrase?: string }} options
   */
  async openButtonCode({ sealed, typed, credential, text, passphrase }) {
    if (typed !== undefined) return openButtonCode(sealed, await keys.readKit(typed));
    if (credential !== undefined) return openButtonCode(sealed, (await keys.unlock(credential)).identity);
    const backup = await keys.openBackup(text ?? "", passphrase ?? "");
    const code = await openButtonCode(sealed, backup.identity);
    if (!(await store.keys())) await keys.keepBackup(backup);
    return code;
  },

  /**
   * Brings keys back from a backup, once the doorbell has taken them for an owner's. Refused in a browser with others.
   *
   * @param {{ text: string, passphrase: string, origin: string }} options
   */
  async restore({ text, passphrase, origin }) {
    const own = await keys.openBackup(text, passphrase);
    await keys.requireNoOthers(own.card.recipient, untaken);
    await comeIn(own, origin);
    await keys.keepBackup(own);
    use(own);
  },

  /** @param {{ credential: Credential, origin: string }} options */
  async unlock({ credential, origin }) {
    const own = await keys.unlock(credential);
    await comeIn(own, origin);
    use(own);
  },

  async lock() {
    leaveRelay();
    identity = null;
    newKit = null;
    older = [];
    live = undefined;
    reviews.clear();
    asked.clear();
    redacted = new RedactedFiles(firstThatOpens, loadLossless);
  },

  /** Deletes the keys from this browser for good. */
  async removeKeys() {
    await operations.lock();
    await store.forgetEverything();
  },

  // Looking

  /** The doorbell's words before unlocking. */
  async hello() {
    return hello();
  },

  /** True if live view and talk work while the keys are locked: a session with this browser's glance key. */
  async reachDoor() {
    return identity === null && reachDoor();
  },

  /**
   * @template {keyof ControlOperations} Op
   * @param {{ op: Op, values: Arguments<Op> }} options
   */
  async ask({ op, values }) {
    return ask(op, ...values);
  },

  async syncDevice() {
    const { grown, checkpoint } = await syncDevice();
    return { grown, size: checkpoint.size };
  },

  /** @param {{ id: string }} options */
  async poster({ id }) {
    const { image, seen } = await firstThatOpens((key, by) => reviewing.fetchPoster(id, by, key, signedIn(id)));
    return { media: image, seen };
  },

  /** @param {{ id: string }} options */
  async sound({ id }) {
    const { sound } = await firstThatOpens((key, by) => reviewing.fetchSound(id, by, key, signedIn(id)));
    return sound.slice();
  },

  /** @param {{ id: string }} options */
  async segment({ id }) {
    const { media, whole, record } = await firstThatOpens((key, by) =>
      reviewing.fetchSegment(id, by, key, signedIn(id)),
    );
    return { media: media.slice(), whole, span: reviewing.spanOfRecord(record) };
  },

  /** @param {{ after: number, small: boolean }} options `small`: the last answer had small pictures */
  async live({ after, small }) {
    const looks = await lookingAtDoor();
    const key = looks ? looks.key : opener();
    if (live?.key !== key || !after) {
      const by = looks ? looks.by : await device();
      live = { key, opener: new LiveOpener(key, by.id, { isNewcomer: looks !== undefined }) };
    }
    const found = await reviewing.fetchLive(after, small, live.opener).catch(throwFromDoor);
    return { ...found, gops: found.gops.map(ownBytes) };
  },

  /** A session with the doorbell's speaker, or the reason why there is none. */
  async talkBegin() {
    const looks = await lookingAtDoor();
    const begun = looks ? beginTalk(looks.key, looks.by) : beginTalk(opener(), await device());
    return begun.catch(throwFromDoor);
  },

  /** @param {{ frames: TalkFrame[] }} options */
  async talkSend({ frames }) {
    return sendTalk(frames);
  },

  async talkEnd() {
    await endTalk();
  },

  /** The names of the owner's own replies in this browser. */
  async ownReplies() {
    return ownReplies.names();
  },

  /** @param {{ name: string }} options */
  async ownReply({ name }) {
    return ownReplies.frames(name);
  },

  /** @param {{ name: string, frames: TalkFrame[] }} options */
  async keepReply({ name, frames }) {
    opener(); // a locked page changes nothing
    await ownReplies.keep(name, frames);
  },

  /** @param {{ name: string }} options */
  async deleteReply({ name }) {
    opener();
    await ownReplies.remove(name);
  },

  /**
   * Requests that matched: what the doorbell says of each, and what was asked in it where that opens with these keys.
   */
  async requests() {
    const answer = await ask("requests", { all: true });
    const shown = answer.requests.filter(
      (/** @type {Answer} */ each) => !["received", "no match"].includes(each.state),
    );
    const opened = shown.map(async (/** @type {Answer} */ each) => ({ ...each, ...(await askedIn(each.id)) }));
    return { ...answer, requests: await Promise.all(opened) };
  },

  /** @param {{ id: string }} options */
  async review({ id }) {
    const found = await firstThatOpens((key) => reviewing.review(id, key));
    reviews.set(id, found);
    return reviewing.shown(found);
  },

  /**
   * Footage that left, or may leave, for a request, disclosure or tip; null if no owner approved.
   *
   * @param {{ request?: string, disclosure?: string }} options
   */
  async shared({ request, disclosure }) {
    const [now, ledger] = [await syncDevice(), await readLedger()];
    const id = disclosure ?? disclosureOf(ledger.entries, request ?? "");
    if (!id) return null;
    let found;
    for (const key of [opener(), ...older]) {
      found = await sharedOf(id, ledger, now, key);
      if (found.unlisted !== "others") break;
    }
    if (found?.request && request) {
      const { request: approved } = found;
      const asked = await firstThatOpens((key) => reviewing.approvedRequest(request, approved, key)).catch(() => null);
      return { ...found, promise: asked && reviewing.promiseIn(asked) };
    }
    return found;
  },

  // Deciding: each takes the credential, because the approval key stays locked

  /** @param {{ id: string, credential: Credential } & Choice} options */
  async approve({ id, credential, ...choice }) {
    const own = await keys.unlock(credential);
    return decisions.approve(reviewed(id), own, choice, firstThatOpens, redacted);
  },

  /**
   * Begins to look for faces in the films of a clip, and for number plates if asked. Returns the number of this search.
   *
   * @param {{ plates: boolean }} options
   */
  async beginSuggesting({ plates }) {
    if (!("OffscreenCanvas" in globalThis)) throw new PageError("error.no-webcodecs");
    // With the version of this program, as the page asks for its other files.
    const { search } = new URL(import.meta.url);
    /** @type {[typeof import("./media/suggest_covers.js"), Response, Response | undefined]} */
    const [program, answer, cascade] = await Promise.all([
      import(`/static/faces.js${search}`),
      fetch(`/static/faces.bin${search}`),
      plates ? fetch(`/static/plates.json${search}`) : undefined,
    ]).catch(() => {
      throw new LostError();
    });
    if (!answer.ok || cascade?.ok === false) throw new LostError();
    const file = new Uint8Array(await answer.arrayBuffer());
    return suggesting.begin(new program.CoverSuggester(file, await cascade?.json(), { decoded, msOf, picturesIn }));
  },

  /**
   * Looks for faces in the next film of the clip.
   *
   * @param {{ run: number, id: string, lengthMs: number }} options
   */
  async suggestIn({ run, id, lengthMs }) {
    const open = () => firstThatOpens((key, by) => reviewing.fetchSegment(id, by, key, signedIn(id)));
    await suggesting.add(run, async () => (await open()).media, lengthMs);
  },

  /**
   * The covers that are suggested for the clip, at most this many.
   *
   * @param {{ run: number, most: number }} options
   */
  async suggestions({ run, most }) {
    return suggesting.finish(run, most) ?? [];
  },

  /**
   * Begins to follow what is below a cover. Returns the number of this search, and in which order it takes the films of
   * the clip.
   *
   * @param {{ hand: Wire.Place[], from: number, until: number, lengths: number[] }} cover the places that the owner
   *   set, and its times and the lengths of the films, in ms
   */
  async beginFollowing(cover) {
    const { search } = new URL(import.meta.url);
    /** @type {typeof import("./media/follow_region.js")} */
    const program = await import(`/static/follow.js${search}`).catch(() => {
      throw new LostError();
    });
    const follower = new program.RegionFollower(cover, { bytesOf, decoded, msOf, picturesIn, planesOf });
    return { run: following.begin(follower), order: follower.order };
  },

  /**
   * Follows through the next film of the order.
   *
   * @param {{ run: number, id: string }} options
   */
  async followIn({ run, id }) {
    const open = () => firstThatOpens((key, by) => reviewing.fetchSegment(id, by, key, signedIn(id)));
    await following.add(run, async () => (await open()).media, 0);
  },

  /**
   * The places of the cover, and where it is unsure.
   *
   * @param {{ run: number }} options
   */
  async followed({ run }) {
    return following.finish(run, 1);
  },

  /**
   * All files that plans redact, in the order of the review. Throws what is wrong with the plans.
   *
   * @param {{ id: string, plans: Record<string, Planned[]> }} options
   */
  async redactedBy({ id, plans }) {
    const found = reviewed(id);
    return filesIn(found, redactionsOf(plans, decisions.datedClips(found)));
  },

  /**
   * The files of a choice that its plans redact. Throws what is wrong with the plans, or why the choice would show what
   * they hide.
   *
   * @param {{ id: string } & Pick<Choice, "segments" | "posters" | "sounds" | "plans">} options
   */
  async redactedIn({ id, ...choice }) {
    const found = reviewed(id);
    const shared = { segment: choice.segments, sound: choice.sounds ?? [] };
    const files = filesIn(found, decisions.plannedFor(found, choice));
    return files.filter(({ file, id: segment }) => shared[file].includes(segment));
  },

  /**
   * The redacted film or sound of a segment, as `approve` with the same plans shares it.
   *
   * @param {{ id: string, file: "segment" | "sound", segment: string, exact: boolean } & Pick<Choice, "plans">} options
   */
  async redact({ id, file, segment, plans, exact }) {
    const found = reviewed(id);
    const each = found.segments.find((one) => one.id === segment);
    const redactions = redactionsOf(plans ?? {}, decisions.datedClips(found));
    if (!each || !redactions[file][segment]) throw new PageError("error.plan-nothing");
    return (await redacted.make(file, each, redactions[file][segment], exact)).slice();
  },

  /** @param {{ id: string, credential: Credential }} options */
  async deny({ id, credential }) {
    await decisions.deny(id, await keys.unlock(credential));
  },

  /** @param {{ kind: string, matter: object, credential: Credential }} options */
  async decide({ kind, matter, credential }) {
    return decisions.decide(kind, matter, await keys.unlock(credential));
  },

  /** @param {{ id: string, credential: Credential }} options */
  async coApprove({ id, credential }) {
    return decisions.coApprove(reviewed(id), await keys.unlock(credential));
  },

  /** @param {{ id: string }} options */
  async gaps({ id }) {
    return reviewing.gapsOf(reviewed(id));
  },

  async tipRecipients() {
    return tips.tipRecipients();
  },

  /** @param {{ credential: Credential } & TipMatter} options */
  async tip({ credential, ...matter }) {
    return tips.sendTip(matter, await keys.unlock(credential), firstThatOpens);
  },

  async bulletins() {
    return reviewing.bulletins(opener());
  },

  async trust() {
    return trusting.overview();
  },

  /** Roots that other owners signed, and that this browser does not know yet. */
  async householdRoots() {
    return householdRoots();
  },

  /** @param {{ roots: string[] }} options */
  async takeOverRoots({ roots }) {
    await takeOverRoots(roots);
  },

  /** @param {{ roots: string[], credential: Credential }} options */
  async addTrustRoots({ roots, credential }) {
    await trusting.addTrustRoots(roots, await keys.unlock(credential));
  },

  /** @param {{ root: string, credential: Credential }} options */
  async removeTrustRoot({ root, credential }) {
    await trusting.removeTrustRoot(root, await keys.unlock(credential));
  },

  /** @param {{ bytes: Bytes }} options */
  async previewBundle({ bytes }) {
    return trusting.previewBundle(bytes);
  },

  /** @param {{ bytes: Bytes, cell: string | null }} options */
  async offerBundle({ bytes, cell }) {
    return trusting.offerBundle(bytes, cell);
  },

  /** @param {{ changes: Record<string, unknown>, credential: Credential }} options */
  async set({ changes, credential }) {
    await changeSettings(changes, await keys.unlock(credential));
  },

  /** An address for contact cards, kept in this browser. */
  async address() {
    return (await store.memory("address")) ?? "";
  },

  /** @param {{ address: string }} options */
  async keepAddress({ address }) {
    await store.remember("address", address);
  },

  async ledger() {
    return readLedger();
  },
};

/**
 * Opens the test that an owner's invitation left for this browser, if there is one; also after a reload.
 *
 * @param {{ card: Wire.OwnerCard, identity: string }} options
 */
async function answerWaitingTest({ card, identity: own }) {
  if (!(await ask("device")).pending) return;
  const tests = [{ name: card.name, recipient: card.recipient }];
  await enrolling.answerTests(tests, { [card.recipient]: own }).catch((error) => {
    if (error.kind !== "RequestError") throw error;
  });
}

/**
 * The request, as an owner has looked at it.
 *
 * @param {string} id
 */
function reviewed(id) {
  const found = reviews.get(id);
  if (!found) throw new PageError("error.review-first");
  return found;
}

/**
 * @param {Reviewed} found
 * @param {ReturnType<typeof redactionsOf>} redactions
 */
const filesIn = (found, redactions) =>
  /** @type {const} */ (["segment", "sound"]).flatMap((file) =>
    found.segments.filter(({ id }) => redactions[file][id]).map(({ id }) => ({ file, id })),
  );

/** @returns {Promise<typeof import("./media/lossless_encoder.js")>} what makes exact films, which few owners ask for */
async function loadLossless() {
  const { search } = new URL(import.meta.url);
  return import(`/static/lossless.js${search}`).catch(() => {
    throw new LostError();
  });
}

/** @param {string} id */
const signedIn = (id) => {
  for (const found of reviews.values()) {
    const each = found.segments.find((segment) => segment.id === id);
    if (each) return each.record;
  }
  return undefined;
};

/**
 * The content of a request, opened once and remembered while unlocked. A request from before this owner's enrolment
 * stays closed.
 *
 * @param {string} id
 */
function askedIn(id) {
  if (!asked.has(id)) {
    const opened = firstThatOpens((key) => reviewing.asked(id, key)).catch((error) => {
      if (error.text !== "error.does-not-open") throw error;
      return {};
    });
    asked.set(id, opened);
    // A failure that may pass, for example of the network, must not be remembered.
    opened.catch(() => asked.delete(id));
  }
  return asked.get(id);
}

/** @param {any} error */
const isForOtherKeys = (error) => ["error.does-not-open", "error.not-yours"].includes(error.text);

/**
 * After a recovery several keys may open: the new one, and the kit for what was recorded before.
 *
 * @template T
 * @param {(identity: string, device: PublicKey) => Promise<T>} open
 * @returns {Promise<T>}
 */
async function firstThatOpens(open) {
  const first = opener();
  const by = await device();
  let problem;
  for (const key of [first, ...older]) {
    try {
      return await open(key, by);
    } catch (error) {
      if (!isForOtherKeys(error)) throw error;
      problem ??= error;
    }
  }
  throw problem;
}

/**
 * Finds the doorbell, at home or over the relay, and enters with these keys.
 *
 * @param {{ card: Wire.OwnerCard } & Secrets} own
 * @param {string} origin
 */
async function comeIn(own, origin) {
  await reachDoorbell(own.approval);
  await answerWaitingTest(own);
  await enter(own.approval, origin);
}

/**
 * Proves that this browser is an owner's, and keeps what it needs away from home.
 *
 * @param {Bytes} approval
 * @param {string} origin
 * @param {string} [expected] of `syncNewDevice`
 */
async function enter(approval, origin, expected) {
  if (!isAway()) await enrolling.prove(approval, origin);
  const { device: met } = await syncNewDevice(expected);
  await rememberRelay(met.text);
}

/**
 * Signs a list of owners. It changes the doorbell's address at the relay.
 *
 * @param {Parameters<typeof enrolling.enrolNext>} values
 */
async function changeOwners(...values) {
  const signed = await enrolling.enrolNext(...values);
  await rememberRelay((await device()).text);
  return signed;
}

/**
 * The glance key and the doorbell's key while the keys are locked, or undefined. A session that was lost, as over a
 * restart of the doorbell or another network of the phone, is opened again.
 */
async function lookingAtDoor() {
  if (identity !== null) return undefined;
  if (!atDoor() && !(await reachDoor())) throw new LostError();
  return atDoor();
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function throwFromDoor(error) {
  throw identity === null ? retryDoor(error) : error;
}

/** @param {Secrets} own */
function use(own) {
  identity = own.identity;
  older = own.older;
}

/**
 * Throws an error for a kit that differs from the one of this list of owners, with the names that are printed on both.
 *
 * @param {string} recovery
 * @param {{ recovery: string }} enrolment
 */
async function requireKit(recovery, enrolment) {
  const mine = await identityToRecipient(recovery);
  if (mine !== enrolment.recovery)
    throw new PageError("error.other-kit", { mine: nameOfKit(mine), wanted: nameOfKit(enrolment.recovery) });
}

/**
 * Throws an error for a kit that differs from the newest one that this browser has seen. One that it has never seen
 * counts if the owner says that it is newer: the list that named it may be lost with the doorbell's card. One that it
 * saw replaced never counts, because it may be in a stranger's hands.
 *
 * @param {string} recovery
 * @param {string[]} envelopes all lists of owners that this browser has seen
 * @param {boolean} isNewer
 */
async function requireCurrentKit(recovery, envelopes, isNewer) {
  const seen = (await Promise.all(envelopes.map(readEnrolment))).map(({ value }) => value.recovery);
  const [mine, wanted] = [await identityToRecipient(recovery), seen[seen.length - 1]];
  const values = { mine: nameOfKit(mine), wanted: nameOfKit(wanted) };
  if (seen.includes(mine) && mine !== wanted) throw new PageError("error.other-kit", values);
  if (!seen.includes(mine) && !isNewer) throw new PageError("error.unseen-kit", values);
}

const shownDevice = async () => parseKey((await ask("device")).device);

/**
 * Throws an error if this browser knew the doorbell with an owner. A claim as if it were new would replace this
 * browser's keys, which may be the only ones that open its clips, and would hide that it was set back.
 */
async function requireNeverOwned() {
  if (await store.memory((await shownDevice()).id)) throw new PageError("error.had-owner");
}

async function enrolledRecovery() {
  return (await readEnrolment((await ask("enrolment")).envelope)).value.recovery;
}

/**
 * @param {string} offered
 * @param {string} secret
 */
function readCard(offered, secret) {
  try {
    const { card: text, mac } = JSON.parse(offered);
    // Checked before the card is parsed: any paired browser may have offered it.
    if (hex(hmac(sha256, utf8(secret), utf8(text))) !== mac) return null;
    return ownerCard(decode(utf8(text)));
  } catch {
    return null;
  }
}

/**
 * Copies, because the opened file's buffer holds both.
 *
 * @param {LiveGop} gop
 */
const ownBytes = (gop) => ({
  ...gop,
  media: gop.media.slice(),
  sound: gop.sound && { ...gop.sound, media: gop.sound.media.slice() },
});

/** @type {Record<string, (values: any) => Promise<any>>} */
const byName = operations;

self.onmessage = async ({ data: { number, name, values } }) => {
  try {
    const result = await byName[name](values ?? {});
    // A film is handed over, not copied: a copy would double the memory of a phone for a moment.
    const media = result?.media ?? (result instanceof Uint8Array ? result : null);
    self.postMessage({ number, result }, { transfer: media ? [media.buffer] : [] });
  } catch (error) {
    self.postMessage({ number, error: plainOf(error) });
  }
};
