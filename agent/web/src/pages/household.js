// The household's settings over the doorbell's configuration: name and place, retention, quiet and private hours.
// `save(changes)` signs; a value left alone stays the same.
import { PageError } from "../errors.js";
import { call } from "../ui/client.js";
import { say } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { bytes, clock, explain, t, weekday } from "../ui/texts.js";
import { MAX_SETTING_CHARACTERS } from "../wire/bounds.js";
import { cleaned } from "../wire/text.js";

/** @import { Answer, Child, Save } from "../types.js" */

/** @typedef {{ days: string[], begins: string, ends: string }} Hours */

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const GB = 1e9;

/**
 * A form with a button that signs the result of `values()`.
 *
 * @param {Save} save
 * @param {() => Record<string, unknown> | Promise<Record<string, unknown>>} values
 * @param {Child[]} fields
 */
function saving(save, values, ...fields) {
  const problem = h("p.problem", { role: "alert" });
  return h(
    "form",
    {
      async onsubmit(event) {
        event.preventDefault();
        problem.textContent = "";
        try {
          await save(await values());
        } catch (error) {
          problem.textContent = explain(error);
        }
      },
    },
    ...fields,
    problem,
    h("div.row.end", h("button.save", { type: "submit" }, t("save"))),
  );
}

/**
 * Says of a value that an owner has set what the configuration says, and gives it back.
 *
 * @param {Answer} facts
 * @param {string} key
 * @param {Record<string, unknown>} change
 * @param {Save} save
 * @param {string} said
 */
export function fromFile(facts, key, change, save, said) {
  if (!facts.by_owner.includes(key)) return h("p.help", t("set.file"));
  return h(
    "p.help",
    t("set.owner", { said }),
    " ",
    h("button.link", { type: "button", onclick: () => save(change) }, t("set.back")),
  );
}

/**
 * @param {Answer} facts
 * @param {Save} save
 */
export async function place(facts, save) {
  const address = await call("address");
  const name = h("input", {
    id: "doorbell-name",
    value: facts.name,
    maxlength: String(MAX_SETTING_CHARACTERS),
    required: true,
    autocomplete: "off",
  });
  const lat = coordinate("lat", 90, facts.position?.[0]);
  const lon = coordinate("lon", 180, facts.position?.[1]);
  const street = h("input", { id: "address", value: address, maxlength: "200", autocomplete: "street-address" });
  const values = async () => {
    if ((lat.value === "") !== (lon.value === "")) throw new PageError("place.both");
    await call("keepAddress", { address: street.value.trim() });
    const words = cleaned(name.value);
    // Many languages write a decimal comma, and `pattern` allows it.
    const position =
      lat.value === ""
        ? undefined
        : { lat: Number(lat.value.replace(",", ".")), lon: Number(lon.value.replace(",", ".")) };
    return { ...(words !== facts.name && { name: words }), ...(position && { position }) };
  };
  return saving(
    save,
    values,
    h("label", { for: "doorbell-name" }, t("place.name")),
    name,
    h(
      "div.pair",
      h("div", h("label", { for: "lat" }, t("place.lat")), lat),
      h("div", h("label", { for: "lon" }, t("place.lon")), lon),
    ),
    h("p.help", t("place.text")),
    locate(lat, lon),
    h("label", { for: "address" }, t("place.address")),
    street,
    h("p.help", t("place.address.text")),
  );
}

/**
 * @param {string} id
 * @param {number} most
 * @param {number} [value]
 */
const coordinate = (id, most, value) =>
  h("input", {
    id,
    inputmode: "decimal",
    value: value === undefined ? "" : String(value),
    autocomplete: "off",
    pattern: "-?[0-9]{1,3}([.,][0-9]{1,7})?",
    title: t("place.degrees", { n: most }),
  });

/**
 * Reads this phone's position only after a press of the button.
 *
 * @param {HTMLInputElement} lat
 * @param {HTMLInputElement} lon
 */
function locate(lat, lon) {
  if (!navigator.geolocation) return null;
  const problem = h("p.problem", { role: "alert" });
  /** @param {GeolocationPosition} options */
  const found = ({ coords }) => {
    [lat.value, lon.value] = [coords.latitude.toFixed(5), coords.longitude.toFixed(5)];
    problem.textContent = "";
  };
  const missed = () => {
    problem.textContent = t("place.missed");
  };
  return h(
    "div",
    h(
      "div.row",
      h(
        "button.small",
        {
          type: "button",
          onclick: () =>
            navigator.geolocation.getCurrentPosition(found, missed, { enableHighAccuracy: true, timeout: 15_000 }),
        },
        t("place.here"),
      ),
    ),
    problem,
  );
}

/**
 * @param {Answer} facts
 * @param {Save} save
 * @param {Answer} status
 */
