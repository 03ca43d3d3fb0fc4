// Own replies below the quick replies: record one, choose a sound file, delete one.
import { openMicrophone, soundFrames } from "../media/voice.js";
import { MOST_FRAMES, MOST_REPLIES } from "../owner/own_replies.js";
import { call } from "./client.js";
import { h } from "./dom.js";
import { explain, t } from "./texts.js";

/** @import { TalkFrame } from "../types.js" */

const FRAME_MS = 20;

export class OwnReplyEditor {
  #name = h("input", { id: "own-reply-name", maxlength: "64", autocomplete: "off" });
  #record = h("button", { type: "button", "aria-pressed": "false" }, t("talk.own.record"));
  #file = h("input", { type: "file", id: "own-reply-file", accept: "audio/*" });
  #status = h("p.lead", { role: "status" });
  #problem = h("p.problem", { role: "alert" });
  #list = h("div.row.replies");
  #changed;
  /** @type {Awaited<ReturnType<typeof openMicrophone>> | undefined} */
  #microphone;
  /** @type {TalkFrame[]} */
  #frames = [];
  #isBusy = false;
  #hasEnded = false;
  element;

  /** @param {(names: string[]) => void} changed */
  constructor(changed) {
    this.#changed = changed;
    this.element = h(
      "details.own-replies",
      h("summary", t("talk.own")),
      h("p.quiet", t("talk.own.text", { n: MOST_REPLIES, s: (MOST_FRAMES * FRAME_MS) / 1000 })),
      h("label", { for: "own-reply-name" }, t("talk.own.name")),
      this.#name,
      h("div.row", this.#record),
      h("label", { for: "own-reply-file" }, t("talk.own.file")),
      this.#file,
      this.#status,
      this.#problem,
      this.#list,
    );
    this.#record.addEventListener("click", () => void (this.#microphone ? this.#finish() : this.#begin()));
    this.#file.addEventListener("change", () => void this.#choose());
    void this.#show();
  }

  end() {
    this.#hasEnded = true;
    this.#close();
  }

  #close() {
    this.#microphone?.stop();
    this.#microphone = undefined;
  }

  async #begin() {
    if (this.#isBusy || !this.#hasName()) return;
    this.#isBusy = true;
    this.#frames = [];
    this.#say("");
    try {
      const microphone = await openMicrophone(
        (frame) => this.#take(frame),
        () => this.#fail(t("talk.lost")),
      );
      if (this.#hasEnded) {
        microphone.stop();
        return;
      }
      this.#microphone = microphone;
      microphone.start();
      this.#mark(true);
    } catch (error) {
      this.#fail(explain(error));
    } finally {
      this.#isBusy = false;
    }
  }

  /** @param {TalkFrame} frame */
  #take(frame) {
    if (this.#frames.length < MOST_FRAMES) this.#frames.push(frame);
    else void this.#finish();
  }

  async #finish() {
    const microphone = this.#microphone;
    if (!microphone) return;
    this.#microphone = undefined;
    await microphone.pause();
    microphone.stop();
    this.#mark(false);
    await this.#keep(this.#frames.slice(0, MOST_FRAMES));
  }

  async #choose() {
    const file = this.#file.files?.[0];
    this.#file.value = "";
    if (!file) return;
    if (!this.#name.value.trim()) this.#name.value = file.name.replace(/\.[^.]*$/, "").slice(0, 64);
    try {
      await this.#keep(await soundFrames(file, MOST_FRAMES));
    } catch (error) {
      this.#fail(explain(error));
    }
  }

  /** @param {TalkFrame[]} frames */
  async #keep(frames) {
    const name = this.#name.value.trim();
    try {
      await call("keepReply", { name, frames });
      this.#name.value = "";
      this.#say(t("talk.own.kept", { name }));
      await this.#show();
    } catch (error) {
      this.#fail(explain(error));
    }
  }

  #hasName() {
    if (this.#name.value.trim()) return true;
    this.#fail(t("talk.own.name-needed"));
    this.#name.focus();
    return false;
  }

  async #show() {
    const names = await call("ownReplies");
    this.#changed(names);
    this.#list.replaceChildren(
      ...names.map((name) =>
        h("button", { type: "button", onclick: () => void this.#delete(name) }, t("talk.own.delete", { name })),
      ),
    );
  }

  /** @param {string} name */
  async #delete(name) {
    await call("deleteReply", { name });
    await this.#show();
  }

  /** @param {boolean} on */
  #mark(on) {
    this.#record.setAttribute("aria-pressed", String(on));
    this.#record.textContent = t(on ? "talk.own.recording" : "talk.own.record");
  }

  /** @param {string} words */
  #say(words) {
    this.#status.textContent = words;
    this.#problem.textContent = "";
  }

  /** @param {string} words */
  #fail(words) {
    this.#close();
    this.#mark(false);
    this.#status.textContent = "";
    this.#problem.textContent = words;
  }
}
