// Zones, masks and sensitivity, drawn on the newest still; and what a film of yours would have shown the detector.
import { play } from "../media/player.js";
import { differences, GRID, sample, seenIn } from "../media/seen.js";
import { ask, call } from "../ui/client.js";
import { h, svg } from "../ui/dom.js";
import { dateAndClock, explain, minutes, t, wholeNumber } from "../ui/texts.js";
import { cleaned } from "../wire/text.js";

const KINDS = ["include", "exclude", "privacy"];
const EVERYTHING_MS = Number.MAX_SAFE_INTEGER;
const TRIED = 20;

/** `save({zones, sensitivity_percent})` signs. */
export function zones(facts, save) {
  const drawn = facts.zones.map((zone) => ({ ...zone, corners: zone.corners.map((corner) => [...corner]) }));
  const [width, height] = facts.size;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "zones", role: "img", "aria-label": t("zones.picture") });
  const list = h("ul.plain.zone-list");
  const problem = h("p.problem", { role: "alert" });
  const keen = slider("sensitivity", t("zones.sensitivity"), facts.sensitivity, () => trial.judge());
  let open = null;
  let held = null;
  // Into a stream that is kept as it comes nothing can be burned: such a zone would be refused.
  const kinds = KINDS.filter((each) => each !== "privacy" || facts.masks_by !== "camera");

  const trial = tryOut(() => ({ zones: drawn, sensitivity: keen.value() }));

  function redraw() {
    const shapes = [...drawn, ...(open ? [open] : [])].map((zone) =>
      svg("polygon", { points: zone.corners.map(([x, y]) => `${x * width},${y * height}`).join(" "), class: `zone ${zone.kind}` }),
    );
    const dots = [...drawn, ...(open ? [open] : [])].flatMap((zone) =>
      zone.corners.map((corner, i) => {
        const dot = svg("circle", { cx: String(corner[0] * width), cy: String(corner[1] * height), r: String(width / 70), class: "corner" });
        dot.addEventListener("pointerdown", (event) => {
          held = { zone, i };
          picture.setPointerCapture(event.pointerId);
          event.stopPropagation();
        });
        return dot;
      }),
    );
    picture.replaceChildren(...[...picture.querySelectorAll("image")], ...shapes, ...dots);
    close.disabled = !open || open.corners.length < 3;
    close.hidden = cancel.hidden = !open;
    trial.judge();
  }

  function rows() {
    list.replaceChildren(...drawn.map(row));
    redraw();
  }

  function row(zone, i) {
    const name = h("input", { value: zone.name, maxlength: "64", "aria-label": t("zones.name"), oninput: () => (zone.name = name.value) });
    const kind = h("select", { "aria-label": t("zones.kind"), onchange: () => ((zone.kind = kind.value), rows()) }, kinds.map((each) => h("option", { value: each, selected: each === zone.kind }, t(`zones.${each}`))));
    const own = slider(`sensitivity-${i}`, t("zones.sensitivity.of", { name: zone.name }), zone.sensitivity, (value) => ((zone.sensitivity = value), trial.judge()));
    return h(
      `li.zone-row.${zone.kind}`,
      h("div.row.between", name, h("button.small", { type: "button", "aria-label": t("zones.remove.which", { name: zone.name }), onclick: () => (drawn.splice(i, 1), rows()) }, t("zones.remove"))),
      kind,
      zone.kind === "include" && own.element,
    );
  }

  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((share) => Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000);
  };
  picture.addEventListener("pointermove", (event) => {
    if (!held) return;
    held.zone.corners[held.i] = at(event);
    redraw();
  });
  picture.addEventListener("pointerup", () => setTimeout(() => (held = null)));
  picture.addEventListener("click", (event) => {
    if (held) return;
    open ??= fresh([]);
    open.corners.push(at(event));
    redraw();
  });

  const fresh = (corners) => ({ name: unused(drawn), kind: "include", corners, sensitivity: 1, smallest_share: 0 });
  const close = h("button.primary", { type: "button", disabled: true, onclick: () => (drawn.push(open), (open = null), rows()) }, t("zones.close"));
  const cancel = h("button", { type: "button", onclick: () => ((open = null), redraw()) }, t("cancel"));
  const typed = h("input", { id: "zone-corners", placeholder: "0.1 0.2, 0.9 0.2, 0.5 1", autocomplete: "off" });
  const add = h(
    "button",
    {
      type: "button",
      onclick() {
        const corners = typed.value.split(",").map((pair) => pair.trim().split(/\s+/).map(Number));
        const isSound = corners.length >= 3 && corners.every((corner) => corner.length === 2 && corner.every((share) => share >= 0 && share <= 1));
        typed.setCustomValidity(isSound ? "" : t("zones.corners.wrong"));
        if (!typed.reportValidity()) return;
        drawn.push(fresh(corners));
        typed.value = "";
        rows();
      },
    },
    t("zones.add"),
  );
  const keep = h(
    "button.save",
    {
      type: "button",
      async onclick() {
        problem.textContent = "";
        try {
          await save({ zones: drawn.map(stated), sensitivity_percent: Math.round(keen.value() * 100) });
        } catch (error) {
          problem.textContent = explain(error);
        }
      },
    },
    t("save"),
  );
  rows();
  const hint = h("p.note", { hidden: true }, t("zones.still"));
  still(picture, width, height).then((isThere) => (hint.hidden = isThere));
  return h(
    "div.stack",
    picture,
    hint,
    h("p.help", t("zones.how")),
    h("div.row.drawing", close, cancel),
    list,
    h("details", h("summary", t("zones.type")), h("label", { for: "zone-corners" }, t("zones.corners")), typed, h("div.row", add)),
    keen.element,
    facts.masks_by === "camera" && h("p.note", t("zones.camera")),
    trial.element,
    problem,
    h("div.row.end", keep),
  );
}

