// The way in: claims a new doorbell, joins one that has an owner, or comes back with a backup or the recovery kit.
import qrcode from "qrcode-generator";
import { go } from "../app.js";
import { LostError, PageError } from "../errors.js";
import { call, origin } from "../ui/client.js";
import { doing } from "../ui/dialogs.js";
import { h, svg } from "../ui/dom.js";
import { explain, shortDate, t, withCode } from "../ui/texts.js";
import { theRest } from "./rest.js";

const SHORTEST_PASSPHRASE = 10;
export const TAIL = 6;
const WAIT_MS = 1500;
const NOBODY = "(nobody)";
const LABEL = "[a-z0-9]([a-z0-9\\-]{0,30}[a-z0-9])?";

export async function setup(content, hello) {
  const [secret, expected] = location.hash.slice(1).split(".");
  if (!hello.claimed) return claim(content, hello);
  if (secret && expected) return join(content, hello, { secret, expected });
  return comeBack(content, hello);
}

// The first owner

function claim(content, hello) {
  const steps = [t("setup.step.keys"), t("setup.step.kit"), t("setup.step.test")];
  const place = h("div");
  content.append(h("div.narrow", h("h1", t("setup.title", { doorbell: hello.doorbell })), h("p.lead", t("setup.lead")), place));
  let chosen = "";
  let stop = () => {};
  keysStep();

  function keysStep() {
    show(0, keysForm("owner-1", async ({ name, passphrase }) => {
      const { recovery, recipient } = await call("draftKeys", { name });
      await call("keepDraft", { passphrase, withRecovery: true });
      chosen = passphrase;
      kitStep(name, recovery, recipient);
    }));
  }

  function kitStep(name, recovery, recipient) {
    const kit = kitPage(hello.doorbell, name, recovery, recipient);
    show(
      1,
      h(
        "div.card",
        h("p", t("setup.kit.text")),
        kit,
        h(
          "div.row",
          h("button", { type: "button", onclick: () => print() }, t("setup.kit.print")),
          h("button.primary", { type: "button", onclick: () => testStep(recovery) }, t("setup.kit.done")),
        ),
      ),
    );
  }

  function testStep(recovery) {
    const field = h("input", { id: "tail", required: true, autocomplete: "off", autocapitalize: "characters", spellcheck: false, size: TAIL + 2, maxlength: String(TAIL) });
    show(
      2,
      form(
        t("setup.test.button"),
        async () => {
          if (field.value.trim().toUpperCase() !== recovery.slice(-TAIL)) throw new PageError("setup.test.wrong");
          await call("enrolFirst", { typed: recovery, origin: origin() });
          done();
        },
        h("p", t("setup.test.text")),
        h("label", { for: "tail" }, t("setup.test.label", { n: TAIL })),
        field,
      ),
    );
    field.focus();
  }

  function done() {
    content.querySelector("h1").textContent = t("setup.done");
    content.querySelector(".lead").textContent = t("setup.done.2");
    place.replaceChildren(
      h(
        "div.card",
        h("ul.ticks", h("li", t("setup.done.1")), h("li", t("setup.done.3"))),
        h("p.quiet", t("setup.done.next")),
        h(
          "div.row",
          h("button", { type: "button", onclick: () => go("/timeline") }, t("setup.done.look")),
          h("button.primary", { type: "button", onclick: () => (stop = theRest(place, chosen)) }, t("setup.done.rest")),
        ),
      ),
    );
  }

  function show(number, body) {
    const list = steps.map((text, i) => h("li", { "aria-current": i === number ? "step" : undefined }, text));
    place.replaceChildren(h("ol.steps", list), h("h2", steps[number]), body);
  }
  return () => stop();
}

// Another phone or owner

