// The desk's own map: lines of latitude and longitude with their degrees, so that a map without tiles is still a map.

const STEPS = [10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
const FEWEST_LINES = 4;
const DECIMALS = 4;
/** Room in pixels for the degrees of the other edge, and for the scale at the lower right. */
const CORNER = { left: 48, bottom: 28, right: 132 };

/**
 * Returns the whole multiples of a round step between two degrees.
 * @param {number} from
 * @param {number} to
 */
export function degreesBetween(from, to) {
  const step = STEPS.find((each) => (to - from) / each >= FEWEST_LINES) ?? STEPS[STEPS.length - 1];
  const first = Math.ceil(from / step);
  const count = Math.max(0, Math.floor(to / step) - first + 1);
  return Array.from({ length: count }, (_, number) => Number(((first + number) * step).toFixed(DECIMALS)));
}

/**
 * @param {[number, number][]} coordinates
 * @returns {GeoJSON.Feature}
 */
const line = (coordinates) => ({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates } });

/** Draws the lines and writes the degrees along the left and the lower edge. */
export class Graticule {
  /** @param {import("maplibre-gl").Map} map */
  constructor(map) {
    this.map = map;
    /** @type {HTMLElement[]} */
    this.labels = [];
    map.addSource("graticule", { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    map.addLayer({
      id: "graticule",
      type: "line",
      source: "graticule",
      paint: { "line-color": "#b7c4be", "line-width": 1 },
    });
    map.on("move", () => this.draw());
    this.draw();
  }

  draw() {
    const bounds = this.map.getBounds();
    const [west, south, east, north] = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
    const [lons, lats] = [degreesBetween(west, east), degreesBetween(south, north)];
    const features = [
      ...lons.map((lon) => line([[lon, south], [lon, north]])), // biome-ignore format: one line each
      ...lats.map((lat) => line([[west, lat], [east, lat]])), // biome-ignore format: one line each
    ];
    const source = /** @type {import("maplibre-gl").GeoJSONSource} */ (this.map.getSource("graticule"));
    source.setData({ type: "FeatureCollection", features });
    for (const label of this.labels) label.remove();
    const { clientWidth, clientHeight } = this.map.getContainer();
    const across = lons.map((lon) => ({ text: `${lon}°`, at: this.map.project([lon, south]).x }));
    const up = lats.map((lat) => ({ text: `${lat}°`, at: this.map.project([west, lat]).y }));
    this.labels = [
      ...across
        .filter(({ at }) => at > CORNER.left && at < clientWidth - CORNER.right)
        .map(({ text, at }) => this.label(text, at, "bottom")),
      ...up.filter(({ at }) => at < clientHeight - CORNER.bottom).map(({ text, at }) => this.label(text, at, "left")),
    ];
  }

  /**
   * @param {string} text
   * @param {number} pixels
   * @param {"left" | "bottom"} edge
   */
  label(text, pixels, edge) {
    const label = document.createElement("span");
    label.className = "degree";
    label.textContent = text;
    label.setAttribute("aria-hidden", "true");
    label.style[edge === "left" ? "top" : "left"] = `${Math.round(pixels)}px`;
    label.style[edge] = "0";
    this.map.getContainer().append(label);
    return label;
  }
}
