// The map of a request: its circle or polygon drawn, moved and changed by mouse or finger, beside the typed fields.

import { LngLatBounds, Map as MapLibre, NavigationControl, ScaleControl, setWorkerUrl } from "maplibre-gl";
import { TerraDraw, TerraDrawCircleMode, TerraDrawPolygonMode, TerraDrawSelectMode } from "terra-draw";
import { TerraDrawMapLibreGLAdapter } from "terra-draw-maplibre-gl-adapter";
import { styleWith } from "./base_map.js";
import { Graticule } from "./graticule.js";
import { boundsOf, circleOf, ringOf } from "./positions.js";

/** @typedef {import("./positions.js").DrawnArea} DrawnArea */
/** @typedef {import("./positions.js").LonLat} LonLat */

const COLOR = "#1d4ed8";
const SMALLEST_SHARE = 0.08; // of the map's width: a smaller area cannot be judged by eye
const CORNERS = { draggable: true, midpoints: true, deletable: true };

const modes = () => [
  new TerraDrawPolygonMode({ styles: { fillColor: COLOR, outlineColor: COLOR, fillOpacity: 0.2 } }),
  new TerraDrawCircleMode({ styles: { fillColor: COLOR, outlineColor: COLOR, fillOpacity: 0.2 } }),
  new TerraDrawSelectMode({
    flags: {
      polygon: { feature: { draggable: true, coordinates: CORNERS } },
      circle: { feature: { draggable: true, coordinates: { resizable: "center-fixed" } } },
    },
  }),
];

/**
 * @param {DrawnArea} area
 * @returns {import("terra-draw").GeoJSONStoreFeatures}
 */
const featureOf = (area) => ({
  type: "Feature",
  properties:
    area.shape === "circle" ? { mode: "circle", radiusKilometers: area.radius_m / 1000 } : { mode: "polygon" },
  geometry: { type: "Polygon", coordinates: [ringOf(area)] },
});

/** The map in an element. `drawn` hears each area that a person draws or changes. */
export class AreaMap {
  /**
   * @param {MapLibre} map
   * @param {(area: DrawnArea) => void} drawn
   */
  constructor(map, drawn) {
    this.map = map;
    this.drawn = drawn;
    this.draw = new TerraDraw({ adapter: new TerraDrawMapLibreGLAdapter({ map }), modes: modes() });
    this.draw.start();
    this.draw.on("finish", (id) => this.finished(id));
  }

  /**
   * Makes the map, once its style is there. Rejects if the browser has no WebGL.
   * @param {HTMLElement} element
   * @param {{ regions: [number, number, number, number][], view: [number, number, number, number] }} known
   * @param {(area: DrawnArea) => void} drawn
   */
  static async make(element, known, drawn) {
    const { worker = "", tiles = "", attribution = "", label = "" } = element.dataset;
    setWorkerUrl(new URL(worker, document.baseURI).href);
    const map = new MapLibre({
      container: element,
      style: await styleWith(tiles, attribution),
      bounds: known.view,
      attributionControl: attribution ? {} : false,
      locale: { "Map.Title": label },
      dragRotate: false,
      pitchWithRotate: false,
      maxPitch: 0,
    });
    map.touchZoomRotate.disableRotation();
    map.addControl(new NavigationControl({ showCompass: false }));
    map.addControl(new ScaleControl({ maxWidth: 160 }), "bottom-right");
    await new Promise((resolve) => map.once("load", resolve));
    if (!tiles) new Graticule(map);
    showRegions(map, known.regions);
    return new AreaMap(map, drawn);
  }

  /** @param {import("terra-draw").GeoJSONStoreFeatures["id"]} id */
  finished(id) {
    const feature = this.draw.getSnapshot().find((each) => each.id === id);
    if (feature?.geometry.type !== "Polygon") return;
    const ring = /** @type {LonLat[]} */ (feature.geometry.coordinates[0]);
    const area =
      feature.properties.mode === "circle"
        ? circleOf(ring)
        : /** @type {DrawnArea} */ ({ shape: "polygon", corners: ring.slice(0, -1) });
    const others = this.draw.getSnapshot().filter((each) => each.properties.mode && each.id !== id);
    // The library may still work with the feature while it reports it, so that the selection waits for the next task.
    setTimeout(() => {
      const gone = others.flatMap((each) => (each.id !== undefined && this.draw.hasFeature(each.id) ? [each.id] : []));
      if (this.draw.getMode() !== "select") {
        this.draw.removeFeatures(gone);
        this.adjust();
      }
      this.drawn(area);
    });
  }

  /** @param {"circle" | "polygon"} shape */
  begin(shape) {
    this.draw.setMode(shape);
  }

  /** Lets a person move the area and its corners. */
  adjust() {
    this.draw.setMode("select");
    const found = this.draw.getSnapshot().find((each) => ["circle", "polygon"].includes(String(each.properties.mode)));
    if (found?.id !== undefined) this.draw.selectFeature(found.id);
  }

  clear() {
    this.draw.setMode("select");
    this.draw.clear();
  }

  /**
   * Shows an area that was typed.
   * @param {DrawnArea} area
   */
  show(area) {
    this.clear();
    this.draw.addFeatures([featureOf(area)]);
    this.adjust();
    const bounds = new LngLatBounds(boundsOf(ringOf(area)));
    const seen = this.map.getBounds();
    const whole = seen.contains(bounds.getSouthWest()) && seen.contains(bounds.getNorthEast());
    const wide = (bounds.getEast() - bounds.getWest()) / (seen.getEast() - seen.getWest());
    if (!whole || wide < SMALLEST_SHARE) this.map.fitBounds(bounds, { padding: 60, animate: false });
  }

  /** @param {LonLat} position */
  goTo(position) {
    this.map.jumpTo({ center: position, zoom: Math.max(this.map.getZoom(), 15) });
  }

  /** @returns {LonLat} */
  get middle() {
    const { lng, lat } = this.map.getCenter();
    return [lng, lat];
  }
}

/**
 * Draws the border within which this organisation may ask.
 * @param {MapLibre} map
 * @param {[number, number, number, number][]} regions
 */
function showRegions(map, regions) {
  /** @type {GeoJSON.Feature[]} */
  const features = regions.map(([west, south, east, north]) => ({
    type: "Feature",
    properties: {},
    geometry: {
      type: "LineString",
      coordinates: [
        [west, south],
        [east, south],
        [east, north],
        [west, north],
        [west, south],
      ],
    },
  }));
  map.addSource("regions", { type: "geojson", data: { type: "FeatureCollection", features } });
  map.addLayer({
    id: "regions",
    type: "line",
    source: "regions",
    paint: { "line-color": "#b45309", "line-width": 2, "line-dasharray": [3, 2] },
  });
}
