// Prepared words: choosing an incident fills the fields that are still untouched.

/**
 * @typedef {{
 *   description: string, minutes: number, days: number, retention_days: number,
 *   onward: string[], onward_basis: string, language: string
 * }} Preset
 */

const PLAIN = /** @type {const} */ (["description", "days", "retention_days", "onward_basis", "language"]);
const MINUTES_A_DAY = 24 * 60;

/** @param {string} time */
const minutesOf = (time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5));

/** @param {number} minutes */
const timeOf = (minutes) => {
  const within = (minutes + MINUTES_A_DAY) % MINUTES_A_DAY;
  return `${String(Math.floor(within / 60)).padStart(2, "0")}:${String(within % 60).padStart(2, "0")}`;
};

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
    const until = this.field("until").value;
    if (until && !this.touched.has("since")) this.field("since").value = timeOf(minutesOf(until) - preset.minutes);
  }
}
