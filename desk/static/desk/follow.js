// Keeps the state on a page of one object true while the page is open: asks the desk for it by a timer, and takes the
// parts that show it from a fresh copy of the page. The words stay as their reader saw them. If they have changed, or
// if the reader is about to act, a note with a link to the page as it is now appears instead.
//
// Attributes of the note, which is hidden at first:
//   data-follow   address of the state
//   data-page     address of the page
//   data-state    the state that the page shows
//   data-content  fingerprint of the words that the page shows
//   data-every    seconds from one look to the next
// Each part that shows the state has a name in data-part.

/** @typedef {{ state: string, content: string }} Seen */

const SLOWEST_S = 60;
/** The longest time from one look to the next while the desk is away. */

/** @param {ParentNode} within */
const noteIn = (within) => /** @type {HTMLElement | null} */ (within.querySelector("[data-follow]"));

/** @param {ParentNode} within */
const partsIn = (within) => /** @type {HTMLElement[]} */ ([...within.querySelectorAll("[data-part]")]);

/** @param {Element} part */
const isInUse = (part) => part.contains(document.activeElement) || part.querySelector("details[open]") !== null;

class Follower {
  /** @param {HTMLElement} note */
  constructor(note) {
    this.note = note;
    this.ended = false;
    this.pauseS = this.everyS;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    document.addEventListener("visibilitychange", () => this.wait(0));
    this.wait(this.pauseS);
  }

  get everyS() {
    return Number(this.note.dataset.every);
  }

  /** @param {number} seconds */
  wait(seconds) {
    clearTimeout(this.timer);
    // A hidden page asks nothing. It looks at once when a person sees it again.
    if (!this.ended && !document.hidden) this.timer = setTimeout(() => this.look(), seconds * 1000);
  }

  async look() {
    try {
      await this.follow();
      this.pauseS = this.everyS;
    } catch {
      this.pauseS = Math.min(this.pauseS * 2, SLOWEST_S); // the desk is away
    }
    this.wait(this.pauseS);
  }

  async follow() {
    const { follow = "", state, content } = this.note.dataset;
    // Not followed: a redirect leads to the page for signing in, which would look like an answer.
    const answer = await fetch(follow, { headers: { Accept: "application/json" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 404) {
      this.ended = true; // signed out, or no longer allowed: the next click says so
      return;
    }
    if (!answer.ok) throw new Error(`${answer.status}`);
    /** @type {Seen} */
    const now = await answer.json();
    if (now.content !== content) this.tell();
    else if (now.state !== state) await this.show(now);
  }

  /** @param {Seen} now */
  async show(now) {
    const answer = await fetch(this.note.dataset.page ?? "", { redirect: "manual" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const note = noteIn(fresh);
    // Other words: an approver reads them before a button for them appears. Asked now, because the copy took a while.
    const parts = partsIn(document);
    if (parts.some(isInUse) || (note && note.dataset.content !== now.content)) return this.tell();
    const found = new Map(partsIn(fresh).map((part) => [part.dataset.part, part]));
    for (const part of parts) part.replaceChildren(...(found.get(part.dataset.part)?.childNodes ?? []));
    if (note) Object.assign(this.note.dataset, note.dataset);
    else this.ended = true;
  }

  tell() {
    this.note.hidden = false;
    this.ended = true;
  }
}

const note = noteIn(document);
if (note) new Follower(note);
