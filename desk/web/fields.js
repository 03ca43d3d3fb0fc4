// The typed area: a shape, a centre with a radius, and a list of corners. The map writes here, and a keyboard does too.

import { parseCorners, parsePosition, written } from "./positions.js";

/** @typedef {import("./positions.js").DrawnArea} DrawnArea */
/** @typedef {import("./positions.js").LonLat} LonLat */

const LEAST_CORNERS = 3;
const FIRST_RADIUS_M = 200; // 125 664 m²: above the least area that doors accept
const NAMES = ["shape", "centre", "radius_m", "corners"];

/** The four fields of an area in a form. */
export class AreaFields {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    for (const input of form.querySelectorAll("input[name=shape]")) {
      input.addEventListener("change", () => this.showShape());
    }
    this.showShape();
  }

  /**
   * @param {string} name
   * @returns {HTMLInputElement | HTMLTextAreaElement}
   */
  field(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }

  get shape() {
    const chosen = this.form.querySelector("input[name=shape]:checked");
    return chosen instanceof HTMLInputElement && chosen.value === "polygon" ? "polygon" : "circle";
  }

  set shape(/** @type {"circle" | "polygon"} */ shape) {
    const choice = this.form.querySelector(`input[name=shape][value=${shape}]`);
    if (choice instanceof HTMLInputElement) choice.checked = true;
    this.showShape();
  }

  /** Shows the fields of the chosen shape only. */
  showShape() {
    for (const part of this.form.querySelectorAll("[data-shape]")) {
      if (part instanceof HTMLElement) part.hidden = part.dataset.shape !== this.shape;
    }
  }

  /** @param {EventTarget | null} target */
  concerns(target) {
    return (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) && NAMES.includes(target.name);
  }

  /**
   * Returns the area, or null as long as it is incomplete.
   * @returns {DrawnArea | null}
   */
  read() {
    if (this.shape === "polygon") {
      const corners = parseCorners(this.field("corners").value);
      return corners && corners.length >= LEAST_CORNERS ? { shape: "polygon", corners } : null;
    }
    const centre = parsePosition(this.field("centre").value);
    const radius_m = Number(this.field("radius_m").value);
    return centre && radius_m >= 1 && radius_m <= 5000 ? { shape: "circle", centre, radius_m } : null;
  }

  /** @param {DrawnArea} area */
  write(area) {
    this.shape = area.shape;
    if (area.shape === "polygon") this.field("corners").value = area.corners.map(written).join("\n");
    else {
      this.field("centre").value = written(area.centre);
      this.field("radius_m").value = String(area.radius_m);
    }
  }

  /**
   * Puts a position that was looked for into an empty circle.
   * @param {LonLat} position
   */
  writeCentre(position) {
    if (this.shape === "circle" && !this.field("centre").value.trim()) {
      this.field("centre").value = written(position);
      this.field("centre").dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  /**
   * Adds a corner, or moves the circle there. Returns the area if it is complete.
   * @param {LonLat} position
   */
  addPosition(position) {
    if (this.shape === "polygon") {
      const corners = this.field("corners");
      corners.value = `${corners.value.trimEnd()}\n${written(position)}`.trimStart();
    } else {
      this.field("centre").value = written(position);
      if (!this.field("radius_m").value) this.field("radius_m").value = String(FIRST_RADIUS_M);
    }
    return this.read();
  }

  clear() {
    this.field("centre").value = "";
    this.field("corners").value = "";
  }
}
