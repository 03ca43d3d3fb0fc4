// The live picture: the newest GOPs, sealed to the owners part by part and opened here. There is no other way to
// the camera. While the camera does not film, the newest segment is shown.
import { FormatError, LostError } from "../errors.js";
import { canShow, FramePlayer } from "../media/frame_player.js";
import { fromKeyframe, LiveOrder } from "../media/live_edge.js";
import { follow } from "../media/live_player.js";
import { ask, call } from "../ui/client.js";
import { dialog, say } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { canShare, download, handOver, stampOf } from "../ui/files.js";
import { TalkPanel } from "../ui/talk_panel.js";
import { clock, dateAndClock, explain, listed, t } from "../ui/texts.js";

/** @import { Answer, LiveGop } from "../types.js" */

const PAUSE_MS = 200;
/** After a lost connection. */
const AGAIN_MS = 1500;
const LOOK_BACK_MS = 60_000;
const STALE_MS = 30_000;
const SAID_MS = 5_000;

/** @param {HTMLElement} content */
export function live(content) {
  const view = new LiveView(content);
  void view.look();
  return () => view.end();
}

/**
 * Live view and talk while the keys are locked, for the browser that showed the alert of a ring.
 *
 * @param {HTMLElement} content
 */
export function door(content) {
  const view = new LiveView(content, { isLocked: true });
  content.append(h("p", h("a.button", { href: "/timeline" }, t("live.unlock"))));
  void view.look();
  return () => view.end();
}

class LiveView {
  #isLocked;
  #video;
  #status;
  #problem;
  /** Shown while the microphone is on. */
  #listen;
  #keep;
  #watching;
  /** Says that the pictures are small. */
  #size;
  /** @type {Awaited<ReturnType<typeof follow>> | FramePlayer | undefined} */
  #player;
  /** @type {"filmed" | "small" | "stored"} What the player has. */
  #kind = "filmed";
  /** The doorbell sends small pictures, because the link is slow. */
  #small = false;
  /** The decoder has failed: the browser's own player may do better. */
  #hasFailed = false;
  #ended;
  /** The number of the newest GOP that has come. */
  #after;
  #order;
  /** @type {number | null} UTC ms of the end of what is shown. */
  #shown;
  /** @type {number | null} UTC ms of the end of the newest GOP that was too old to show. */
  #old;
  /** When that was noticed. */
  #oldAt;
  /** @type {string | undefined} The newest stored segment that was shown while nothing came live. */
  #newest;
  /** Sound is fetched and sealed with the pictures, but played only after a tap: browsers refuse it before that. */
  #listens = false;
  #isSoundBroken = false;

  #talk;