function join(content, hello, { secret, expected }) {
  const place = h("div");
  content.append(h("div.narrow", h("h1", t("join.title", { doorbell: hello.doorbell })), h("p.lead", t("join.lead")), place));
  let timer;
  place.append(
    keysForm("owner-2", async ({ name, passphrase }) => {
      await call("draftKeys", { name });
      await call("keepDraft", { passphrase, withRecovery: false });
      await call("offerCard", { secret });
      place.replaceChildren(h("div.card", h("h2", t("join.wait")), h("p", { role: "status" }, t("join.wait.text", { name }))));
      const look = async () => {
        try {
          if (await call("answerInvitation", { passphrase, origin: origin(), expected })) await go("/timeline", { replace: true });
          else timer = setTimeout(look, WAIT_MS);
        } catch (error) {
          // A connection that is lost comes back; whoever waits has done their part.
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

async function comeBack(content, hello) {
  const place = h("div");
  content.append(h("div.narrow", h("h1", t("back.title", { doorbell: hello.doorbell })), h("p.lead", t("back.lead")), place));
  const { owners } = await call("owners");
  place.append(
    h("details.card", h("summary", t("back.invited")), h("p", t("back.invited.text"))),
    h("details.card", h("summary", t("back.backup")), backupForm()),
    h("details.card", h("summary", t("back.kit")), kitForm(owners)),
  );
}

function backupForm() {
  const file = h("input", { type: "file", id: "backup", required: true, accept: "application/json,.json" });
  const passphrase = h("input", { type: "password", id: "backup-passphrase", required: true, autocomplete: "current-password" });
  return form(
    t("back.backup.button"),
    async () => {
      await call("restore", { text: await file.files[0].text(), passphrase: passphrase.value, origin: origin() });
      await go("/requests", { replace: true });
    },
    h("p", t("back.backup.text")),
    h("label", { for: "backup" }, t("back.backup.file")),
    file,
    h("label", { for: "backup-passphrase" }, t("passphrase")),
    passphrase,
  );
}

function kitForm(owners) {
  const typed = h("textarea", { id: "kit", required: true, rows: "4", spellcheck: false, autocapitalize: "characters", autocomplete: "off" });
  // Keys that are lost are taken off the list unless somebody says otherwise; whose they are, one of several has to say.
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
      await call("recover", { typed: typed.value, name, passphrase, replaces: replaces.value === NOBODY ? "" : replaces.value, origin: origin() });
      await go("/timeline", { replace: true });
    },
    h("p", t("back.kit.text")),
    h("label", { for: "kit" }, t("back.kit.label")),
    typed,
    h("label", { for: "replaces" }, t("back.kit.replaces")),
    replaces,
    ...inner.elements,
  );
}

// Pieces

function keysFields(suggestion) {
  const name = h("input", { id: "name", value: suggestion, required: true, pattern: LABEL, autocomplete: "off", autocapitalize: "none", spellcheck: false, "aria-describedby": "name-help" });
  const first = h("input", { id: "new-passphrase", type: "password", required: true, autocomplete: "new-password", "aria-describedby": "passphrase-help" });
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

function keysForm(suggestion, use) {
  const fields = keysFields(suggestion);
  return form(t("keys.make"), () => use(fields.values()), h("p", t("keys.text")), ...fields.elements);
}

function form(buttonText, action, ...fields) {
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

/** What a kit is called on its page and everywhere else: how the key begins and ends that footage is sealed to. */
export const nameOfKit = (recipient) => `${recipient.slice(0, 16)} … ${recipient.slice(-8)}`;

/** The page to print: all it takes is on it, in words, as a code, and to type. */
export function kitPage(doorbell, name, recovery, recipient) {
  return h(
    "section.kit",
    { "aria-label": t("kit.title") },
    h("h3", t("kit.title")),
    h("p.quiet", `${doorbell} · ${name} · ${shortDate(Date.now())}`),
    h("div.kit-body", qr(recovery, t("kit.qr")), h("p.secret", recovery.match(/.{1,11}/g).map((part) => h("span", part)))),
    h("p", t("kit.text")),
    h("ol", ["1", "2", "3"].map((n) => h("li", withCode(`kit.${n}`)))),
    h("p.quiet", t("kit.age"), " ", h("code", "age -d -i KEY segment.age > segment.mp4")),
    h("p.quiet", nameOfKit(recipient)),
  );
}

export function qr(text, label) {
  const code = qrcode(0, "M");
  code.addData(text, /^[0-9A-Z $%*+\-./:]*$/.test(text) ? "Alphanumeric" : "Byte");
  code.make();
  const size = code.getModuleCount();
  let d = "";
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) if (code.isDark(y, x)) d += `M${x + 4} ${y + 4}h1v1h-1z`;
  }
  const edge = String(size + 8);
  return svg(
    "svg",
    { viewBox: `0 0 ${edge} ${edge}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: edge, height: edge, fill: "#fff" }),
    svg("path", { d, fill: "#000" }),
  );
}

