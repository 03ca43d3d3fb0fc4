// Owners, browsers, trusted requesters, opt-outs, the doorbell's health, and this browser's own keys.
import { nameOfKit } from "../kit_name.js";
import { authorityFingerprint } from "../link.js";
import { lockEverywhere, removeKeys } from "../navigation.js";
import { ask, call, origin } from "../ui/client.js";
import { confirm, dialog, doing, say, withCredential } from "../ui/dialogs.js";
import { h, shown } from "../ui/dom.js";
import { addPasskey, canHavePasskey, passkey } from "../ui/passkey.js";
import { inLanguage } from "../ui/sentences.js";
import { bytes, dateAndClock, explain, listed, shortDate, t } from "../ui/texts.js";
import { INCIDENTS, KINDS } from "../wire/kinds.js";
import { alerts } from "./alerts.js";
import { chosenRoots } from "./chosen_roots.js";
import { fromFile, place, privateHours, retention, saved } from "./household.js";
import { kitPage, qr, TAIL } from "./kit.js";
import { offeredRoots } from "./offered_roots.js";
import { lookalikeNotes, lookalikeText } from "./promise.js";
import { updates } from "./updates.js";
import { zones } from "./zones.js";

/** @import { Answer, Bytes, Child } from "../types.js" */
/** @import { RootOffer } from "./offered_roots.js" */

const LOOK_MS = 1500;
const MOST_LOOKS = 40;

/** @param {HTMLElement} content */
export async function settings(content) {
  const contents = h("div.chips.contents", { role: "navigation", "aria-label": t("settings.contents") });
  content.append(h("h1", t("settings.title")), contents);
  // In the order in which people look for them: what it sees, what it keeps, who hears of it, who may do what.
  const sections = {
    health,
    updates: newer,
    picture,
    keeping,
    private: hours,
    alerts: told,
    place: positionSection,
    owners,
    browsers,
    trust,
    "opt-outs": optOuts,
    ledger,
    mine: ownKeys,
  };
  for (const [name, make] of Object.entries(sections)) {
    const section = h("section.card", { id: `settings-${name}` });
    content.append(section);
    contents.append(h("button.chip", { type: "button", onclick: () => jump(section) }, t(name)));
    await fill(section, make);
  }
}

/** @param {HTMLElement} section */
function jump(section) {
  section.scrollIntoView({ block: "start" });
  const heading = section.querySelector("h2");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
}

/**
 * Signs the household's changes, and refreshes the section.
 *
 * @param {() => Promise<unknown>} again
 */
const setting = (again) => async (/** @type {Record<string, unknown>} */ changes) => {
  if (!Object.keys(changes).length) return;
  const done = await withCredential(t("set.title"), t("set.text"), t("set.yes"), (credential) =>
    call("set", { changes, credential }),
  );
  if (!done) return;
  saved();
  await again();
};

/** @param {() => Promise<unknown>} again */
async function keeping(again) {
  const [facts, status] = await Promise.all([ask("page_facts"), ask("status")]);
  return [h("h2", t("keeping")), h("p.quiet", t("keeping.text")), ...retention(facts, setting(again), status)];
}

/** @param {() => Promise<unknown>} again */
async function hours(again) {
  return [
    h("h2", t("private")),
    h("p.quiet", t("private.text")),
    ...privateHours(await ask("page_facts"), setting(again)),
  ];
}

/** @param {() => Promise<unknown>} again */
async function newer(again) {
  return updates(setting(again), again);
}

/** @param {() => Promise<unknown>} again */
async function told(again) {
  return alerts(await ask("page_facts"), setting(again), again);
}

/** @param {() => Promise<unknown>} again */
async function positionSection(again) {
  return [h("h2", t("place")), await place(await ask("page_facts"), setting(again))];
}

async function ledger() {
  const { size, grown } = await call("syncDevice");
  return [
    h("h2", t("ledger")),
    h("p", t("ledger.text", { n: size, grown })),
    h("div.row", h("a.button", { href: "/history" }, t("ledger.look"))),
  ];
}