  /**
   * @param {HTMLElement} content
   * @param {{ isLocked?: boolean }} [options] `isLocked`: with a glance key, which opens nothing stored
   */
  constructor(content, { isLocked = false } = {}) {
    this.#isLocked = isLocked;
    const options = { playsInline: true, muted: true, controls: true, hidden: true, "aria-label": t("live.title") };
    this.#video = h("video.stage", options);
    this.#status = h("p.lead", { role: "status" }, t("live.waiting"));
    this.#problem = h("p.problem", { role: "alert" });
    this.#talk = new TalkPanel(this.#video, { isLocked });
    this.#listen = h("button", { type: "button", hidden: true });
    this.#listen.addEventListener("click", () => this.#hear(!this.#isHeard));
    this.#video.addEventListener("volumechange", () => this.#nameListening());
    this.#nameListening();
    this.#watching = h("p.quiet", { role: "status" });
    this.#size = h("p.quiet", { role: "status" });
    this.#keep = snapshotButtons(this.#video, () => this.#shown ?? Date.now());
    content.append(
      h("h1", t("live.title")),
      this.#status,
      this.#video,
      this.#size,
      h("div.row", this.#listen, ...this.#keep),
      this.#watching,
      this.#problem,
      this.#talk.element,
      h("p.quiet", t("live.text")),
    );
    this.#player = undefined;
    this.#ended = false;
    this.#after = 0;
    this.#order = new LiveOrder();
    this.#shown = null;
    this.#old = null;
    this.#oldAt = 0;
    this.#newest = undefined;
  }

  end() {
    this.#ended = true;
    this.#player?.stop();
    this.#talk.end();
  }

  /** Asks for what is new, again and again until the page is left. */
  async look() {
    if (this.#ended) return;
    let [hasCome, pause] = [false, PAUSE_MS];
    try {
      const after = this.#after;
      const { number, gops, watching, small } = await call("live", { after, small: this.#small });
      if (this.#ended) return;
      if (after !== this.#after) return void setTimeout(() => this.look(), 0); // it began again meanwhile
      if (!this.#isSoundBroken) this.#problem.textContent = "";
      // A restarted device counts from the beginning.
      this.#after = gops.length || number === this.#after ? number : 0;
      hasCome = gops.length > 0;
      if (small !== this.#small) this.#order.change();
      this.#small = small;
      this.#tellWatching(watching);
      for (const gop of this.#order.hasBegun ? gops : fromKeyframe(gops)) await this.#take(gop);
      await this.#tell(hasCome);
    } catch (error) {
      if (error instanceof LostError) pause = AGAIN_MS;
      this.#fail(error);
    }
    // The doorbell holds the question until something is filmed, so there is nothing to wait for here.
    if (!this.#ended) setTimeout(() => this.look(), hasCome ? 0 : pause);
  }

  /** @param {LiveGop} gop */
  async #take(gop) {
    const what = this.#order.take(gop, Date.now());
    if (what === "old") [this.#old, this.#oldAt] = [gop.span.end, performance.now()];
    if (what === "show") await this.#show(gop);
  }

  /**
   * @param {LiveGop} what
   * @param {"filmed" | "small" | "stored"} [kind]
   */
  async #show(what, kind = this.#small ? "small" : "filmed") {
    if (what.sound || !what.continues) this.#listen.hidden = !what.sound;
    if (kind !== this.#kind) this.#endPlayer();
    this.#kind = kind;
    this.#size.textContent = kind === "small" ? t("live.small") : "";
    this.#player ??= await this.#playerFor(what);
    if (this.#ended) {
      this.#player.stop();
      return;
    }
    this.#video.hidden = false;
    for (const button of this.#keep) button.hidden = false;
    await this.#player.append(what);
    this.#shown = what.span.end;
  }

  /** @param {LiveGop} what */
  async #playerFor({ media }) {
    const isSilent = this.#kind !== "stored" && !this.#listens && !this.#hasFailed;
    return isSilent && (await canShow(media)) ? new FramePlayer(this.#video) : follow(this.#video, this.#listens);
  }

  #endPlayer() {
    this.#player?.stop();
    this.#player = undefined;
  }

  get #isHeard() {
    return this.#listens && !this.#video.muted;
  }

  #nameListening() {
    this.#listen.textContent = t(this.#isHeard ? "live.mute" : "live.listen");
    // The player's own button, too, only works with a player that has the sound.
    if (!this.#video.muted && !this.#listens) this.#hear(true);
  }

  /**
   * The first tap begins again with a player that has the sound: until then, the pictures wait for no sound.
   *
   * @param {boolean} on
   */
  #hear(on) {
    const begins = on && !this.#listens;
    this.#listens ||= on;
    this.#isSoundBroken &&= !on;
    this.#video.muted = !on;
    this.#nameListening();
    if (begins) this.#beginAgain();
  }

  #beginAgain() {
    this.#endPlayer();
    this.#order = new LiveOrder();
    this.#after = 0;
  }

  /** @param {string[]} names An empty name is one that the doorbell does not know. */
  #tellWatching(names) {
    const who = listed(names.map((name) => name || t("live.watching.unknown")));
    const text = who && t("live.watching", { who });
    // A status is read out at each change.
    if (this.#watching.textContent !== text) this.#watching.textContent = text;
  }

  /** @param {boolean} hasCome */
  async #tell(hasCome) {
    // A live picture with an old time means that the doorbell repeats old pictures or that the two clocks differ.
    if (this.#old !== null && performance.now() - this.#oldAt < SAID_MS) {
      this.#status.textContent = t("live.old", { time: dateAndClock(this.#old) });
    } else if (hasCome) this.#status.textContent = nowText(this.#shown);
    else if (!this.#order.hasBegun && !this.#isLocked) await this.#lookBack();
    else if (!this.#order.hasBegun) this.#status.textContent = t("live.waiting");
    else this.#status.textContent = t("live.paused");
  }

  /** @param {any} error */
  #fail(error) {
    const isSounds = error instanceof FormatError && this.#player?.hasSound;
    const text = explain(isSounds ? new FormatError("error.sound-broken") : error);
    this.#problem.textContent = error instanceof LostError ? `${text} ${t("live.again")}` : text;
    // A player that has failed on bad data cannot go on. A lost connection leaves the player intact.
    if (!(error instanceof FormatError)) return;
    if (isSounds) [this.#listens, this.#isSoundBroken, this.#video.muted] = [false, true, true];
    this.#hasFailed ||= this.#player instanceof FramePlayer;
    this.#endPlayer();
    this.#order.restart();
  }

  /** Shows the newest stored segment while the doorbell sends nothing live. */
  async #lookBack() {
    const now = Date.now();
    const { segments } = await ask("list", { from_ms: now - LOOK_BACK_MS, to_ms: now + LOOK_BACK_MS });
    const found = segments.filter((/** @type {Answer} */ each) => each.whole).at(-1);
    if (found && found.id !== this.#newest) {
      this.#newest = found.id;
      const stored = await call("segment", { id: found.id });
      await this.#show(
        { ...stored, order: [`stored ${found.id}`, stored.span.start * 1000, stored.span.end * 1000] },
        "stored",
      );
    }
    this.#status.textContent = this.#shown
      ? t("live.behind", { time: clock(this.#shown), n: behind(this.#shown) })
      : t("live.waiting");
  }
}

/**
 * States the delay only if both clocks are synchronised; otherwise it could come to hours.
 *
 * @param {number | null} end
 */
const nowText = (end) => (behind(end) * 1000 > STALE_MS ? t("live.now.some") : t("live.now", { n: behind(end) }));

/** @param {number | null} end */
const behind = (end) => Math.max(0, Math.round((Date.now() - (end ?? 0)) / 1000));

/**
 * Buttons that save the picture as it is shown, or share it. Hidden until there is one.
 *
 * @param {HTMLVideoElement} video
 * @param {() => number} time UTC ms of the picture
 */
function snapshotButtons(video, time) {
  const take = () => snapshotOf(video, time());
  const save = h("button", { type: "button", hidden: true }, t("live.save"));
  save.addEventListener("click", async () => {
    download(await take());
    say(t("live.saved"));
  });
  if (!canShare("doorward.jpg", "image/jpeg")) return [save];
  const share = h("button", { type: "button", hidden: true }, t("live.share"));
  share.addEventListener("click", async () => shareSnapshot(await take()));
  return [save, share];
}

/**
 * @param {HTMLVideoElement} video
 * @param {number} time
 */
async function snapshotOf(video, time) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const context = canvas.getContext("2d");
  context?.drawImage(video, 0, 0);
  const picture = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
  return new File([picture], `doorward-${stampOf(time)}.jpg`, { type: "image/jpeg" });
}

/**
 * The picture is taken before the warning, because the person has seen it, and the door has moved on.
 *
 * @param {File} picture
 */
async function shareSnapshot(picture) {
  await dialog(t("live.share"), (close) => {
    const share = h("button.primary", { type: "button" }, t("event.share.yes"));
    share.addEventListener("click", async () => {
      if (await handOver(picture)) close(undefined);
    });
    return [
      h("p", t("live.share.text")),
      h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel")), share),
    ];
  });
}
