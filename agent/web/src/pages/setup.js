// The way in: claims a new doorbell, joins one that has an owner, or comes back with a backup or the recovery kit.

import { LostError, PageError } from "../errors.js";
import { authorityFingerprint } from "../link.js";
import { go } from "../navigation.js";
import { call, origin } from "../ui/client.js";
import { doing, say } from "../ui/dialogs.js";
import { existing, h } from "../ui/dom.js";
import { add, handedOver } from "../ui/neighbours.js";
import { addPasskey, canHavePasskey } from "../ui/passkey.js";
import { explain, t } from "../ui/texts.js";
import { chosenRoots } from "./chosen_roots.js";
import { kitPage, TAIL } from "./kit.js";
import { onboarding } from "./onboarding.js";

/** @import { Answer, Child } from "../types.js" */

const SHORTEST_PASSPHRASE = 10;
const WAIT_MS = 1500;
const NOBODY = "(nobody)";
const LABEL = "[a-z0-9]([a-z0-9\\-]{0,30}[a-z0-9])?";

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 */
export async function setup(content, hello) {
  const [secret, expected] = location.hash.slice(1).split(".");
  const household = handedOver();
  if (household) add(household.name, household.origin);
  if (!hello.claimed) return claim(content, hello);
  if (secret && expected) return join(content, hello, { secret, expected });
  return recoverOwner(content, hello);
}

// The first owner

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 */
function claim(content, hello) {
  const claiming = new Claim(content, hello);
  claiming.askForKeys();
  return () => claiming.stop();
}

/**
 * A household's next doorbell: the owner's keys and the recovery kit are those of the first one. The kit is typed once,
 * because a doorbell takes a kit only if it has been seen to open. The keys come as a file: an address would leave them
 * in the browser's history.
 */
function householdForm() {
  const { file, passphrase, fields } = backupFields();
  const typed = kitField();
  const join = async () => {
    const text = await /** @type {FileList} */ (file.files)[0].text();
    await call("claimWithKeys", { text, passphrase: passphrase.value, typed: typed.value, origin: origin() });
    await go("/timeline", { replace: true });
  };
  return h(
    "details.card",
    { open: handedOver() !== null },
    h("summary", t("household.title")),
    form(
      t("household.button"),
      join,
      h("p", t("household.lead")),
      ...fields,
      h("label", { for: "kit" }, t("back.kit.label")),
      typed,
      h("p.help", t("household.kit")),
    ),
  );
}

/** The three steps of the first owner: keys, recovery kit, and the proof that the kit was written down. */
class Claim {
  #content;
  #doorbell;
  #place = h("div");
  /** The passphrase just chosen: it signs the steps that follow, which saves the owner typing it for each. */
  #passphrase = "";
  #stopRest = () => {};

  /**
   * @param {HTMLElement} content
   * @param {Answer} hello
   */
  constructor(content, hello) {
    this.#content = content;
    this.#doorbell = hello.doorbell;
    const title = h("h1", t("setup.title", { doorbell: hello.doorbell }));
    content.append(h("div.narrow", title, h("p.lead", t("setup.lead")), this.#place));
  }

  stop() {
    this.#stopRest();
  }

  askForKeys() {
    /** @param {{ name: string, passphrase: string }} options */
    const make = async ({ name, passphrase }) => {
      const { recovery, recipient } = await call("draftKeys", { name });
      await call("keepDraft", { passphrase, withRecovery: true });
      this.#passphrase = passphrase;
      this.#showKit(name, recovery, recipient, await authorityFingerprint());
    };
    this.#show(0, h("div", keysForm("owner-1", make), householdForm()));
  }

  /**
   * @param {string} name
   * @param {string} recovery
   * @param {string} recipient
   * @param {string} fingerprint
   */
  #showKit(name, recovery, recipient, fingerprint) {
    const again = () => this.#showKit(name, recovery, recipient, fingerprint);
    const test = () => this.#askForTail(recovery, again);
    this.#show(
      1,
      h(
        "div.card",
        h("p", t("setup.kit.text")),
        kitPage(this.#doorbell, name, recovery, recipient, fingerprint),
        h(
          "div.row",
          h("button", { type: "button", onclick: () => print() }, t("setup.kit.print")),
          h("button.primary", { type: "button", onclick: test }, t("setup.kit.done")),
        ),
      ),
    );
  }

  /**
   * @param {string} recovery
   * @param {() => void} again shows the kit again, to a person who has pressed on without it
   */
  #askForTail(recovery, again) {
    const field = h("input", {
      id: "tail",
      required: true,
      autocomplete: "off",
      autocapitalize: "characters",
      spellcheck: false,
      size: TAIL + 2,
      maxlength: String(TAIL),
    });
    const enrol = async () => {
      if (field.value.trim().toUpperCase() !== recovery.slice(-TAIL)) throw new PageError("setup.test.wrong");
      await call("enrolFirst", { typed: recovery, origin: origin() });
      this.#done();
    };
    const label = h("label", { for: "tail" }, t("setup.test.label", { n: TAIL }));
    const typed = form(t("setup.test.button"), enrol, h("p", t("setup.test.text")), label, field);
    const back = h("button.link", { type: "button", onclick: again }, t("setup.test.kit"));
    this.#show(2, h("div", typed, h("div.row", back)));
    field.focus();
  }

