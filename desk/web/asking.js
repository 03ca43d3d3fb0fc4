// The form of a request: map and fields show the same area, and the desk checks it while a person writes.

import { AreaMap } from "./area_map.js";
import { AreaFields } from "./fields.js";
import { LiveCheck } from "./live_check.js";
import { PlaceSearch } from "./place_search.js";
import { Presets } from "./presets.js";

/** @param {string} id */
function json(id) {
  return JSON.parse(document.getElementById(id)?.textContent ?? "null");
}

/**
 * Lets a button put its day into the field, so that a person need not learn the order of day and month.
 * @param {HTMLFormElement} form
 */
function useDays(form) {
  const day = form.elements.namedItem("day");
  if (!(day instanceof HTMLInputElement)) return;
  for (const button of form.querySelectorAll("button[data-day]")) {
    button.addEventListener("click", () => {
      day.value = button.getAttribute("data-day") ?? "";
      day.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }
}

/** @param {HTMLFormElement} form */
async function begin(form) {
  useDays(form);
  const fields = new AreaFields(form);
  const presets = json("presets");
  if (presets) new Presets(form, presets); // a bulletin has an area, and no incident
  const check = new LiveCheck(form, (corners) => {
    fields.write({ shape: "polygon", corners });
    map?.show({ shape: "polygon", corners });
  });
  const element = document.getElementById("area-map");
  const map = element ? await mapIn(element, fields, check) : null;
  new PlaceSearch(form, (position) => {
    map?.goTo(position);
    fields.writeCentre(position);
  });
  if (fields.read()) check.soon(); // a draft, or words that are asked again: there is something to judge already
  form.addEventListener("input", (event) => {
    const area = fields.concerns(event.target) ? fields.read() : null;
    if (area) map?.show(area);
  });
}

/**
 * Returns the map, or null if this browser cannot draw one. The fields do the same work.
 * @param {HTMLElement} element
 * @param {AreaFields} fields
 * @param {LiveCheck} check
 */
async function mapIn(element, fields, check) {
  /** @param {import("./positions.js").DrawnArea} area */
  const drawn = (area) => {
    fields.write(area);
    check.soon();
  };
  try {
    const map = await AreaMap.make(element, json("map-known"), drawn);
    const area = fields.read();
    if (area) map.show(area);
    useTools(map, fields, check);
    element.dataset.ready = "yes";
    return map;
  } catch (error) {
    console.log(error);
    element.hidden = true;
    const tools = document.querySelector(".map-tools");
    if (tools instanceof HTMLElement) tools.hidden = true;
    const missing = document.getElementById("no-map");
    if (missing) missing.hidden = false;
    return null;
  }
}

/**
 * @param {AreaMap} map
 * @param {AreaFields} fields
 * @param {LiveCheck} check
 */
function useTools(map, fields, check) {
  /** @type {HTMLButtonElement[]} */
  const buttons = [...document.querySelectorAll("button[data-tool]")].filter((e) => e instanceof HTMLButtonElement);
  for (const button of buttons) {
    button.disabled = false; // a click before the map is there would do nothing, silently
    button.addEventListener("click", () => {
      const tool = button.dataset.tool;
      if (tool === "circle" || tool === "polygon") map.begin(tool);
      if (tool === "adjust") map.adjust();
      if (tool === "here") {
        const area = fields.addPosition(map.middle);
        if (area) map.show(area);
      }
      if (tool === "clear") {
        map.clear();
        fields.clear();
      }
      if (tool === "here" || tool === "clear") check.soon();
    });
  }
  map.draw.on("change", () => {
    for (const button of buttons) {
      const mode = button.dataset.tool === "adjust" ? "select" : button.dataset.tool;
      if (button.hasAttribute("aria-pressed")) {
        button.setAttribute("aria-pressed", String(map.draw.getMode() === mode));
      }
    }
  });
}

const form = document.querySelector("form[data-asking]");
if (form instanceof HTMLFormElement) begin(form).catch((error) => console.log(error));
