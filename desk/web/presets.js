// Prepared words: choosing an incident fills the fields that are still untouched.

/**
 * @typedef {{
 *   description: string, minutes: number, days: number, retention_days: number,
 *   onward: string[], onward_basis: string, language: string
 * }} Preset
 */

const PLAIN = /** @type {const} */ (["description", "days", "retention_days", "onward_basis", "language"]);
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/**
 * Returns the beginning of a window that ends where this one does and takes `minutes`. The window of a preset may begin
 * before midnight, on the day before the one that the form shows.
 * @param {{day: string, since: string, until: string}} shown  times that the form holds; an end before the start is on
 * the next day
 * @param {number} minutes
 */
export function beginningOf({ day, since, until }, minutes) {
  // Read as UTC, because only local days and times of day go in and come out.
  const end = Date.parse(`${day}T${until}Z`) + (until > since ? 0 : DAY_MS);
  const begin = new Date(end - minutes * MINUTE_MS).toISOString();
  return { day: begin.slice(0, 10), since: begin.slice(11, 16) };
}

/** Fills a form from the preset of its incident. */
export class Presets {
  /**
   * @param {HTMLFormElement} form
   * @param {Record<string, Preset>} presets
   */
  constructor(form, presets) {
    this.form = form;
    this.presets = presets;
    /** @type {Set<string>} */
    this.touched = new Set();
    form.addEventListener("input", ({ target }) => {
      if (target instanceof HTMLElement) this.touched.add(target.getAttribute("name") ?? "");
    });
    const incident = this.field("incident");
    incident.addEventListener("change", () => this.fill(presets[incident.value]));
    // A fast person has chosen before this script was here.
    if (!this.field("description").value) this.fill(presets[incident.value]);
  }

  /**
   * @param {string} name
   * @returns {HTMLInputElement}
   */
  field(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }

  /** @param {Preset | undefined} preset */
  fill(preset) {
    if (!preset) return;
    for (const name of PLAIN) if (!this.touched.has(name)) this.field(name).value = String(preset[name]);
    if (!this.touched.has("onward")) {
      for (const box of this.form.querySelectorAll("input[name=onward]")) {
        if (box instanceof HTMLInputElement) box.checked = preset.onward.includes(box.value);
      }
    }
    const [day, since, until] = ["day", "since", "until"].map((name) => this.field(name).value);
    if (!day || !since || !until || this.touched.has("day") || this.touched.has("since")) return;
    const begin = beginningOf({ day, since, until }, preset.minutes);
    this.field("day").value = begin.day;
    this.field("since").value = begin.since;
  }
}