  #done() {
    keepStorage();
    existing("h1", this.#content).textContent = t("setup.done");
    existing(".lead", this.#content).textContent = t("setup.done.2");
    const goOn = () => {
      this.#stopRest = onboarding(this.#place, this.#passphrase);
    };
    const problem = h("p.problem", { role: "alert" });
    const add = h("button", { type: "button" }, t("passkey.add"));
    add.addEventListener("click", async () => {
      if (!(await doing(add, problem, () => addPasskey(this.#passphrase)))) return;
      add.remove();
      say(t("passkey.done"));
    });
    this.#place.replaceChildren(
      h(
        "div.card",
        h("ul.ticks", h("li", t("setup.done.1")), h("li", t("setup.done.3"))),
        canHavePasskey() && [h("p.quiet", t("passkey.off")), h("div.row", add), problem],
        h("p.quiet", t("setup.done.next")),
        h(
          "div.row",
          h("button", { type: "button", onclick: () => go("/timeline") }, t("setup.done.look")),
          h("button.primary", { type: "button", onclick: goOn }, t("setup.done.rest")),
        ),
      ),
    );
  }

  /**
   * @param {number} number
   * @param {HTMLElement} body
   */
  #show(number, body) {
    const steps = [t("setup.step.keys"), t("setup.step.kit"), t("setup.step.test")];
    const list = steps.map((text, i) => h("li", { "aria-current": i === number ? "step" : undefined }, text));
    this.#place.replaceChildren(h("ol.steps", list), h("h2", steps[number]), body);
  }
}

// Another phone or owner

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 * @param {{ secret: string, expected: string }} options
 */
function join(content, hello, { secret, expected }) {
  const place = h("div");
  content.append(
    h("div.narrow", h("h1", t("join.title", { doorbell: hello.doorbell })), h("p.lead", t("join.lead")), place),
  );
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  place.append(
    keysForm("owner-2", async ({ name, passphrase }) => {
      await call("draftKeys", { name });
      await call("keepDraft", { passphrase, withRecovery: false });
      await call("offerCard", { secret });
      place.replaceChildren(
        h("div.card", h("h2", t("join.wait")), h("p", { role: "status" }, t("join.wait.text", { name }))),
      );
      const look = async () => {
        try {
          if (await call("answerInvitation", { passphrase, origin: origin(), expected })) await comeIn(place);
          else timer = setTimeout(look, WAIT_MS);
        } catch (error) {
          // Polls again after a lost connection; the waiting person need not act.
          if (error instanceof LostError) timer = setTimeout(look, WAIT_MS);
          else place.replaceChildren(h("p.problem", { role: "alert" }, explain(error)));
        }
      };
      timer = setTimeout(look, WAIT_MS);
    }),
  );
  return () => clearTimeout(timer);
}

// A new phone, an old owner

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 * @param {string} [typed] the kit, if it has been typed already
 */
export async function recoverOwner(content, hello, typed) {
  const place = h("div");
  content.append(
    h("div.narrow", h("h1", t("back.title", { doorbell: hello.doorbell })), h("p.lead", t("back.lead")), place),
  );
  const { owners } = await call("owners");
  place.append(
    h("details.card", h("summary", t("back.invited")), h("p", t("back.invited.text"))),
    h("details.card", h("summary", t("back.backup")), backupForm()),
    h("details.card", { open: typed !== undefined }, h("summary", t("back.kit")), kitForm(owners, place, typed)),
  );
}

function backupForm() {
  const { file, passphrase, fields } = backupFields();
  return form(
    t("back.backup.button"),
    async () => {
      await call("restore", {
        text: await /** @type {FileList} */ (file.files)[0].text(),
        passphrase: passphrase.value,
        origin: origin(),
      });
      await go("/timeline", { replace: true });
    },
    h("p", t("back.backup.text")),
    ...fields,
  );
}

/** The file of saved keys, and the passphrase that opens it. */
export function backupFields() {
  const file = h("input", { type: "file", id: "backup", required: true, accept: "application/json,.json" });
  const passphrase = h("input", {
    type: "password",
    id: "backup-passphrase",
    required: true,
    autocomplete: "current-password",
  });
  const fields = [
    h("label", { for: "backup" }, t("back.backup.file")),
    file,
    h("label", { for: "backup-passphrase" }, t("passphrase")),
    passphrase,
  ];
  return { file, passphrase, fields };
}

export const kitField = () =>
  h("textarea", {
    id: "kit",
    required: true,
    rows: "4",
    spellcheck: false,
    autocapitalize: "characters",
    autocomplete: "off",
  });

/**
 * @param {string[]} owners
 * @param {HTMLElement} place
 * @param {string} [known]
 */
function kitForm(owners, place, known = "") {
  const typed = kitField();
  typed.value = known;
  // Takes lost keys off the list by default. If several could be meant, the owner names them.
  const replaces = h(
    "select",
    { id: "replaces", required: true },
    owners.length > 1 && h("option", { value: "" }, t("back.kit.choose")),
    owners.map((name) => h("option", { value: name }, name)),
    h("option", { value: NOBODY }, t("back.kit.nobody")),
  );
  const inner = keysFields("owner-new");
  return form(
    t("back.kit.button"),
    async () => {
      const { name, passphrase } = inner.values();
      await call("recover", {
        typed: typed.value,
        name,
        passphrase,
        replaces: replaces.value === NOBODY ? "" : replaces.value,
        origin: origin(),
      });
      await comeIn(place);
    },
    h("p", t("back.kit.text")),
    h("label", { for: "kit" }, t("back.kit.label")),
    typed,
    h("label", { for: "replaces" }, t("back.kit.replaces")),
    replaces,
    ...inner.elements,
  );
}

/**
 * Asks a new owner, or one who came back, once for the trust roots that the household chose. Then the timeline.
 *
 * @param {HTMLElement} place
 */
async function comeIn(place) {
  keepStorage();
  const leave = () => go("/timeline", { replace: true });
  // If they cannot be verified, the settings say so: it must not keep an owner out.
  const found = await call("householdRoots").catch(() => []);
  if (!found.length) return leave();
  place.replaceChildren(h("div.card", h("h2", t("roots.title")), chosenRoots(found, leave, leave)));
}

// Pieces

/** Asks the browser to keep these keys also when it needs room, or when the page was not opened for weeks. */
function keepStorage() {
  navigator.storage?.persist?.().catch(() => {});
}

/** @param {string} suggestion */
function keysFields(suggestion) {
  const name = h("input", {
    id: "name",
    value: suggestion,
    required: true,
    pattern: LABEL,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: false,
    "aria-describedby": "name-help",
  });
  const first = h("input", {
    id: "new-passphrase",
    type: "password",
    required: true,
    autocomplete: "new-password",
    "aria-describedby": "passphrase-help",
  });
  const second = h("input", { id: "again-passphrase", type: "password", required: true, autocomplete: "new-password" });
  return {
    elements: [
      h("label", { for: "name" }, t("keys.name")),
      name,
      h("p.help", { id: "name-help" }, t("keys.name.help")),
      h("label", { for: "new-passphrase" }, t("keys.passphrase")),
      first,
      h("p.help", { id: "passphrase-help" }, t("keys.passphrase.help", { n: SHORTEST_PASSPHRASE })),
      h("label", { for: "again-passphrase" }, t("keys.again")),
      second,
    ],
    values() {
      if (first.value.length < SHORTEST_PASSPHRASE) throw new PageError("keys.short", { n: SHORTEST_PASSPHRASE });
      if (first.value !== second.value) throw new PageError("keys.differ");
      return { name: name.value, passphrase: first.value };
    },
  };
}

/**
 * @param {string} suggestion
 * @param {(chosen: { name: string, passphrase: string }) => Promise<void>} use
 */
function keysForm(suggestion, use) {
  const fields = keysFields(suggestion);
  return form(t("keys.make"), () => use(fields.values()), h("p", t("keys.text")), ...fields.elements);
}

/**
 * @param {string} buttonText
 * @param {() => Promise<unknown>} action
 * @param {Child[]} fields
 */
export function form(buttonText, action, ...fields) {
  const problem = h("p.problem", { role: "alert" });
  const button = h("button.primary", { type: "submit" }, buttonText);
  return h(
    "form.card",
    {
      onsubmit(event) {
        event.preventDefault();
        return doing(button, problem, action);
      },
    },
    ...fields,
    problem,
    h("div.row.end", button),
  );
}