/**
 * @param {HTMLElement} section
 * @param {(again: () => Promise<void>) => Promise<Child[]>} make
 */
async function fill(section, make) {
  try {
    section.replaceChildren(...shown(await make(() => fill(section, make))));
  } catch (error) {
    // A section that fails must leave the others usable.
    section.replaceChildren(h("p.problem", { role: "alert" }, explain(error)));
  }
}

/**
 * The doorbell's technical words, for the person who maintains it.
 *
 * @param {string} [words]
 */
const inEnglish = (words) => {
  if (!words) return [];
  const translated = inLanguage(words);
  return [" · ", translated === undefined ? h("bdi", { lang: "en" }, words) : translated];
};

/** @param {string} state one of two words, or the recorder's description of the fault */
const speakerText = (state) =>
  ["ready", "talking"].includes(state) ? t(`speaker.${state}`) : [t("talk.state.no speaker"), ...inEnglish(state)];

async function health() {
  const status = await ask("status");
  const facts = await ask("page_facts");
  /**
   * @param {string} name
   * @param {Child} value
   */
  const row = (name, value) => [h("dt", name), h("dd", value)];
  const { recorder, vault, link } = status;
  return [
    h("h2", t("health")),
    h(
      "dl.facts",
      row(t("health.camera"), [t(`camera.${recorder.state}`), ...inEnglish(recorder.detail)]),
      row(
        t("health.vault"),
        t("health.vault.text", {
          n: vault.segments,
          bytes: bytes(vault.stored_bytes),
          most: bytes(facts.max_bytes),
          days: t("keeping.bound.days", { n: facts.max_age_days }),
        }),
      ),
      recorder.speaker && recorder.speaker !== "off" && row(t("health.speaker"), speakerText(recorder.speaker)),
      row(t("health.clock"), t(`clock.${status.clock}`)),
      row(t("health.link"), [t(`link.${link.link}`), ...inEnglish(link.remedy)]),
      row(t("health.version"), `Doorward ${facts.version}`),
    ),
  ];
}

/** @param {() => Promise<unknown>} again */
async function owners(again) {
  const { owners: names, mine, epoch, needed, kit } = await call("owners");
  return [
    h("h2", t("owners")),
    h("p.quiet", t("owners.text", { n: epoch })),
    h(
      "ul.plain",
      names.map((name) =>
        h(
          "li.row.between",
          h("span", name, name === mine ? ` · ${t("owners.you")}` : ""),
          name !== mine &&
            h(
              "button.small",
              {
                type: "button",
                "aria-label": t("owners.remove.who", { name }),
                onclick: () => remove(name, mine ?? "").then(again),
              },
              t("owners.remove"),
            ),
        ),
      ),
    ),
    h(
      "div.row.between",
      h(
        "span",
        t("owners.kit", { name: nameOfKit(kit.recipient) }),
        h("small.quiet", t(kit.decides ? "owners.kit.decides" : "owners.kit.opens")),
      ),
      h("button.small", { type: "button", onclick: () => replaceKit(mine ?? "").then(again) }, t("owners.kit.replace")),
    ),
    names.length > 1 &&
      h(
        "p",
        t(needed === 2 ? "owners.two" : "owners.one"),
        " ",
        h(
          "button.small",
          { type: "button", onclick: () => agreeOn(3 - needed).then(again) },
          t(needed === 2 ? "owners.one.change" : "owners.two.change"),
        ),
      ),
    h("div.row", inviting(again)),
  ].filter(Boolean);
}

/**
 * One owner's yes is enough, or it takes two.
 *
 * @param {number} needed
 */
async function agreeOn(needed) {
  const key = needed === 2 ? "owners.two" : "owners.one";
  await withCredential(t(`${key}.change`), t(`${key}.confirm`), t("owners.agree.yes"), (credential) =>
    call("agreeOn", { needed, credential }),
  );
}

/**
 * @param {string} name
 * @param {string} mine the name of this browser's owner
 */
