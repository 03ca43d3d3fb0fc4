// Zones, masks, sensitivity and the smallest person that counts, drawn on the newest still.
import { ask, call } from "../ui/client.js";
import { h, svg } from "../ui/dom.js";
import { explain, t, wholeNumber } from "../ui/texts.js";
import { MAX_SETTING_CHARACTERS, RANGES } from "../wire/bounds.js";
import { cleaned } from "../wire/text.js";
import { DetectionTrial } from "./trial.js";

/** @import { Answer, Corner, Save, Zone } from "../types.js" */

const KINDS = ["include", "exclude", "privacy"];
/** A person of height 1 who stands on (0, 0): head, then trunk, arms and legs. */
const PERSON =
  "M0-1a.08.08 0 1 0 .001 0Z" +
  "M-.1-.82H.1Q.15-.82.15-.76L.16-.46H.1V-.7L.09-.38.08 0H.01V-.36" +
  "H-.01V0H-.08L-.09-.38-.1-.7V-.46H-.16L-.15-.76Q-.15-.82-.1-.82Z";
const LARGEST_PERSON = RANGES["Settings.smallest_person"][1] / 10_000;

const EVERYTHING_MS = Number.MAX_SAFE_INTEGER;

/**
 * The editor as an element.  `save({zones, sensitivity_percent, smallest_person})` signs.
 *
 * @param {Answer} facts
 * @param {Save} save
 */
export const zones = (facts, save) => new ZoneEditor(facts, save).element();

class ZoneEditor {
  #facts;
  #save;
  /** @type {Zone[]} */
  #drawn;
  /** @type {Zone | null} The zone that is being drawn and has no end yet. */
  #open;
  /** @type {{ zone: Zone, i: number } | null} The corner under the pointer. */
  #held;
  #width;
  #height;
  #kinds;
  #picture;
  #list;
  #problem;
  #keen;
  #person;
  #trial;
  #close;
  #cancel;

