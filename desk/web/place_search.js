// The search for a place: coordinates, or a name in the organisation's own file. No other service hears of it.

import { parsePosition } from "./positions.js";

/** The search field with its results as buttons. */
export class PlaceSearch {
  /**
   * @param {HTMLFormElement} form
   * @param {(position: import("./positions.js").LonLat) => void} found
   */
  constructor(form, found) {
    this.found = found;
    this.address = form.dataset.places ?? "";
    const input = document.getElementById("place");
    const button = document.getElementById("find-place");
    this.results = document.getElementById("places-found");
    if (!(input instanceof HTMLInputElement)) return;
    const look = () => {
      this.look(input.value).catch((error) => console.log(error));
    };
    button?.addEventListener("click", look);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // Enter would send the form
      look();
    });
  }

  /** @param {string} words */
  async look(words) {
    const position = parsePosition(words);
    if (position) {
      this.results?.replaceChildren();
      this.found(position);
      return;
    }
    const answer = await fetch(`${this.address}?q=${encodeURIComponent(words)}`, { credentials: "same-origin" });
    const { places, nothing } = await answer.json();
    this.results?.replaceChildren(...places.map((/** @type {any} */ each) => this.button(each)));
    if (!places.length) this.results?.append(nothing);
  }

  /** @param {{ name: string, lat: number, lon: number }} place */
  button({ name, lat, lon }) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => this.found([lon, lat]));
    return button;
  }
}