async function remove(name, mine) {
  const title = t("owners.remove.title", { name });
  const done = await withCredential(title, t("owners.remove.text"), t("owners.remove"), (credential) =>
    call("removeOwner", { name, credential }),
  );
  if (done && (await tellWhatIsLeft(name))) await replaceKit(mine);
}

/**
 * Says what a former owner may still have. The list of owners ends none of it, and the kit would make them an owner
 * again. True if the kit is to be replaced now.
 *
 * @param {string} name
 */
const tellWhatIsLeft = (name) =>
  dialog(t("owners.left", { name }), (close) => [
    h("p", t("owners.left.kit", { name })),
    h(
      "ul",
      ["settings", "browsers", "passwords"].map((what) => h("li", t(`owners.left.${what}`, { name }))),
    ),
    h(
      "div.row.end",
      h("button", { type: "button", onclick: () => close(undefined) }, t("rest.later")),
      h("button.primary", { type: "button", onclick: () => close(true) }, t("owners.kit.replace")),
    ),
  ]);

/**
 * Replaces a kit that was lost or that a stranger may have seen. Tested before it counts, like the first.
 *
 * @param {string} name
 */
async function replaceKit(name) {
  const [{ recovery, recipient }, facts, fingerprint] = await Promise.all([
    call("draftKit"),
    ask("page_facts"),
    authorityFingerprint().catch(() => ""), // away from home it is out of reach
  ]);
  const hasIt = await dialog(t("owners.kit.title"), (close) => {
    const tail = h("input", {
      id: "tail",
      required: true,
      autocomplete: "off",
      autocapitalize: "characters",
      spellcheck: false,
      size: TAIL + 2,
      maxlength: String(TAIL),
    });
    const problem = h("p.problem", { role: "alert" });
    return h(
      "form",
      {
        onsubmit(event) {
          event.preventDefault();
          if (tail.value.trim().toUpperCase() === recovery.slice(-TAIL)) close(true);
          else problem.textContent = t("setup.test.wrong");
        },
      },
      h("p", t("owners.kit.text")),
      kitPage(facts.name, name, recovery, recipient, fingerprint),
      h("div.row", h("button", { type: "button", onclick: () => print() }, t("setup.kit.print"))),
      h("label", { for: "tail" }, t("setup.test.label", { n: TAIL })),
      tail,
      problem,
      h(
        "div.row.end",
        h("button", { type: "button", onclick: () => close(undefined) }, t("cancel")),
        h("button.primary", { type: "submit" }, t("setup.kit.done")),
      ),
    );
  });
  if (!hasIt) return;
  const done = await withCredential(t("owners.kit.replace"), t("owners.kit.text"), t("owners.kit.yes"), (credential) =>
    call("replaceKit", { typed: recovery, credential }),
  );
  if (done) say(t("owners.kit.done"));
}

/**
 * @param {() => Promise<unknown>} again
 * @param {import("../types.js").Credential} [credential] at the set-up, where the owner has just given it
 */
export function inviting(again, credential) {
  const problem = h("p.problem", { role: "alert" });
  // A second invitation would make the first one void.
  const button = h("button", { type: "button" }, t("owners.add"));
  button.addEventListener("click", async () => {
    let isIn = false;
    const ask = async () => {
      isIn = await invite(credential);
    };
    if ((await doing(button, problem, ask)) && (isIn || !credential)) await again();
  });
  return [button, problem];
}

/**
 * Shows a QR code to the other phone, waits for its card, and admits it with the owner's credential. Returns true if
 * the other phone has come in.
 *
 * @param {import("../types.js").Credential} [given] at the set-up; otherwise the owner is asked for it
 */
