// An open page of a request (desk/static/desk/follow.js) and a desk that answers it, without a browser. Prints the
// number of scenarios that went as they should.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { createContext, runInContext } from "node:vm";

const program = readFileSync(new URL("../../../desk/static/desk/follow.js", import.meta.url), "utf8");
const WORDS = "the words";

/** A part of the page. `shows`: its content. `inUse`: the reader writes in it. */
const part = (name, shows, inUse = false) => ({
  dataset: { part: name },
  childNodes: [shows],
  contains: () => inUse,
  querySelector: () => null,
  replaceChildren(...nodes) {
    this.childNodes = nodes;
  },
});

/** A page in that state; null for a request that has ended, whose page asks nothing. */
const page = (state, { content = WORDS, every = "4", inUse = false } = {}) => ({
  note: state && { hidden: true, dataset: { follow: "/state", page: "/page", state, content, every } },
  parts: [part("state", state ?? "ended"), part("next", `steps of ${state}`, inUse)],
});

/**
 * `answers`: what the desk says to each look, or an error.
 *
 * @param {{ shown: ReturnType<typeof page>, answers: any[] }} options
 */
function open({ shown, answers }) {
  const timers = [];
  const heard = {};
  const asked = [];
  const found = (one) => ({ querySelector: () => one.note, querySelectorAll: () => one.parts });
  const document = {
    ...found(shown),
    hidden: false,
    activeElement: null,
    addEventListener: (name, then) => (heard[name] = then),
  };
  const fetch = async (address) => {
    asked.push(address);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return { type: "basic", status: 200, ok: true, json: async () => answer, text: async () => answer, ...answer };
  };
  class DOMParser {
    parseFromString(text) {
      return found(text);
    }
  }
  const setTimeout = (then, ms) => timers.push({ then, ms }) && timers.length;
  const clearTimeout = (number) => {
    if (number) timers[number - 1] = undefined;
  };
  runInContext(program, createContext({ document, fetch, DOMParser, setTimeout, clearTimeout, Map, Error }));
  const waits = () => timers.filter(Boolean);
  return {
    asked,
    document,
    heard,
    waits,
    async look() {
      const [timer] = waits().slice(-1);
      timers.fill(undefined);
      timer.then();
      await setImmediate();
      return waits().map(({ ms }) => ms);
    },
    shows: () => shown.parts.map(({ childNodes }) => childNodes[0]),
    isTold: () => !shown.note.hidden,
  };
}

const said = (state, content = WORDS) => ({ state, content });
const scenarios = [
  async function aStateThatComesIsShownAndFollowedAtItsOwnPace() {
    const shown = page("submitted");
    const answers = [said("submitted"), said("signed"), page("signed", { every: "2" }), said("expired"), page(null)];
    const reader = open({ shown, answers });
    assert.deepEqual(await reader.look(), [4000]);
    assert.deepEqual(reader.shows(), ["submitted", "steps of submitted"]);
    assert.deepEqual(await reader.look(), [2000]);
    assert.deepEqual(reader.shows(), ["signed", "steps of signed"]);
    assert.deepEqual(await reader.look(), [], "an ended request stays as it is");
    assert.equal(reader.shows()[0], "ended");
    assert.deepEqual(reader.asked, ["/state", "/state", "/page", "/state", "/page"]);
    assert.equal(reader.isTold(), false);
  },
  async function otherWordsWaitForTheirReader() {
    for (const answers of [
      [said("submitted", "other words")],
      // They changed between the two questions.
      [said("signed"), page("signed", { content: "other words" })],
    ]) {
      const reader = open({ shown: page("submitted"), answers });
      assert.deepEqual(await reader.look(), []);
      assert.deepEqual([reader.isTold(), ...reader.shows()], [true, "submitted", "steps of submitted"]);
    }
  },
  async function aReaderWhoActsKeepsTheStepsAndIsTold() {
    const reader = open({ shown: page("signed", { inUse: true }), answers: [said("published"), page("published")] });
    assert.deepEqual(await reader.look(), []);
    assert.deepEqual([reader.isTold(), ...reader.shows()], [true, "signed", "steps of signed"]);
  },
  async function aDeskThatIsAwayIsAskedMoreAndMoreSeldom() {
    const away = Array.from({ length: 6 }, () => new Error("away"));
    const reader = open({ shown: page("submitted"), answers: [...away, said("submitted")] });
    const waits = [];
    for (let look = 0; look < 7; look++) waits.push(...(await reader.look()));
    assert.deepEqual(waits, [8000, 16_000, 32_000, 60_000, 60_000, 60_000, 4000]);
  },
  async function aReaderWhoIsSignedOutIsNotAskedFor() {
    for (const answer of [{ type: "opaqueredirect" }, { status: 403 }, { status: 404 }]) {
      const reader = open({ shown: page("submitted"), answers: [answer] });
      assert.deepEqual([await reader.look(), reader.isTold()], [[], false]);
    }
  },
  async function aPageThatNobodyLooksAtAsksNothingAndThenAtOnce() {
    const reader = open({ shown: page("submitted"), answers: [said("submitted")] });
    reader.document.hidden = true;
    reader.heard.visibilitychange();
    assert.deepEqual(reader.waits(), []);
    reader.document.hidden = false;
    reader.heard.visibilitychange();
    assert.deepEqual(
      reader.waits().map(({ ms }) => ms),
      [0],
    );
  },
];
for (const scenario of scenarios) await scenario();
process.stdout.write(String(scenarios.length));
