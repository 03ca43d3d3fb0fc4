// The page of one's own submission: what became of it, and the answers, which only this browser opens.

import { utf8 } from "../../agent/web/src/wire/bytes.js";
import { spanOf } from "../../agent/web/src/wire/segment.js";
import { openItem, readAnswer, readRequest } from "./answer.js";
import { keyIn, recipientOf } from "./neighbour_key.js";
import { BARE, show } from "./working.js";

/** @import { NeighbourKey } from "./neighbour_key.js" */
/** @import { Bytes } from "../../agent/web/src/types.js" */
/** @typedef {{ id: string, device: string, parts: number }} AnswerNote */
/** @typedef {Awaited<ReturnType<typeof readRequest>>} OwnRequest */
/** @typedef {import("./answer.js").Item} Item */

const texts = /** @type {HTMLElement} */ (document.getElementById("texts")).dataset;
const TYPES = { segment: "video/mp4", sound: "audio/mp4", poster: "image/jpeg" };
const PLAYERS = /** @type {const} */ ({ segment: "video", sound: "audio", poster: "img" });
const NAMES = { segment: texts.film ?? "", sound: texts.sound ?? "", poster: texts.still ?? "" };
/** Answers that are on the page already, by id. @type {Set<string>} */
const shown = new Set();

/** @param {string} id */
const place = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @param {NeighbourKey} key
 * @param {string} path
 * @param {string} [words]
 */
function call(key, path, words) {
  const address = `${place("mine").dataset.taker}/mine/${path}`;
  const body = words === undefined ? undefined : utf8(words);
  return fetch(address, { ...BARE, method: "POST", body, headers: { "Neighbour-Token": key.token } });
}

/** @param {NeighbourKey} key */
async function look(key) {
  const answer = await call(key, "state");
  if (!answer.ok) throw new Error(`state ${answer.status}`);
  const said = await answer.json();
  place("mine").hidden = false;
  show("state", said.words);
  show("remark", said.remark);
  place("hidden-now").hidden = !said.hidden;
  place("appeal").hidden = !(["rejected", "removed"].includes(said.state) && !said.appeal);
  place("appeal-open").hidden = said.appeal !== "open";
  place("appeal-denied").hidden = said.appeal !== "denied";
  place("withdraw").hidden = !["waiting", "seconded", "published"].includes(said.state);
  if (!said.request) return;
  place("answers").hidden = false;
  const request = await readRequest(said.request, said.key);
  // The desk may have published another key with the words, and could then open the answers itself.
  if (request.value.reply !== (await recipientOf(key))) {
    show("problem", texts.changed);
    return;
  }
  place("none").hidden = said.answers.length > 0;
  for (const each of said.answers) {
    if (!shown.has(each.id)) await addAnswer(key, request, each);
    shown.add(each.id);
  }
}

/**
 * @param {NeighbourKey} key
 * @param {string} disclosure
 * @param {number} number
 * @returns {Promise<Bytes>}
 */
async function part(key, disclosure, number) {
  const answer = await call(key, `${disclosure}/${number}`);
  if (!answer.ok) throw new Error(`part ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** @param {number} ms */
const time = (ms) =>
  new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" }).format(ms);

/**
 * @param {string} name of an element
 * @param {string} [text]
 */
function made(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/**
 * @param {NeighbourKey} key
 * @param {OwnRequest} request
 * @param {AnswerNote} note
 */
async function addAnswer(key, request, note) {
  const row = made("li");
  row.className = "card";
  row.append(made("h3", `${texts.door} ${note.device.slice(0, 8)}`));
  place("answer-list").append(row);
  try {
    const { items, told, contact } = await readAnswer(await part(key, note.id, 0), request, key.identity, note);
    row.append(made("p", texts.proved));
    const words = [contact?.name, contact?.street, contact?.email, contact?.note].filter(Boolean).join(", ");
    if (words) row.append(made("p", `${texts.contact} ${words}`));
    for (const { from, to } of told) row.append(made("p", `${texts.told} ${time(from)} – ${time(to)}`));
    for (const item of items) row.append(itemRow(key, note.id, item));
  } catch (error) {
    console.log(error);
    const problem = made("p", `${texts.broken} ${error instanceof Error ? error.message : ""}`);
    problem.className = "note error";
    row.append(problem);
  }
}

/**
 * @param {NeighbourKey} key
 * @param {string} disclosure
 * @param {Item} item
 */
function itemRow(key, disclosure, item) {
  const row = made("div");
  const { start } = spanOf(item.record);
  const button = made("button", `${texts.open}: ${NAMES[item.kind]}, ${time(start)}`);
  button.setAttribute("type", "button");
  row.append(button);
  button.addEventListener("click", async () => {
    const words = button.textContent;
    button.textContent = texts.opening ?? "";
    try {
      const { media, redacted } = await openItem(item, await part(key, disclosure, item.part), key.identity);
      button.replaceWith(playerOf(item, media, `${NAMES[item.kind]}, ${time(start)}`));
      if (redacted) row.append(made("p", texts.redacted));
    } catch (error) {
      console.log(error);
      button.textContent = words;
      const problem = made("p", `${texts.broken} ${error instanceof Error ? error.message : ""}`);
      problem.className = "note error";
      row.append(problem);
    }
  });
  return row;
}

/**
 * @param {Item} item
 * @param {Bytes} media
 * @param {string} name
 */
function playerOf(item, media, name) {
  const address = URL.createObjectURL(new Blob([media], { type: TYPES[item.kind] }));
  const both = made("div");
  const player = document.createElement(PLAYERS[item.kind]);
  if (player instanceof HTMLImageElement) {
    player.alt = name;
  } else {
    player.controls = true;
    player.setAttribute("aria-label", name);
  }
  player.src = address;
  if (item.kind !== "sound") player.setAttribute("width", "640");
  const save = document.createElement("a");
  save.textContent = `${texts.save}: ${name}`;
  save.href = address;
  save.download = `${item.kind}-${item.part}.${item.kind === "poster" ? "jpg" : "mp4"}`;
  both.append(player, made("br"), save);
  return both;
}

/** @param {() => Promise<void>} act */
async function tried(act) {
  show("problem", "");
  try {
    await act();
  } catch (error) {
    console.log(error);
    show("problem", texts.failed);
  }
}

async function begin() {
  const key = await keyIn(location.hash);
  if (!key) {
    show("problem", texts.noKey);
    return;
  }
  place("keep").hidden = false;
  await tried(() => look(key));
  place("again").addEventListener("click", () => tried(() => look(key)));
  place("withdraw").addEventListener("click", () =>
    tried(async () => {
      if (!(await call(key, "withdraw", "")).ok) throw new Error("withdraw");
      await look(key);
    }),
  );
  place("appeal").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = /** @type {HTMLTextAreaElement} */ (place("appeal-words"));
    return tried(async () => {
      if (!(await call(key, "appeal", words.value)).ok) throw new Error("appeal");
      await look(key);
    });
  });
}

begin().catch((error) => console.log(error));