async function invite(given) {
  const made = await call("makeInvitation");
  const address = `${origin()}/pair#${made.code}.${made.secret}.${made.enrolment}`;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  /** @type {string | undefined} */
  const name = await dialog(t("invite.title"), (close) => {
    const status = h("p", { role: "status" }, t("invite.waiting"));
    timer = setInterval(async () => {
      /** @type {string[]} */
      const [joined] = await call("joined", { secret: made.secret }).catch(() => []);
      if (joined) close(joined);
    }, LOOK_MS);
    return [
      h("p", t("invite.first", { address: made.install })),
      h("p.fingerprint", made.fingerprint),
      h("p", t("invite.text", { minutes: Math.round(made.life / 60) })),
      qr(address, t("invite.qr")),
      h("details", h("summary", t("invite.address")), h("p.address", address)),
      status,
      h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel"))),
    ];
  });
  // Here, because Escape and a change of the page close the dialog too.
  clearInterval(timer);
  if (!name) return false;
  const title = t("invite.admit", { name });
  /** @param {import("../types.js").Credential} credential */
  const admit = (credential) => call("admit", { secret: made.secret, name, credential });
  if (given) {
    if (!(await confirm(title, t("invite.admit.text"), t("invite.admit.yes")))) return false;
    await admit(given);
  } else if (!(await withCredential(title, t("invite.admit.text"), t("invite.admit.yes"), admit))) return false;
  // It counts as soon as their phone has opened its own test.
  for (let tries = 0; tries < MOST_LOOKS; tries++) {
    /** @type {{ owners: string[] }} */
    const { owners: names } = await call("owners").catch(() => ({ owners: [] }));
    if (names.includes(name)) {
      say(t("invite.done", { name }));
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return false;
}

/** @param {() => Promise<unknown>} again */
async function browsers(again) {
  const { browsers: found } = await ask("page_browsers");
  return [
    h("h2", t("browsers")),
    h("p.quiet", t("browsers.text")),
    h(
      "ul.plain",
      found.map((/** @type {Answer} */ each) =>
        h(
          "li.row.between",
          h(
            "span",
            each.browser,
            h(
              "small.quiet",
              [
                each.owner,
                each.this ? t("browsers.this") : t("browsers.seen", { date: dateAndClock(each.seen_s * 1000) }),
              ]
                .filter(Boolean)
                .join(" · "),
            ),
          ),
          !each.this &&
            h(
              "button.small",
              { type: "button", onclick: () => ask("page_end", { id: each.id }).then(again) },
              t("browsers.end"),
            ),
        ),
      ),
    ),
  ];
}

/**
 * @param {() => Promise<unknown>} again
 * @param {import("../types.js").Credential} [credential] at the set-up, where the owner has just given it
 */
export async function trust(again, credential) {
  const [roots, facts] = await Promise.all([call("trust"), ask("page_facts")]);
  const offers = facts.roots.filter((/** @type {RootOffer} */ offer) => roots.every((each) => each.key !== offer.key));
  return [
    h("h2", t("trust")),
    h("p.quiet", t("trust.text")),
    roots.length === 0 && h("p", t("trust.none")),
    h(
      "ul.plain",
      roots.map((each) =>
        h(
          "li",
          h(
            "div.row.between",
            h("span", h("code", each.isDisputed ? each.key : each.id), stateOf(each)),
            h("button.small", { type: "button", onclick: () => untrust(each).then(again) }, t("trust.remove")),
          ),
          each.signers && h("p.quiet", signersOf(each.signers)),
          each.staleSince && h("p.problem", t("trust.stale", { date: shortDate(each.staleSince * 1000) })),
          each.offer && newsOf(each.offer, again),
          h(
            "ul",
            each.requesters.map(({ name, kind }) =>
              h("li", `${name} · ${t(`kind.${kind}`)}`, ...lookalikeNotes([name])),
            ),
          ),
        ),
      ),
    ),
    await household(again, roots),
    offers.length > 0 && offeredRoots(offers, again, credential),
    addingRoot(again),
    offeringBundle(again),
  ].filter(Boolean);
}

/** @param {import("../types.js").Signers} signers of a root's lists */
function signersOf({ keys, least, changedS }) {
  if (changedS === null) return t("trust.keys", { keys, least });
  return t("trust.keys.changed", { keys, least, date: shortDate(changedS * 1000) });
}

/** @param {{ confirmed: boolean, isGone: boolean }} root */
function stateOf({ confirmed, isGone }) {
  if (isGone) return ` · ${t("trust.gone")}`;
  return confirmed ? "" : ` · ${t("trust.unconfirmed")}`;
}

/**
 * News of a root that the doorbell has heard. Rights that it takes away are gone; the rest waits for this owner.
 *
 * @typedef {{ added: string[], changed: string[], keys: boolean }} Gains
 * @param {Gains & { bytes: Bytes, isOver: boolean }} news
 * @param {() => Promise<unknown>} again
 */
function newsOf(news, again) {
  const problem = h("p.problem", { role: "alert" });
  const look = async () => {
    problem.textContent = "";
    try {
      await offer(news.bytes);
      await again();
    } catch (error) {
      problem.textContent = explain(error);
    }
  };
  return h(
    "div.card",
    h("h3", t("trust.offer")),
    news.added.length > 0 && h("p", t("trust.offer.added", { names: listed(news.added) })),
    ...lookalikeNotes([...news.added, ...news.changed]),
    news.changed.length > 0 && h("p", t("trust.offer.changed", { names: listed(news.changed) })),
    news.keys && h("p", t("trust.offer.keys")),
    h("p.quiet", t(news.isOver ? "trust.offer.over" : "trust.offer.text")),
    problem,
    !news.isOver && h("div.row.end", h("button", { type: "button", onclick: look }, t("trust.offer.look"))),
  );
}

/**
 * Roots that other owners signed. If one of them is not the owners' choice, the section says so and shows the rest.
 *
 * @param {() => Promise<unknown>} again
 * @param {{ confirmed: boolean }[]} roots
 */
async function household(again, roots) {
  if (roots.every((each) => each.confirmed)) return false;
  try {
    const found = await call("householdRoots");
    return found.length > 0 && h("div", h("h3", t("roots.title")), chosenRoots(found, again));
  } catch (error) {
    return h("p.problem", { role: "alert" }, explain(error));
  }
}

/**
 * The user types the key of a trust root from paper or a message. The doorbell must not supply it.
 *
 * @param {() => Promise<unknown>} again
 */
function addingRoot(again) {
  const root = h("input", {
    id: "root",
    required: true,
    pattern: "ed25519:[A-Za-z0-9_\\-]{43}\\+mldsa44:[A-Za-z0-9_\\-]{43}",
    autocomplete: "off",
    spellcheck: false,
    autocapitalize: "none",
  });
  /** @param {Event} event */
  const add = async (event) => {
    event.preventDefault();
    await withCredential(t("trust.add"), t("trust.add.confirm"), t("trust.add"), (credential) =>
      call("addTrustRoots", { roots: [root.value], credential }),
    );
    await again();
  };
  return h(
    "details",
    h("summary", t("trust.add")),
    h("p", t("trust.add.text")),
    h(
      "form",
      { onsubmit: add },
      h("label", { for: "root" }, t("trust.root")),
      root,
      h("div.row.end", h("button", { type: "submit" }, t("trust.add"))),
    ),
  );
}

/** @param {() => Promise<unknown>} again */
function offeringBundle(again) {
  const bundle = h("input", { id: "bundle", type: "file" });
  const problem = h("p.problem", { role: "alert" });
  bundle.addEventListener("change", async () => {
    problem.textContent = "";
    try {
      await offer(new Uint8Array(await /** @type {FileList} */ (bundle.files)[0].arrayBuffer()));
      await again();
    } catch (error) {
      problem.textContent = explain(error);
    }
  });
  return h(
    "details",
    h("summary", t("trust.bundle")),
    h("p", t("trust.bundle.text")),
    h("label", { for: "bundle" }, t("trust.bundle.file")),
    bundle,
    problem,
  );
}

/** @param {Bytes} data */
async function offer(data) {
  const change = await call("previewBundle", { bytes: data });
  const lines = /** @type {const} */ (["added", "removed", "changed"])
    .filter((name) => change[name].length)
    .map((name) => t(`trust.bundle.${name}`, { names: listed(change[name]) }));
  lines.push(...[...change.added, ...change.changed].map(lookalikeText).filter((said) => said !== ""));
  if (change.keys) lines.push(t("trust.offer.keys"));
  const text = [t("trust.bundle.version", { n: change.version }), ...lines].join(" ");
  if (!(await confirm(t("trust.bundle"), text, t("trust.bundle.yes")))) return;
  await call("offerBundle", { bytes: data, cell: change.cell });
  say(t("trust.bundle.done"));
}

/** @param {{ key: string }} root */
async function untrust(root) {
  await withCredential(t("trust.remove"), t("trust.remove.text"), t("trust.remove"), (credential) =>
    call("removeTrustRoot", { root: root.key, credential }),
  );
}

/** @typedef {{ scope: string, value?: string | null, trust_root?: string | null }} StandingOptOut */

/** @param {StandingOptOut} standing */
function matterOf({ scope, value, trust_root: root }) {
  return { scope, value: value || undefined, trust_root: root || undefined };
}

/** @param {StandingOptOut} standing */
function nameOfOptOut({ scope, value, trust_root: root }) {
  if (scope === "all" || !value) return t("opt-out.all");
  // Two roots may give one id to two requesters.
  if (scope === "requester") return t("opt-out.requester", { who: `${value} (${root?.slice(0, 8)})` });
  if (scope === "bulletins") return t("opt-out.bulletins", { kind: t(`kind.${value}`) });
  if (scope !== "hours") return t(`opt-out.${scope}`, { [scope]: t(`${scope}.${value}`) });
  // The doorbell writes 2200-0700.
  return t("opt-out.hours", { hours: value.replaceAll(/(\d\d)(\d\d)/g, "$1:$2").replace("-", " – ") });
}

/** The choice of what an opt-out covers: its scope and value, with a space between. */
const scopes = () =>
  h(
    "select",
    { id: "scope" },
    h("option", { value: "all" }, t("opt-out.all")),
    KINDS.map((kind) => h("option", { value: `kind ${kind}` }, t("opt-out.kind", { kind: t(`kind.${kind}`) }))),
    INCIDENTS.map((incident) =>
      h("option", { value: `incident ${incident}` }, t("opt-out.incident", { incident: t(`incident.${incident}`) })),
    ),
    KINDS.map((kind) =>
      h("option", { value: `bulletins ${kind}` }, t("opt-out.bulletins", { kind: t(`kind.${kind}`) })),
    ),
    h("option", { value: "hours" }, t("opt-out.hours.at")),
  );

/** @param {() => Promise<unknown>} again */
async function optOuts(again) {
  const { opt_outs: kinds = [], quiet_hours: hours = [] } = await ask("requests", { all: false });
  const standing = [...kinds, ...hours];
  const scope = scopes();
  const from = h("input", { type: "time", value: "22:00", "aria-label": t("hours.from") });
  const to = h("input", { type: "time", value: "07:00", "aria-label": t("hours.to") });
  const between = h("div.row", { hidden: true }, from, h("span", "–"), to);
  scope.addEventListener("change", () => (between.hidden = scope.value !== "hours"));
  const days = h(
    "select",
    { id: "days" },
    [0, 7, 30, 90].map((n) => h("option", { value: String(n) }, n ? t("opt-out.days", { n }) : t("opt-out.for-good"))),
  );
  return [
    h("h2", t("opt-outs")),
    h("p.quiet", t("opt-outs.text")),
    standing.length === 0 && h("p", t("opt-outs.none")),
    h(
      "ul.plain",
      standing.map((each) =>
        h(
          "li.row.between",
          h(
            "span",
            nameOfOptOut(each),
            each.until_s ? ` · ${t("opt-out.until", { date: shortDate(each.until_s * 1000) })}` : "",
          ),
          h(
            "button.small",
            {
              type: "button",
              onclick: () => decide("opt-in", matterOf(each), t("opt-in.title")).then(again),
            },
            t("opt-in"),
          ),
        ),
      ),
    ),
    h(
      "form",
      {
        async onsubmit(event) {
          event.preventDefault();
          const [kind, chosen] = scope.value.split(" ");
          const value = kind === "hours" ? `${from.value}-${to.value}`.replaceAll(":", "") : chosen;
          const until = Number(days.value) ? Math.floor(Date.now() / 1000) + Number(days.value) * 86_400 : undefined;
          await decide("opt-out", { scope: kind, value, until_s: until }, t("opt-out.title"));
          await again();
        },
      },
      h("label", { for: "scope" }, t("opt-outs.what")),
      scope,
      between,
      h("label", { for: "days" }, t("opt-outs.how-long")),
      days,
      h("div.row.end", h("button", { type: "submit" }, t("opt-out.yes"))),
    ),
  ].filter(Boolean);
}

/**
 * @param {string} kind
 * @param {{ scope?: string } & Record<string, unknown>} matter
 * @param {string} title
 */
async function decide(kind, matter, title) {
  const isHours = kind === "opt-out" && matter.scope === "hours";
  const ownWords = kind === "opt-out" && (isHours || matter.scope === "bulletins");
  const confirmation = ownWords ? `opt-out.${matter.scope}.confirm` : `${kind}.confirm`;
  await withCredential(
    isHours ? t("opt-out.hours.at") : title,
    t(confirmation),
    t(isHours ? "set.yes" : `${kind}.yes`),
    (credential) => call("decide", { kind, matter, credential }),
  );
}

/** @param {() => Promise<unknown>} again */
async function picture(again) {
  const facts = await ask("page_facts");
  const save = setting(again);
  const said = t("zones.count", { n: facts.file.zones.length });
  return [
    h("h2", t("picture")),
    h("p.quiet", t("picture.text")),
    zones(facts, save),
    fromFile(facts, "motion.zones", { zones: null, sensitivity_percent: null, smallest_person: null }, save, said),
  ];
}

/** @param {() => Promise<unknown>} again */
async function ownKeys(again) {
  const [{ name }, own] = await Promise.all([call("state", {}), passkey()]);
  const add = () =>
    withCredential(t("passkey.add"), t("passkey.add.text"), t("passkey.add.yes"), async (credential) => {
      await addPasskey(credential);
      say(t("passkey.done"));
      await again();
    });
  const remove = async () => {
    if (!(await confirm(t("passkey.remove"), t("passkey.remove.text"), t("passkey.remove")))) return;
    await call("removePasskey");
    await again();
  };
  return [
    h("h2", t("mine")),
    h("p.quiet", t("mine.text", { name })),
    canHavePasskey() && h("p.quiet", t(own ? "passkey.on" : "passkey.off")),
    h(
      "div.row",
      canHavePasskey() &&
        (own
          ? h("button", { type: "button", onclick: remove }, t("passkey.remove"))
          : h("button", { type: "button", onclick: add }, t("passkey.add"))),
      h("button", { type: "button", onclick: saveBackup }, t("mine.backup")),
      h("button", { type: "button", onclick: lockEverywhere }, t("mine.lock")),
      h("button", { type: "button", onclick: leave }, t("mine.leave")),
    ),
  ];
}

export async function saveBackup() {
  const url = URL.createObjectURL(new Blob([await call("backup")], { type: "application/json" }));
  h("a", { href: url, download: "doorward-keys.json" }).click();
  // The browser begins to read the file only after the click has returned.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  say(t("mine.backup.done"));
}

async function leave() {
  if (!(await confirm(t("mine.leave"), t("mine.leave.text"), t("mine.leave")))) return;
  // From another network, or while the doorbell is off, the keys go as well. An owner can sign this browser out later.
  await ask("page_leave").catch(() => {});
  await removeKeys();
  location.assign("/pair");
}
