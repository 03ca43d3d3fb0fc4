// Talking to a visitor, below the live picture: hold the button and speak, or play a quick reply.
//
// - Half duplex: while the owner talks, the live picture is muted, so that the owner's voice does not come back from
//   the doorbell's microphone. The browser's own echo canceller is on too.
// - The microphone is open only while the owner talks, and a moment longer, so that the next words need no wait.
// - One message is on its way at a time. If the network is slow, the oldest sound is dropped, so a delay cannot grow.
import { openMicrophone } from "../media/voice.js";
import { utf8 } from "../wire/bytes.js";
import { KIND } from "../wire/talk.js";
import { ask, call } from "./client.js";
import { h } from "./dom.js";
import { OwnReplyEditor } from "./own_replies.js";
import { explain, t } from "./texts.js";

/** @import { TalkFrame } from "../types.js" */

/** A shorter press is a tap: the owner talks until the next tap. */
const TAP_MS = 350;
const LONGEST_MS = 120_000;
const MICROPHONE_STAYS_MS = 10_000;
const BATCH_MS = 55;
const MOST_WAITING = 50;
const UNMUTE_MS = 400;
const FRAME_MS = 20;
/** Frames of an own reply that are handed over at a time. */
const PIECE = 5;

export class TalkPanel {
  #video;
  #button = h("button.primary.talk", { type: "button", "aria-pressed": "false" }, t("talk.hold"));
  #status = h("p.lead", { role: "status" });
  #problem = h("p.problem", { role: "alert" });
  #volume = h("input", { type: "range", id: "talk-volume", min: "0", max: "100", step: "5", value: "100" });
  #replies = h("div.row.replies");
  #own = h("div.row.replies");
  /** @type {OwnReplyEditor | undefined} */
  #editor;
  #isPlaying = false;
  element = h("section.talk", { hidden: true, "aria-label": t("talk.title") });
  /** @type {Awaited<ReturnType<typeof openMicrophone>> | undefined} */
  #microphone;
  /** @type {TalkFrame[]} */
  #waiting = [];
  #isTalking = false;
  #isSending = false;
  #hasSession = false;
  #hasEnded = false;
  #pressedAt = 0;
  /** Counts presses, so that what an earlier press awaited changes nothing. */
  #press = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /**
   * Whether live view was muted before the page muted it.
   *
   * @type {boolean | undefined}
   */
  #wasMuted;