  /**
   * @param {Answer} facts
   * @param {Save} save
   */
  constructor(facts, save) {
    this.#facts = facts;
    this.#save = save;
    this.#drawn = facts.zones.map((/** @type {Zone} */ zone) => ({
      ...zone,
      corners: zone.corners.map((/** @type {Corner} */ corner) => [...corner]),
    }));
    this.#open = null;
    this.#held = null;
    [this.#width, this.#height] = facts.size;
    // A camera's own stream is stored as it comes, so the doorbell would refuse a privacy mask.
    this.#kinds = KINDS.filter((each) => each !== "privacy" || facts.masks_by !== "camera");
    this.#picture = this.#makePicture();
    this.#list = h("ul.plain.zone-list");
    this.#problem = h("p.problem", { role: "alert" });
    this.#keen = slider("sensitivity", t("zones.sensitivity"), facts.sensitivity, () => this.#trial.judge());
    this.#person = personSlider(facts.smallest_person, () => this.#redraw());
    this.#trial = new DetectionTrial(() => ({
      zones: this.#drawn,
      sensitivity: this.#keen.value(),
      smallestPerson: this.#person.value(),
    }));
    this.#close = h(
      "button.primary",
      { type: "button", disabled: true, onclick: () => this.#finish() },
      t("zones.close"),
    );
    this.#cancel = h("button", { type: "button", onclick: () => this.#drop() }, t("cancel"));
  }

  element() {
    this.#rows();
    const hint = h("p.note", { hidden: true }, t("zones.still"));
    void still(this.#picture, this.#width, this.#height).then((isThere) => {
      hint.hidden = isThere;
    });
    return h(
      "div.stack",
      this.#picture,
      hint,
      h("p.help", t("zones.how")),
      h("div.row.drawing", this.#close, this.#cancel),
      this.#list,
      this.#typing(),
      this.#person.element,
      h("details", h("summary", t("zones.contrast")), h("p.help", t("zones.contrast.how")), this.#keen.element),
      this.#facts.masks_by === "camera" && h("p.note", t("zones.camera")),
      this.#trial.element,
      this.#problem,
      h("div.row.end", h("button.save", { type: "button", onclick: () => this.#keep() }, t("save"))),
    );
  }

  #makePicture() {
    const picture = svg("svg", {
      viewBox: `0 0 ${this.#width} ${this.#height}`,
      class: "zones",
      role: "img",
      "aria-label": t("zones.picture"),
    });
    picture.addEventListener("pointermove", (event) => {
      if (!this.#held) return;
      this.#held.zone.corners[this.#held.i] = this.#placeOf(event);
      this.#redraw();
    });
    // A click follows the pointer's release. The held corner is kept until then, so that the click adds no new one.
    picture.addEventListener("pointerup", () =>
      setTimeout(() => {
        this.#held = null;
      }),
    );
    picture.addEventListener("click", (event) => {
      if (this.#held) return;
      this.#open ??= this.#fresh([]);
      this.#open.corners.push(this.#placeOf(event));
      this.#redraw();
    });
    return picture;
  }

  /**
   * Pointer position, as shares of the picture.
   *
   * @param {MouseEvent} event
   */
  #placeOf(event) {
    const box = this.#picture.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map(
      (share) => Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000,
    );
  }

  /** @param {Corner[]} corners */
  #fresh(corners) {
    return { name: unused(this.#drawn), kind: "include", corners, sensitivity: 1, smallest_person: 0 };
  }

  #finish() {
    if (this.#open) this.#drawn.push(this.#open);
    this.#open = null;
    this.#rows();
  }

  #drop() {
    this.#open = null;
    this.#redraw();
  }

  #rows() {
    this.#list.replaceChildren(...this.#drawn.map((zone, i) => this.#row(zone, i)));
    this.#redraw();
  }

  #redraw() {
    const all = [...this.#drawn, ...(this.#open ? [this.#open] : [])];
    const shapes = all.map((zone) =>
      svg("polygon", {
        points: zone.corners.map(([x, y]) => `${x * this.#width},${y * this.#height}`).join(" "),
        class: `zone ${zone.kind}`,
      }),
    );
    const dots = all.flatMap((zone) => zone.corners.map((_, i) => this.#dot(zone, i)));
    this.#picture.replaceChildren(...this.#picture.querySelectorAll("image"), ...shapes, ...this.#figure(), ...dots);
    this.#close.disabled = !this.#open || this.#open.corners.length < 3;
    this.#close.hidden = !this.#open;
    this.#cancel.hidden = !this.#open;
    this.#trial.judge();
  }

  /** The smallest person that counts, standing in the middle of the picture. Nothing if anything counts. */
  #figure() {
    const tall = this.#person.value() * this.#height;
    if (!tall) return [];
    const at = `translate(${this.#width / 2} ${(this.#height + tall) / 2}) scale(${tall})`;
    return [svg("path", { d: PERSON, transform: at, class: "person" })];
  }

  /**
   * The handle of a corner.
   *
   * @param {Zone} zone
   * @param {number} i
   */
  #dot(zone, i) {
    const [x, y] = zone.corners[i];
    const dot = svg("circle", {
      cx: String(x * this.#width),
      cy: String(y * this.#height),
      r: String(this.#width / 70),
      class: "corner",
    });
    dot.addEventListener("pointerdown", (event) => {
      this.#held = { zone, i };
      // The picture gets the pointer's events from now on, for the handle itself is drawn again with each of them.
      this.#picture.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    return dot;
  }

  /**
   * @param {Zone} zone
   * @param {number} i
   */
  #row(zone, i) {
    const own = slider(
      `sensitivity-${i}`,
      t("zones.sensitivity.of", { name: zone.name }),
      zone.sensitivity,
      (value) => {
        zone.sensitivity = value;
        this.#trial.judge();
      },
    );
    return h(
      `li.zone-row.${zone.kind}`,
      h("div.row.between", nameField(zone), this.#removeButton(zone, i)),
      this.#kindField(zone),
      zone.kind === "include" && own.element,
    );
  }

  /**
   * @param {Zone} zone
   * @param {number} i
   */
  #removeButton(zone, i) {
    const remove = () => {
      this.#drawn.splice(i, 1);
      this.#rows();
    };
    const label = t("zones.remove.which", { name: zone.name });
    return h("button.small", { type: "button", "aria-label": label, onclick: remove }, t("zones.remove"));
  }

  /** @param {Zone} zone */
  #kindField(zone) {
    const field = h(
      "select",
      {
        "aria-label": t("zones.kind"),
        onchange: () => {
          zone.kind = field.value;
          this.#rows();
        },
      },
      this.#kinds.map((each) => h("option", { value: each, selected: each === zone.kind }, t(`zones.${each}`))),
    );
    return field;
  }

  /** The same by keyboard: corners as numbers. */
  #typing() {
    const typed = h("input", {
      id: "zone-corners",
      placeholder: "0.1 0.2, 0.9 0.2, 0.5 1",
      autocomplete: "off",
      dir: "ltr",
    });
    const add = () => {
      const corners = cornersIn(typed.value);
      typed.setCustomValidity(corners ? "" : t("zones.corners.wrong"));
      if (!typed.reportValidity() || !corners) return;
      this.#drawn.push(this.#fresh(corners));
      typed.value = "";
      this.#rows();
    };
    return h(
      "details",
      h("summary", t("zones.type")),
      h("label", { for: "zone-corners" }, t("zones.corners")),
      typed,
      h("div.row", h("button", { type: "button", onclick: add }, t("zones.add"))),
    );
  }

  async #keep() {
    this.#problem.textContent = "";
    try {
      const sensitivity = Math.round(this.#keen.value() * 100);
      await this.#save({
        zones: this.#drawn.map(stated),
        sensitivity_percent: sensitivity,
        smallest_person: Math.round(this.#person.value() * 10_000),
      });
    } catch (error) {
      this.#problem.textContent = explain(error);
    }
  }
}

/**
 * The corners in a text such as "0.1 0.2, 0.9 0.2, 0.5 1"; undefined for any other text.
 *
 * @param {string} text
 */
function cornersIn(text) {
  const corners = text.split(",").map((pair) => pair.trim().split(/\s+/).map(Number));
  /** @param {number} share */
  const isShare = (share) => share >= 0 && share <= 1;
  const isSound = corners.length >= 3 && corners.every((corner) => corner.length === 2 && corner.every(isShare));
  return isSound ? corners : undefined;
}

/** @param {Zone} zone */
function nameField(zone) {
  const field = h("input", {
    value: zone.name,
    maxlength: String(MAX_SETTING_CHARACTERS),
    "aria-label": t("zones.name"),
    oninput() {
      zone.name = field.value;
    },
  });
  return field;
}

/** @param {Zone[]} drawn */
const unused = (drawn) => {
  for (let n = drawn.length + 1; ; n++)
    if (!drawn.some((zone) => zone.name === t("zones.number", { n }))) return t("zones.number", { n });
};

/**
 * As the statement says it: whole ten-thousandths and percent.
 *
 * @param {Zone} zone
 */
const stated = (zone) => ({
  name: cleaned(zone.name),
  kind: zone.kind,
  corners: zone.corners.map((corner) => corner.map((share) => Math.round(share * 10_000))),
  sensitivity_percent: zone.sensitivity === 1 ? undefined : Math.round(zone.sensitivity * 100),
  smallest_person: Math.round((zone.smallest_person ?? 0) * 10_000) || undefined,
});

/**
 * 0.1 to 10 on a scale where the middle is 1.
 *
 * @param {string} id
 * @param {string} label
 * @param {number} value
 * @param {(value: number) => void} onChange
 */
function slider(id, label, value, onChange) {
  const input = h("input", {
    id,
    type: "range",
    min: "-100",
    max: "100",
    step: "5",
    value: String(Math.round(Math.log10(value) * 100)),
  });
  const now = () => 10 ** (Number(input.value) / 100);
  const says = () => input.setAttribute("aria-valuetext", `${wholeNumber(now() * 100)} %`);
  const shown = h("output", { for: id }, `${wholeNumber(value * 100)} %`);
  says();
  input.addEventListener("input", () => {
    shown.textContent = `${wholeNumber(now() * 100)} %`;
    says();
    onChange(now());
  });
  return {
    element: h(
      "div.slider",
      h("label", { for: id }, label),
      h("div.row", input, shown),
      h("div.ends", { "aria-hidden": "true" }, h("span", t("zones.dull")), h("span", t("zones.keen"))),
    ),
    value: now,
  };
}

/**
 * The height of the smallest person that counts, as a share of the picture's.
 *
 * @param {number} value
 * @param {() => void} onChange
 */
function personSlider(value, onChange) {
  const input = h("input", {
    id: "smallest-person",
    type: "range",
    min: "0",
    max: String(LARGEST_PERSON * 100),
    step: "1",
    value: String(Math.round(value * 100)),
  });
  const now = () => Number(input.value) / 100;
  const words = () => (now() ? t("zones.person.tall", { share: wholeNumber(now() * 100) }) : t("zones.person.any"));
  const shown = h("output", { for: "smallest-person" }, words());
  input.setAttribute("aria-valuetext", words());
  input.addEventListener("input", () => {
    shown.textContent = words();
    input.setAttribute("aria-valuetext", words());
    onChange();
  });
  return {
    element: h(
      "div.slider",
      h("label", { for: "smallest-person" }, t("zones.person")),
      h("div.row", input, shown),
      h("p.help", t("zones.person.how")),
    ),
    value: now,
  };
}

/**
 * The newest still, opened here, to draw on; false before the first one.
 *
 * @param {SVGSVGElement} picture
 * @param {number} width
 * @param {number} height
 */
async function still(picture, width, height) {
  try {
    const { events } = await ask("events", { from_ms: 0, to_ms: EVERYTHING_MS });
    const poster = events.find((event) => event.poster)?.poster;
    if (!poster) return false;
    const url = URL.createObjectURL(new Blob([(await call("poster", { id: poster })).media], { type: "image/jpeg" }));
    // Corners are shares of each side, so the still fills the frame whatever its own size is.
    picture.prepend(
      svg("image", { href: url, width: String(width), height: String(height), preserveAspectRatio: "none" }),
    );
  } catch {
    // Draws on the empty frame if there is no still.
  }
  return true;
}