const unused = (drawn) => {
  for (let n = drawn.length + 1; ; n++) if (!drawn.some((zone) => zone.name === t("zones.number", { n }))) return t("zones.number", { n });
};

/** As the statement says it: whole ten-thousandths and percent. */
const stated = (zone) => ({
  name: cleaned(zone.name),
  kind: zone.kind,
  corners: zone.corners.map((corner) => corner.map((share) => Math.round(share * 10_000))),
  sensitivity_percent: zone.sensitivity === 1 ? undefined : Math.round(zone.sensitivity * 100),
  smallest_share: Math.round((zone.smallest_share ?? 0) * 10_000) || undefined,
});

/** 0.1 to 10 on a scale where the middle is 1. */
function slider(id, label, value, onChange) {
  const input = h("input", { id, type: "range", min: "-100", max: "100", step: "5", value: String(Math.round(Math.log10(value) * 100)) });
  const now = () => 10 ** (Number(input.value) / 100);
  const says = () => input.setAttribute("aria-valuetext", `${wholeNumber(now() * 100)} %`);
  const shown = h("output", { for: id }, `${wholeNumber(value * 100)} %`);
  says();
  input.addEventListener("input", () => {
    shown.textContent = `${wholeNumber(now() * 100)} %`;
    says();
    onChange(now());
  });
  return { element: h("div.slider", h("label", { for: id }, label), h("div.row", input, shown), h("div.ends", { "aria-hidden": "true" }, h("span", t("zones.dull")), h("span", t("zones.keen")))), value: now };
}

/** The newest still, opened here, to draw on; false when there is none yet. */
async function still(picture, width, height) {
  try {
    const { events } = await ask("events", { from_ms: 0, to_ms: EVERYTHING_MS });
    const newest = events.find((event) => event.poster);
    if (!newest) return false;
    const url = URL.createObjectURL(new Blob([(await call("poster", { id: newest.poster })).media], { type: "image/jpeg" }));
    picture.prepend(svg("image", { href: url, width: String(width), height: String(height), preserveAspectRatio: "none" }));
  } catch {
    // Without a still there is the frame alone.
  }
  return true;
}

/** What would it have seen?  A film is opened, played and looked at in this browser; nothing of it goes anywhere. */
function tryOut(settings) {
  const video = h("video", { muted: true, playsInline: true, "aria-label": t("seen.film") });
  const cells = h("canvas", { width: GRID.width, height: GRID.height, "aria-hidden": "true" });
  const verdicts = h("ul.plain.seen");
  const choice = h("select", { id: "seen-event", onchange: () => watch() });
  const problem = h("p.problem", { role: "alert" });
  const body = h("div", h("label", { for: "seen-event" }, t("seen.which")), choice, h("div.frame.trial", video, cells), h("div", { role: "status" }, verdicts), problem);
  const element = h("details.try", h("summary", t("seen")), h("p.quiet", t("seen.text")), body);
  let samples = [];
  let stop = () => {};
  let events = [];

  element.addEventListener("toggle", async () => {
    if (!element.open) return stop();
    try {
      events = (await ask("events", { from_ms: 0, to_ms: EVERYTHING_MS })).events.slice(0, TRIED);
      choice.replaceChildren(...events.map((event) => h("option", { value: event.event }, `${dateAndClock(event.start_ms)} · ${t(`event.${event.kind || "motion"}`)}`)));
      if (events.length) await watch();
      else verdicts.replaceChildren(h("li", t("timeline.none")));
    } catch (error) {
      problem.textContent = explain(error);
    }
  });

  async function watch() {
    stop();
    samples = [];
    const event = events.find((each) => each.event === choice.value);
    const { segments } = await ask("list", { from_ms: event.start_ms, to_ms: event.end_ms + 1 });
    const own = segments.filter((each) => each.event === event.event).map(({ id, start_ms: start, end_ms: end }) => ({ id, start, end }));
    const looking = new AbortController();
    const end = play(video, own, (id) => call("segment", { id }), { onError: (error) => (problem.textContent = explain(error)) });
    stop = () => (looking.abort(), end());
    sample(video, looking.signal, (one) => {
      if (!element.isConnected) return stop();
      samples.push(one);
      judge();
    });
  }

  function judge() {
    if (!samples.length) return;
    const { zones: drawn, sensitivity } = settings();
    const found = seenIn(differences(samples), drawn, sensitivity);
    const context = cells.getContext("2d");
    const image = context.createImageData(GRID.width, GRID.height);
    for (const zone of found) {
      zone.cells.at(-1).forEach((is, cell) => {
        if (is) image.data.set([80, 255, 170, 150], cell * 4);
      });
    }
    context.putImageData(image, 0, 0);
    verdicts.replaceChildren(
      ...found.map(({ name, times }) => {
        const who = name || t("seen.everywhere");
        return h("li", h("b", who), " ", times.length ? t("seen.yes", { at: minutes(times[0] * 1000), length: t("length.seconds", { n: Math.max(1, Math.round(times.length * 0.15)) }) }) : t("seen.no"));
      }),
    );
  }
  return { element, judge };
}
