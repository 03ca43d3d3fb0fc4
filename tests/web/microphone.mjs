// The microphone in a browser that refuses it, has none, or is late: what is told, and that nothing stays open.
import "./globals.mjs";

// As much of a browser as microphone, talk panel and editor of own replies use. Timers wait for `pass`.
/** @type {{ run: () => void, at: number }[]} */
let timers = [];
let now = 0;
/** @type {any} */ (globalThis).setTimeout = (/** @type {() => void} */ run, ms = 0) => {
  const timer = { run, at: now + ms };
  timers.push(timer);
  return timer;
};
/** @type {any} */ (globalThis).clearTimeout = (/** @type {any} */ timer) => {
  timers = timers.filter((each) => each !== timer);
};
const settle = () => new Promise((done) => setImmediate(done));
/** @param {number} ms */
async function pass(ms) {
  now += ms;
  const due = timers.filter(({ at }) => at <= now);
  timers = timers.filter(({ at }) => at > now);
  for (const { run } of due) run();
  await settle();
}

/** @type {any[]} */
let tracks = [];
/** @type {any[]} */
let contexts = [];
/** How many microphones and contexts are open. */
const open = () => [
  tracks.filter(({ isLive }) => isLive).length,
  contexts.filter(({ state }) => state !== "closed").length,
];
class Track {
  isLive = true;
  stop() {
    this.isLive = false;
  }
}
/** @type {() => Promise<void>} what the person, or the browser, answers to the question for the microphone */
let answer = async () => {};
/** @type {any} what the page asked for last */
let wanted;
const mediaDevices = {
  async getUserMedia(/** @type {any} */ constraints) {
    wanted = constraints;
    await answer();
    const track = new Track();
    tracks.push(track);
    return { getTracks: () => [track], getAudioTracks: () => [track] };
  },
};
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
/** @type {{ make?: Error, load?: Error, resume: () => Promise<void> }} */
let sound = { resume: async () => {} };
/** @type {any[]} */
let nodes = [];
Object.assign(globalThis, {
  AudioContext: class {
    state = "running";
    audioWorklet = {
      async addModule() {
        if (sound.load) throw sound.load;
      },
    };
    constructor() {
      if (sound.make) throw sound.make;
      contexts.push(this);
    }
    createMediaStreamSource = () => ({ connect() {} });
    resume = () => sound.resume();
    async close() {
      this.state = "closed";
    }
  },
  AudioWorkletNode: class {
    port = /** @type {any} */ ({});
    constructor() {
      nodes.push(this);
    }
  },
});
const begin = () => {
  [tracks, contexts, nodes, timers, answer, sound] = [[], [], [], [], async () => {}, { resume: async () => {} }];
};

class Element {
  /** @type {Record<string, ((event: any) => void)[]>} */
  heard = {};
  dataset = {};
  textContent = "";
  value = "";
  append() {}
  replaceChildren() {}
  setAttribute(/** @type {string} */ name, /** @type {string} */ value) {
    Object.assign(this, { [name]: value });
  }
  setPointerCapture() {}
  focus() {}
  addEventListener(/** @type {string} */ name, /** @type {(event: any) => void} */ act) {
    this.heard[name] = [...(this.heard[name] ?? []), act];
  }
  fire(/** @type {string} */ name, event = {}) {
    for (const act of this.heard[name] ?? []) act(event);
  }
}
/** @type {any[]} */
let made = [];
/** @type {any[]} the frames of talk that went to the doorbell */
let sent = [];
/** @type {string[]} what the page asked its worker for */
let asked = [];
/** @type {() => void} */
let leave = () => {};
/** @type {() => void} */
let hide = () => {};
Object.assign(globalThis, {
  Node: Element,
  document: {
    documentElement: { lang: "en", dir: "ltr" },
    visibilityState: "visible",
    createElement(/** @type {string} */ name) {
      made.push(Object.assign(new Element(), { name }));
      return made.at(-1);
    },
    addEventListener(/** @type {string} */ name, /** @type {() => void} */ act) {
      if (name === "visibilitychange") hide = act;
    },
    removeEventListener() {},
  },
  location: { origin: "https://front-door.local" },
  Worker: class {
    /** @type {(event: any) => void} */
    onmessage = () => {};
    postMessage({ number, name, values }) {
      if (name === "talkSend") sent.push(...values.frames);
      asked.push(name);
      const results = {
        ask: { recorder: { speaker: "ready" } },
        ownReplies: [],
        talkBegin: { state: "ready", talker: null, replies: [] },
        talkSend: "ready",
      };
      if (name === "talkBegin") leave();
      queueMicrotask(() => this.onmessage({ data: { number, result: results[values?.op ?? name] ?? results[name] } }));
    }
  },
});

const { openMicrophone } = await import("../../agent/web/src/media/voice.js");
const { TalkPanel } = await import("../../agent/web/src/ui/talk_panel.js");
const { OwnReplyEditor } = await import("../../agent/web/src/ui/own_replies.js");

