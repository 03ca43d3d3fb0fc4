// Position, zones and privacy masks, drawn on a still.  The doorbell's settings stand in one file that only its operator
// can write; so the page draws, shows what is in force, and gives the lines to put there.
import { ask, call } from "../ui/client.js";
import { h, svg } from "../ui/dom.js";
import { t } from "../ui/texts.js";

const KINDS = ["include", "exclude", "privacy"];

export async function zones(facts) {
  const drawn = facts.zones.map((zone) => ({ ...zone, corners: zone.corners.map((corner) => [...corner]) }));
  const [width, height] = facts.size;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "zones", role: "img", "aria-label": t("zones.picture") });
  const list = h("ul.plain");
  const lines = h("textarea", { readOnly: true, rows: "6", id: "zone-lines", spellcheck: false });
  const kind = h("select", { id: "zone-kind" }, KINDS.map((each) => h("option", { value: each }, t(`zones.${each}`))));
  const lat = h("input", { id: "lat", inputmode: "decimal", value: facts.position ? String(facts.position[0]) : "", autocomplete: "off" });
  const lon = h("input", { id: "lon", inputmode: "decimal", value: facts.position ? String(facts.position[1]) : "", autocomplete: "off" });
  let open = null;

  function redraw() {
    const shapes = [...drawn, ...(open ? [open] : [])].map((zone) =>
      svg("polygon", { points: zone.corners.map(([x, y]) => `${x * width},${y * height}`).join(" "), class: `zone ${zone.kind}` }),
    );
    const dots = open ? open.corners.map(([x, y]) => svg("circle", { cx: String(x * width), cy: String(y * height), r: String(width / 90), class: "corner" })) : [];
    picture.replaceChildren(...[...picture.querySelectorAll("image")], ...shapes, ...dots);
    list.replaceChildren(
      ...drawn.map((zone, i) => h("li.row.between", h("span", `${zone.name} · ${t(`zones.${zone.kind}`)}`), h("button.small", { type: "button", "aria-label": t("zones.remove.which", { name: zone.name }), onclick: () => (drawn.splice(i, 1), redraw()) }, t("zones.remove")))),
    );
    lines.value = toml(drawn, lat.value, lon.value);
    close.disabled = !open || open.corners.length < 3;
  }

  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const corner = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((share) => Math.round(Math.min(1, Math.max(0, share)) * 1000) / 1000);
    open ??= { name: `zone ${drawn.length + 1}`, kind: kind.value, corners: [], sensitivity: 1 };
    open.corners.push(corner);
    redraw();
  });
  const typed = h("input", { id: "zone-corners", placeholder: "0.1 0.2, 0.9 0.2, 0.5 1", autocomplete: "off" });
  const close = h("button", { type: "button", disabled: true, onclick: () => (drawn.push(open), (open = null), redraw()) }, t("zones.close"));
  const add = h(
    "button",
    {
      type: "button",
      onclick() {
        const corners = typed.value.split(",").map((pair) => pair.trim().split(/\s+/).map(Number));
        const isSound = corners.length >= 3 && corners.every((corner) => corner.length === 2 && corner.every((share) => share >= 0 && share <= 1));
        typed.setCustomValidity(isSound ? "" : t("zones.corners.wrong"));
        if (!typed.reportValidity()) return;
        drawn.push({ name: `zone ${drawn.length + 1}`, kind: kind.value, corners, sensitivity: 1 });
        typed.value = "";
        redraw();
      },
    },
    t("zones.add"),
  );
  for (const field of [lat, lon]) field.addEventListener("input", redraw);
  redraw();
  still(picture, width, height);
  return h(
    "div.stack",
    picture,
    h("p.help", t("zones.how")),
    h("label", { for: "zone-kind" }, t("zones.kind")),
    kind,
    h("div.row", close),
    h("details", h("summary", t("zones.type")), h("label", { for: "zone-corners" }, t("zones.corners")), typed, h("div.row", add)),
    list,
    h("div.two", h("div", h("label", { for: "lat" }, t("place.lat")), lat), h("div", h("label", { for: "lon" }, t("place.lon")), lon)),
    h("p.help", t("place.text")),
    h("label", { for: "zone-lines" }, t("zones.lines")),
    lines,
  );
}

/** The newest still, opened here, to draw on. */
async function still(picture, width, height) {
  try {
    const { events } = await ask("events", { from_ms: 0, to_ms: Number.MAX_SAFE_INTEGER });
    const newest = events.find((event) => event.poster);
    if (!newest) return;
    const url = URL.createObjectURL(new Blob([await call("poster", { id: newest.poster })], { type: "image/jpeg" }));
    picture.prepend(svg("image", { href: url, width: String(width), height: String(height), preserveAspectRatio: "none" }));
  } catch {
    // Without a still there is the frame alone.
  }
}

function toml(drawn, lat, lon) {
  const place = lat && lon ? `[device]\nposition = { latitude = ${Number(lat)}, longitude = ${Number(lon)} }\n` : "";
  const zoneLines = drawn.map(
    (zone) => `\n[[motion.zones]]\nname = ${JSON.stringify(zone.name)}\nkind = "${zone.kind}"\ncorners = [${zone.corners.map(([x, y]) => `[${x}, ${y}]`).join(", ")}]\n`,
  );
  return (place + zoneLines.join("")).trim();
}