  /**
   * @param {HTMLVideoElement} video
   * @param {{ isLocked?: boolean }} [options] `isLocked`: a glance key may not ask for the status, so the doorbell says
   *   at the first word that it has no speaker
   */
  constructor(video, { isLocked = false } = {}) {
    this.#video = video;
    this.element.append(
      h("h2", t("talk.title")),
      this.#status,
      this.#problem,
      this.#button,
      h("label", { for: "talk-volume" }, t("talk.volume")),
      this.#volume,
      h("h3", t("talk.replies")),
      this.#replies,
      this.#own,
    );
    if (!isLocked) {
      this.#editor = new OwnReplyEditor((names) => this.#showOwn(names));
      this.element.append(this.#editor.element);
    }
    this.element.append(h("p.quiet", t("talk.text")));
    this.#button.addEventListener("pointerdown", (event) => this.#down(event));
    for (const name of ["pointerup", "pointercancel"]) this.#button.addEventListener(name, () => this.#up());
    this.#button.addEventListener("click", (event) => {
      // A click without a pointer is the keyboard's or a screen reader's: it begins and ends.
      if (event.detail !== 0) return;
      if (this.#timer) this.#stop();
      else void this.#start();
    });
    this.#button.addEventListener("contextmenu", (event) => event.preventDefault());
    this.#volume.addEventListener("change", () => this.#hasSession && this.#sendNow(this.#volumeFrame()));
    document.addEventListener("visibilitychange", this.#onHidden);
    if (isLocked) {
      this.#offer();
      void call("ownReplies").then((names) => this.#showOwn(names));
    } else void this.#show();
  }

  end() {
    this.#hasEnded = true;
    this.#editor?.end();
    this.#stop();
    this.#closeMicrophone();
    document.removeEventListener("visibilitychange", this.#onHidden);
    if (this.#hasSession) void call("talkEnd").catch(() => {});
  }

  #onHidden = () => {
    if (document.visibilityState === "hidden") this.#stop();
  };

  /** Shows the panel if this doorbell has a speaker. */
  async #show() {
    try {
      const { speaker } = (await ask("status")).recorder;
      if (this.#hasEnded || !speaker || speaker === "off") return;
      this.#offer();
      if (!["ready", "talking"].includes(speaker)) this.#problem.textContent = t("talk.state.no speaker");
    } catch {
      // Live view says that the doorbell is away.
    }
  }

  #offer() {
    this.element.hidden = false;
    this.#showReplies(["chime"]);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    this.#pressedAt = performance.now();
    if (this.#isTalking) {
      this.#pressedAt = Number.NEGATIVE_INFINITY;
      return;
    }
    this.#button.setPointerCapture(event.pointerId);
    void this.#start();
  }

  #up() {
    if (performance.now() - this.#pressedAt > TAP_MS) this.#stop();
  }

  async #start() {
    const press = ++this.#press;
    this.#problem.textContent = "";
    this.#timer = setTimeout(() => this.#stop(), LONGEST_MS);
    this.#set("opening");
    try {
      const microphone =
        this.#microphone ??
        (await openMicrophone(
          (frame) => this.#take(frame),
          () => this.#fail(t("talk.lost")),
        ));
      // The browser may have asked meanwhile, and the person have let go of the button or left the page.
      if (press !== this.#press) {
        if (microphone !== this.#microphone) microphone.stop();
        return;
      }
      this.#microphone = microphone;
      if (!(await this.#begin()) || press !== this.#press) return;
    } catch (error) {
      if (press === this.#press) this.#fail(explain(error));
      // A person lets go of the button to answer the browser's question.
      else if (!this.#timer) this.#problem.textContent = explain(error);
      return;
    }
    this.#isTalking = true;
    this.#mute();
    this.#take(this.#volumeFrame());
    this.#microphone?.start();
    this.#set("talking");
  }

  /** Opens a session unless there is one. False if there is none, which is then said. */
  async #begin() {
    if (this.#hasSession) return true;
    const { state, talker, replies } = await call("talkBegin");
    if (this.#hasEnded) {
      if (talker === null && state === "ready") void call("talkEnd").catch(() => {});
      return false;
    }
    if (talker !== null) this.#fail(t("talk.taken", { name: talker }));
    else if (state !== "ready") this.#fail(t(`talk.state.${state}`));
    else this.#hasSession = true;
    if (this.#hasSession) this.#showReplies(replies);
    return this.#hasSession;
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#press++;
    const microphone = this.#microphone;
    if (this.#isTalking) {
      this.#isTalking = false;
      void microphone?.pause().then(() => this.#sendNow({ kind: KIND.PAUSE, content: new Uint8Array() }));
      this.#unmute();
    }
    this.#set("quiet");
    setTimeout(() => {
      if (!this.#isTalking && !this.#timer && this.#microphone === microphone) this.#closeMicrophone();
    }, MICROPHONE_STAYS_MS);
  }

  #closeMicrophone() {
    this.#microphone?.stop();
    this.#microphone = undefined;
  }

  /** @param {string} words */
  #fail(words) {
    this.#stop();
    this.#closeMicrophone();
    this.#problem.textContent = words;
  }

  /** @param {"quiet" | "opening" | "talking"} what */
  #set(what) {
    this.#button.setAttribute("aria-pressed", String(what === "talking"));
    this.#button.dataset.state = what;
    this.#button.textContent = t(what === "talking" ? "talk.stop" : "talk.hold");
    this.#status.textContent = what === "quiet" ? "" : t(`talk.${what}`);
  }

  /** @param {TalkFrame} frame */
  #take(frame) {
    this.#waiting.push(frame);
    if (this.#waiting.length > MOST_WAITING) this.#waiting.splice(0, this.#waiting.length - MOST_WAITING);
    void this.#send();
  }

  /** @param {TalkFrame} frame */
  #sendNow(frame) {
    this.#waiting.push(frame);
    return this.#send();
  }

  async #send() {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      while (this.#waiting.length && this.#hasSession) {
        const began = performance.now();
        const state = await call("talkSend", { frames: this.#waiting.splice(0, MOST_WAITING) });
        if (state !== "ready") {
          this.#lose(state);
          return;
        }
        const rest = BATCH_MS - (performance.now() - began);
        if (rest > 0) await new Promise((done) => setTimeout(done, rest));
      }
    } catch (error) {
      this.#hasSession = false;
      this.#fail(explain(error));
    } finally {
      this.#isSending = false;
    }
  }

  /**
   * The session is over. A press that lasts gets a new one, because a restarted doorbell knows none.
   *
   * @param {string} state
   */
  #lose(state) {
    this.#hasSession = false;
    this.#waiting = [];
    const talks = this.#isTalking;
    if (!talks && state === "ended") return;
    this.#fail(t(`talk.state.${state}`));
  }

  #volumeFrame() {
    return { kind: KIND.VOLUME, content: Uint8Array.of(Number(this.#volume.value)) };
  }

  /** @param {string[]} names */
  #showReplies(names) {
    this.#replies.replaceChildren(
      ...names.map((name) =>
        h(
          "button",
          { type: "button", onclick: () => this.#reply(name) },
          name === "chime" ? t("talk.reply.chime") : name,
        ),
      ),
    );
  }

  #mute() {
    this.#wasMuted ??= this.#video.muted;
    this.#video.muted = true;
  }

  #unmute() {
    setTimeout(() => {
      if (this.#isTalking || this.#isPlaying || this.#wasMuted === undefined) return;
      this.#video.muted = this.#wasMuted;
      this.#wasMuted = undefined;
    }, UNMUTE_MS);
  }

  /** @param {string[]} names */
  #showOwn(names) {
    this.#own.replaceChildren(
      ...names.map((name) => h("button", { type: "button", onclick: () => void this.#playOwn(name) }, name)),
    );
  }

  /**
   * Sends an own reply as the owner's voice, as fast as it is heard. Pressing the button cuts it.
   *
   * @param {string} name
   */
  async #playOwn(name) {
    if (this.#isPlaying || this.#isTalking) return;
    this.#problem.textContent = "";
    try {
      const frames = await call("ownReply", { name });
      if (!(await this.#begin())) return;
      this.#mute();
      this.#isPlaying = true;
      const press = ++this.#press;
      this.#status.textContent = t("talk.played");
      this.#take(this.#volumeFrame());
      const began = performance.now();
      for (let at = 0; at < frames.length && press === this.#press && this.#hasSession; at += PIECE) {
        for (const frame of frames.slice(at, at + PIECE)) this.#take(frame);
        const rest = began + (at + PIECE) * FRAME_MS - performance.now();
        if (rest > 0) await new Promise((done) => setTimeout(done, rest));
      }
      if (press === this.#press) await this.#sendNow({ kind: KIND.PAUSE, content: new Uint8Array() });
    } catch (error) {
      this.#fail(explain(error));
    } finally {
      if (this.#isPlaying) {
        this.#isPlaying = false;
        this.#unmute();
      }
    }
  }

  /** @param {string} name */
  async #reply(name) {
    this.#problem.textContent = "";
    try {
      if (!(await this.#begin())) return;
      this.#waiting.push(this.#volumeFrame());
      await this.#sendNow({ kind: KIND.REPLY, content: utf8(name) });
      this.#status.textContent = t("talk.played");
    } catch (error) {
      this.#fail(explain(error));
    }
  }
}