export function retention(facts, save, status) {
  const { file } = facts;
  const days = h("input", {
    id: "max-days",
    type: "number",
    min: "1",
    // The configuration's own value: an owner may only lower it (agent/config/overlay.py).
    max: String(file.max_age_days),
    value: String(facts.max_age_days),
    required: true,
  });
  const most = h("input", {
    id: "max-gb",
    type: "number",
    min: "0.01",
    max: String(file.max_bytes / GB),
    step: "any",
    value: String(facts.max_bytes / GB),
    required: true,
  });
  const share = Math.min(1, status.vault.stored_bytes / facts.max_bytes);
  const changes = () => ({
    ...(Number(days.value) !== facts.max_age_days && { max_age_days: Number(days.value) }),
    ...(Number(most.value) !== facts.max_bytes / GB && { max_bytes: Math.round(Number(most.value) * GB) }),
  });
  const back = { max_age_days: null, max_bytes: null };
  const isOwners = facts.by_owner.includes("vault.max_bytes") ? "vault.max_bytes" : "vault.max_age_days";
  return [
    h("meter", { min: "0", max: "1", value: share, "aria-label": t("keeping.used") }),
    h(
      "p.quiet",
      t("keeping.now", {
        n: status.vault.segments,
        bytes: bytes(status.vault.stored_bytes),
        most: bytes(facts.max_bytes),
      }),
    ),
    saving(
      save,
      changes,
      h(
        "div.pair",
        h("div", h("label", { for: "max-days" }, t("keeping.days")), days),
        h("div", h("label", { for: "max-gb" }, t("keeping.gb")), most),
      ),
      h(
        "p.help",
        t("keeping.bound", { days: t("keeping.bound.days", { n: file.max_age_days }), bytes: bytes(file.max_bytes) }),
      ),
    ),
    fromFile(
      facts,
      isOwners,
      back,
      save,
      `${t("keeping.bound.days", { n: file.max_age_days })}, ${bytes(file.max_bytes)}`,
    ),
  ];
}

/**
 * @param {Answer} facts
 * @param {Save} save
 */
export function privateHours(facts, save) {
  const rows = h("div.stack");
  /** @type {Map<Element, () => object>} What each row says, while it is there. */
  const stated = new Map();
  /** @param {Hours} hours */
  const add = (hours) => {
    const row = hoursRow(hours);
    stated.set(row.element, row.stated);
    rows.append(row.element);
  };
  for (const hours of facts.private) add(hours);
  const values = () => ({ private: [...rows.children].map((row) => stated.get(row)?.()) });
  return [
    localTime(facts),
    saving(
      save,
      values,
      rows,
      h(
        "div.row",
        h(
          "button.small",
          { type: "button", onclick: () => add({ days: DAYS, begins: "22:00", ends: "06:00" }) },
          t("private.add"),
        ),
      ),
    ),
    fromFile(facts, "privacy.hours", { private: null }, save, t("private.count", { n: facts.file.private.length })),
  ];
}

/** @param {Hours} options */
function hoursRow({ days, begins, ends }) {
  // The first day of 2024 was a Monday, as the first of `DAYS`.
  const names = DAYS.map((_, i) => weekday(new Date(2024, 0, 1 + i)));
  const boxes = DAYS.map((day, i) =>
    h("input", { type: "checkbox", checked: days.includes(day), "aria-label": names[i] }),
  );
  const from = h("input", { type: "time", value: begins, required: true, "aria-label": t("hours.from") });
  const to = h("input", { type: "time", value: ends, required: true, "aria-label": t("hours.to") });
  const remove = h("button.small", { type: "button" }, t("zones.remove"));
  const element = h(
    "fieldset.hours",
    h("legend.hidden", t("private")),
    h(
      "div.days",
      boxes.map((box, i) => h("label.day-box", box, h("span", { "aria-hidden": "true" }, names[i]))),
    ),
    h("div.row", from, h("span", "–"), to, remove),
  );
  remove.addEventListener("click", () => element.remove());
  const stated = () => {
    const chosen = boxes.flatMap((box, i) => (box.checked ? [i] : []));
    if (!chosen.length) throw new PageError("private.days");
    return { days: chosen, begins_minute: minute(from.value), ends_minute: minute(to.value) };
  };
  return { element, stated };
}

/**
 * @param {Answer} facts
 * @param {Save} save
 */
export function quietHours(facts, save) {
  const from = h("input", { type: "time", id: "quiet-from", value: facts.quiet?.[0] ?? "22:00", required: true });
  const to = h("input", { type: "time", id: "quiet-to", value: facts.quiet?.[1] ?? "07:00", required: true });
  const values = () => ({ quiet: { begins_minute: minute(from.value), ends_minute: minute(to.value) } });
  const said = facts.file.quiet ? facts.file.quiet.join(" – ") : t("quiet.none");
  return [
    saving(
      save,
      values,
      h(
        "div.pair",
        h("div", h("label", { for: "quiet-from" }, t("hours.from")), from),
        h("div", h("label", { for: "quiet-to" }, t("hours.to")), to),
      ),
      h("p.help", t("quiet.text")),
      localTime(facts),
    ),
    fromFile(facts, "alerts.quiet", { quiet: null }, save, said),
  ];
}

/**
 * The clock by which hours count. It may have another time zone than the owner, and then the camera films in an hour
 * that the owner called private.
 *
 * @param {Answer} facts
 */
function localTime({ utc_offset_minutes: offset, zone }) {
  const now = new Date();
  // `getTimezoneOffset` counts from this browser to UTC, so this is from this browser to the doorbell.
  const ahead = offset + now.getTimezoneOffset();
  const told = { time: clock(now.getTime() + ahead * 60_000), zone, own: clock(now) };
  return ahead === 0 ? h("p.help", t("hours.clock", told)) : h("p.problem", t("hours.clock.other", told));
}

/** @param {string} text */
const minute = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));

export const saved = () => say(t("set.done"));
