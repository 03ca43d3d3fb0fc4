// The map under the drawing: the desk's own background, and tiles if the desk's settings name a source of them.

import { addProtocol } from "maplibre-gl";
import { PMTiles, Protocol, TileType } from "pmtiles";

const BACKGROUND = "#eef2f0";

/** @param {string} attribution */
const credit = (attribution) => (attribution ? { attribution } : {});

/**
 * Returns the style of a map with these tiles. A file of PMTiles holds pictures, or shapes in the layers of the
 * Protomaps basemap. Names are not drawn, because they would need fonts from elsewhere.
 * @param {string} tiles empty, an address with {z}, {x} and {y}, or the address of a file of PMTiles
 * @param {string} attribution
 * @returns {Promise<import("maplibre-gl").StyleSpecification>}
 */
export async function styleWith(tiles, attribution) {
  /** @type {import("maplibre-gl").StyleSpecification} */
  const style = {
    version: 8,
    sources: {},
    layers: [{ id: "background", type: "background", paint: { "background-color": BACKGROUND } }],
  };
  if (!tiles) return style;
  if (!tiles.endsWith(".pmtiles")) return withPictures(style, { tiles: [tiles] }, attribution);
  const address = new URL(tiles, document.baseURI).href;
  // Its header says whether it holds pictures or shapes, and the name of the file does not.
  const file = new PMTiles(address);
  const protocol = new Protocol();
  protocol.add(file);
  addProtocol("pmtiles", protocol.tile);
  const header = await file.getHeader();
  const source = { url: `pmtiles://${address}` };
  return header.tileType === TileType.Mvt
    ? withShapes(style, source, attribution)
    : withPictures(style, source, attribution);
}

/**
 * @param {import("maplibre-gl").StyleSpecification} style
 * @param {{ tiles?: string[], url?: string }} source
 * @param {string} attribution
 */
function withPictures(style, source, attribution) {
  style.sources.tiles = { type: "raster", tileSize: 256, ...source, ...credit(attribution) };
  style.layers.push({ id: "tiles", type: "raster", source: "tiles" });
  return style;
}

/**
 * @param {import("maplibre-gl").StyleSpecification} style
 * @param {{ url: string }} source
 * @param {string} attribution
 */
function withShapes(style, source, attribution) {
  style.sources.tiles = { type: "vector", ...source, ...credit(attribution) };
  for (const [layer, color] of Object.entries({
    earth: "#f3f4f0",
    landuse: "#e3ead9",
    water: "#bcd7e6",
    buildings: "#d9d4cc",
  })) {
    style.layers.push({
      id: layer,
      type: "fill",
      source: "tiles",
      "source-layer": layer,
      paint: { "fill-color": color },
    });
  }
  style.layers.push({
    id: "roads",
    type: "line",
    source: "tiles",
    "source-layer": "roads",
    paint: { "line-color": "#ffffff", "line-width": 2 },
  });
  return style;
}
