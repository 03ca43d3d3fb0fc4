// The check beside the form: the desk judges what stands in it now, with the code of the doorbells.

import { parseCorners } from "./positions.js";

const PAUSE_MS = 250; // long enough that a typed word is one question, and short enough to feel at once

/** Asks the desk after each change and shows its answer. */
export class LiveCheck {
  /**
   * @param {HTMLFormElement} form
   * @param {(corners: import("./positions.js").LonLat[]) => void} uploaded
   */
  constructor(form, uploaded) {
    this.form = form;
    this.uploaded = uploaded;
    this.place = document.getElementById("check");
    this.asked = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    form.addEventListener("input", () => this.soon());
    form.addEventListener("change", () => this.soon());
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.ask().catch(() => this.lost());
    }, PAUSE_MS);
  }

  /** Says that what stands here is old: the desk did not answer. */
  lost() {
    const words = this.form.dataset.lost;
    if (!words || !this.place) return;
    const note = document.createElement("p");
    note.className = "note error";
    note.textContent = words;
    this.place.replaceChildren(note);
  }

  async ask() {
    const address = this.form.dataset.check;
    if (!address) return; // a bulletin has no limits to check
    const number = ++this.asked;
    const answer = await fetch(address, { method: "POST", body: new FormData(this.form), credentials: "same-origin" });
    if (number !== this.asked) return; // a later question is on its way
    if (!answer.ok) return this.lost();
    const { html, corners } = await answer.json();
    // Scripts of a parsed document never run, even after its nodes have moved.
    const made = new DOMParser().parseFromString(html, "text/html");
    this.place?.replaceChildren(...made.body.childNodes);
    const found = corners ? parseCorners(corners) : null;
    if (found) {
      const file = this.form.querySelector("input[type=file][name=upload]");
      if (file instanceof HTMLInputElement) file.value = "";
      this.uploaded(found);
      this.soon();
    }
  }
}