/** The words for opening the microphone after `ms`, and the number of open ones then. */
async function opened(ms = 0) {
  let said = "nothing yet";
  openMicrophone(
    () => {},
    () => {},
  ).then(
    () => {
      said = "open";
    },
    (/** @type {any} */ error) => {
      said = error.values?.what ? `${error.text}: ${error.values.what}` : (error.text ?? String(error));
    },
  );
  await settle();
  if (ms) await pass(ms);
  return [said, ...open()];
}
const found = { refusals: {}, panel: {}, editor: {}, talk: {} };
const names = ["NotAllowedError", "SecurityError", "NotFoundError", "OverconstrainedError", "NotReadableError"];
for (const name of names) {
  begin();
  answer = () => Promise.reject(Object.assign(new Error("in the browser's words"), { name }));
  found.refusals[name] = await opened();
}
begin();
sound.make = new Error("no sound here");
found.refusals.context = await opened();
begin();
sound.load = new Error("not loaded");
found.refusals.worklet = await opened();
begin();
sound.resume = () => new Promise(() => {});
found.refusals.waits = await opened(4999);
begin();
sound.resume = () => new Promise(() => {});
found.refusals.late = await opened(5000);
begin();
found.refusals.none = await opened(5000);

// A microphone that is open: frames come between start and pause, and its end is told.
begin();
/** @type {any[]} */
const taken = [];
let lost = 0;
const microphone = await openMicrophone(
  (frame) => taken.push(frame),
  () => lost++,
);
const speak = () => nodes[0].port.onmessage({ data: new Float32Array(320) });
speak();
microphone.start();
speak();
await microphone.pause();
speak();
tracks[0].onended();
microphone.stop();
Object.assign(found, { taken: taken.map(({ kind, content }) => [kind, content.length]), lost, closed: open() });

/** @type {() => void} */
let allow = () => {};
const asks = () => {
  begin();
  answer = () =>
    new Promise((done) => {
      allow = done;
    });
};
const panel = (/** @type {any} */ video = { muted: true }) => {
  [made, sent] = [[], []];
  const shown = new TalkPanel(video);
  const [button, problem] = ["primary talk", "problem"].map((name) => made.find((each) => each.className === name));
  return { shown, button, problem };
};
const DOWN = { button: 0, pointerId: 1 };
/** Lets go after more than a tap, as a finger does that goes to the browser's question. */
const letGo = async (/** @type {any} */ button) => {
  now += 400;
  button.fire("pointerup");
  await settle();
};
Object.defineProperty(globalThis, "performance", { value: { now: () => now }, configurable: true });

asks();
let { shown, button, problem } = panel();
button.fire("pointerdown", DOWN);
await settle();
await letGo(button);
allow();
await settle();
await pass(10_000);
found.panel.allowedAfterLettingGo = open();

asks();
({ button, problem } = panel());
const refuse = () => Promise.reject(Object.assign(new Error(), { name: "NotAllowedError" }));
answer = () =>
  new Promise((done) => {
    allow = () => done(refuse());
  });
button.fire("pointerdown", DOWN);
await settle();
await letGo(button);
allow();
await settle();
found.panel.refusedAfterLettingGo = [...open(), problem.textContent];

asks();
({ shown, button } = panel());
button.fire("pointerdown", DOWN);
await settle();
shown.end();
allow();
await settle();
found.panel.allowedAfterLeaving = open();

begin();
({ shown, button } = panel());
asked = [];
leave = () => shown.end();
button.fire("pointerdown", DOWN);
await settle();
leave = () => {};
found.panel.leftWhileItBegan = [...open(), ...asked];

asks();
({ button } = panel());
button.fire("pointerdown", DOWN);
await settle();
await letGo(button);
const first = allow;
button.fire("pointerdown", DOWN);
await settle();
first();
allow();
await settle();
found.panel.pressedTwice = [...open(), button.dataset.state];
await letGo(button);
await pass(9_999);
found.panel.staysForAMoment = open();
await pass(1);
found.panel.afterTenSeconds = open();

// A conversation while the sound of live view is on.
begin();
const video = { muted: false };
({ shown, button } = panel(video));
const heard = [video.muted];
const presses = async () => {
  button.fire("pointerdown", DOWN);
  await settle();
  heard.push(video.muted);
};
await presses();
speak();
await settle();
await letGo(button);
await pass(55);
heard.push(video.muted);
await pass(400);
heard.push(video.muted);
found.talk = { audio: wanted.audio, heard: [...heard], kinds: sent.map(({ kind }) => kind) };
// Let go and pressed again at once, before the sound of live view is back.
await presses();
await letGo(button);
await pass(100);
await presses();
await letGo(button);
await pass(400);
found.talk.heardAfterTwo = !video.muted;
await presses();
await pass(119_999);
found.talk.lasts = button.dataset.state;
await pass(1);
found.talk.atTwoMinutes = button.dataset.state;
await presses();
Object.assign(document, { visibilityState: "hidden" });
hide();
found.talk.hidden = button.dataset.state;
await pass(10_000);
found.talk.closed = open();

const editor = () => {
  made = [];
  const edited = new OwnReplyEditor(() => {});
  made.find((each) => each.id === "own-reply-name").value = "Back soon";
  const record = made.find((each) => each.name === "button");
  const problem = made.find((each) => each.className === "problem");
  record.fire("click");
  return { edited, record, problem };
};
asks();
const { edited, record } = editor();
await settle();
edited.end();
allow();
await settle();
found.editor.allowedAfterLeaving = [...open(), record["aria-pressed"]];
begin();
answer = refuse;
const { record: refused, problem: words } = editor();
await settle();
found.editor.refused = [...open(), refused["aria-pressed"], words.textContent];

process.stdout.write(JSON.stringify(found));
