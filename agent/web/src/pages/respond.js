// The owner's answer to a request: exactly which footage matches, what to share of it, and how much. Every box starts
// unticked, there is no countdown, and No is as near as Yes.

import { FormatError, PageError, RefusedError } from "../errors.js";
import { encoderFor } from "../media/film_encoder.js";
import { play } from "../media/player.js";
import { go } from "../navigation.js";
import { ask, call } from "../ui/client.js";
import { dialog, say, withCredential } from "../ui/dialogs.js";
import { existing, h, ICONS, icon } from "../ui/dom.js";
import { what } from "../ui/happened.js";
import { poster } from "../ui/posters.js";
import { clock, dateAndClock, exact, explain, length, listed, span, t } from "../ui/texts.js";
import { cleaned } from "../wire/text.js";
import { coverClip } from "./cover_editor.js";
import { makeRedacted } from "./cover_preview.js";
import { promises } from "./promise.js";

/** @import { Answer, Child, Choice, Clip, Covering, Failed, Moment, Playable, Review, StartFilm } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {{ id: string, state?: string }} Named a request, and the state in which it was looked at */

/** States in which it is an owner's turn. */
export const WAITING = ["pending", "waiting for another owner"];
/** The ledger's reasons for an end that the doorbell decided automatically (agent/custodian/releases.py). */
const AUTOMATIC_REASONS = [
  "requester no longer trusted",
  "approver no longer an owner",
  "footage deleted by an owner",
  "answer no longer on the disk",
  "window in the future",
  "look-back too far",
  "expires too late",
];
/** @param {string} [reason] */
export const endedAutomatically = (reason) => reason !== undefined && AUTOMATIC_REASONS.includes(reason);

/**
 * The requester's name. If no list holds the requester now, the doorbell sends a fixed phrase, which the page
 * translates.
 *
 * @param {Answer} options
 */
export const requesterName = ({ requester, requester_name: name }) =>
  name.startsWith(`${requester} (`) ? requester : name;
const REFRESH_MS = 5000;

/**
 * @param {HTMLElement} content
 * @param {Review} review
 */
export function respond(content, review) {
  const chosen = new Set();
  let stop = () => {};
  const count = h("p.count", { "aria-live": "polite" });
  const share = h("button.primary", {
    type: "button",
    disabled: true,
    onclick: async () => {
      problem.textContent = "";
      const options = { contact: contact(), gaps: rest.value(), withSound: sound.value(), covering };
      await approve(review, chosen, grade(), options).catch((error) => {
        problem.textContent = explain(error);
      });
    },
  });
  const grades = ["exists", "posters", "clips", "both"].map((value) => gradeChoice(value, "clips", update));
  const grade = () => checkedGrade(content);
  const contactForm = contactCard();
  const rest = windowGaps(review);
  const sound = soundOption(review);
  const contact = () => contactForm.value();
  /** @type {Covering} */
  const covering = { plans: {}, exact: false };
  const problem = h("p.problem", { role: "alert" });

  function update() {
    const clips = review.clips.filter((clip) =>
      clip.segments.some((/** @type {Answer} */ each) => chosen.has(each.id)),
    );
    const ms = review.clips
      .flatMap((clip) => clip.segments)
      .filter((each) => chosen.has(each.id))
      .reduce((sum, each) => sum + each.end - each.start, 0);
    const stills = clips.filter((clip) => clip.poster && chosen.has(clip.poster)).length;
    share.disabled = chosen.size === 0 || (grade() === "posters" && stills === 0);
    count.textContent = chosenText(grade(), clips.length, stills, length(ms));
    share.textContent = t("request.share");
  }

  /** @type {StartFilm} */
  const start = (video, segments) => {
    stop();
    stop = playHeard(video, segments);
  };
  const clips = review.clips.map((clip, i) =>
    clipCard(clip, i, chosen, update, start, coverOption(review, clip, i + 1, covering)),
  );
  content.append(
    h("h2", t("request.matches", { n: review.clips.length })),
    h("p.quiet", t("request.matches.text"), review.certain ? "" : ` ${t("request.uncertain")}`),
    h("ul.clips", clips),
    h("fieldset.card", h("legend", t("grade")), grades, sound.element),
    h("p.note", [...promises(review), t("request.may")].join(" ")),
    contactForm.element,
    rest.element,
    h("div.card.answer", count, problem, answers(review, share), h("p.quiet", t("request.ignore"))),
  );
  update();
  const stopWatching = watchForChanges(content, review);
  return () => {
    stopWatching();
    stop();
  };
}

/**
 * Tells the owner if another owner or a deadline was quicker. Their ticks stay until they reload the request.
 *
 * @param {HTMLElement} content
 * @param {Review} review
 */
function watchForChanges(content, review) {
  const note = h("p.note", { hidden: true });
  existing("h1", content).after(note);
  const timer = setInterval(async () => {
    if (!(await hasChanged(review))) return;
    clearInterval(timer);
    say(t("request.moved"));
    note.hidden = false;
    note.append(
      t("request.moved"),
      " ",
      h("button.link", { type: "button", onclick: () => reloadRequest(review) }, t("request.moved.look")),
    );
  }, REFRESH_MS);
  return () => clearInterval(timer);
}

/** @param {{ id: string }} options */
const reloadRequest = ({ id }) => go(`/requests/${id}`, { replace: true });

/**
 * The still of a clip that turns into its film.
 *
 * @param {Clip} clip
 * @param {number} i
 * @param {StartFilm} start
 */
function framed(clip, i, start) {
  const [first, last] = [clip.segments[0], clip.segments[clip.segments.length - 1]];
  const name = t("clip.name", { number: i + 1, from: clock(first.start), length: length(last.end - first.start) });
  const isHeard = clip.segments.some((each) => each.sound);
  const video = h("video", { controls: true, playsInline: true, muted: !isHeard, hidden: true, "aria-label": name });
  const still = poster(clip.poster, name);
  const frame = h(
    "div.frame",
    still,
    video,
    h(
      "button.play",
      { type: "button", "aria-label": t("clip.play", { name }), onclick: () => begin(clip.segments) },
      icon(...ICONS.play),
    ),
  );
  /** @param {Moment[]} segments */
  function begin(segments) {
    video.hidden = false;
    frame.classList.add("playing");
    start(video, segments);
  }
  return { frame, begin, name, first, last };
}

/**
 * The three answers side by side; `yes` is the button that shares.
 *
 * @param {Review} review
 * @param {HTMLElement} yes
 */
const answers = (review, yes) =>
  h(
    "div.row",
    h("button", { type: "button", onclick: () => deny(review) }, t("request.deny")),
    h("button", { type: "button", onclick: () => optOut(review) }, t("request.opt-out")),
    yes,
  );

/**
 * The grade of the selected radio button.
 *
 * @param {ParentNode} content
 */
export const checkedGrade = (content) =>
  /** @type {HTMLInputElement | null} */ (content.querySelector("[name=grade]:checked"))?.value ?? "";

/**
 * One way of how much to share, as a radio button; the one called `preset` is chosen beforehand.
 *
 * @param {string} value
 * @param {string} preset
 * @param {() => void} update
 */
export const gradeChoice = (value, preset, update) =>
  h(
    "label.choice",
    h("input", { type: "radio", name: "grade", value, checked: value === preset, onchange: update }),
    h("span", t(`grade.${value}`), h("small", t(`grade.${value}.text`))),
  );

/**
 * Plays segments with what was heard.  Returns how to stop.
 *
 * @param {HTMLVideoElement} video
 * @param {Playable[]} segments
 */
const playHeard = (video, segments) =>
  play(video, segments, (id) => call("segment", { id }), {
    hear: (id) => call("sound", { id }),
    onError: (error) => say(explain(error)),
  });

/**
 * Adds `member` to `set`, or takes it out.
 *
 * @param {Set<string>} set
 * @param {string} member
 * @param {boolean} isIn
 */
function setIn(set, member, isIn) {
  if (isIn) set.add(member);
  else set.delete(member);
}

/**
 * One segment of a clip, to tick, to play and to hear.
 *
 * @param {Moment} segment
 * @param {HTMLInputElement} box
 * @param {(segments: Moment[]) => void} begin
 */
function moment(segment, box, begin) {
  const time = exact(segment.start);
  /**
   * @param {string} label
   * @param {() => void} onclick
   * @param {string[]} picture
   */
  const small = (label, onclick, picture) =>
    h("button.small", { type: "button", "aria-label": label, onclick }, icon(...picture));
  return h(
    "li",
    h("label.tick", box, h("span", `${time} – ${exact(segment.end)}`, segment.cut ? ` · ${t("clip.torn")}` : "")),
    small(t("clip.play-moment", { time }), () => begin([segment]), ICONS.play),
    segment.sound && small(t("clip.hear-moment", { time }), () => hear(segment.id), ICONS.sound),
  );
}

/**
 * @param {Clip} clip
 * @param {number} i
 * @param {Set<string>} chosen
 * @param {() => void} update
 * @param {StartFilm} start
 * @param {Child} [more] what else can be done with the clip
 */
export function clipCard(clip, i, chosen, update, start, more) {
  const { frame, begin, name, first, last } = framed(clip, i, start);
  const boxes = clip.segments.map((each) =>
    h("input", {
      type: "checkbox",
      value: each.id,
      onchange(event) {
        setIn(chosen, each.id, event.target.checked);
        sync();
        update();
      },
    }),
  );
  const whole = h("input", {
    type: "checkbox",
    onchange: (event) => {
      for (const box of boxes) {
        // `offerToSkip` has left it out: it cannot be shared.
        if (box.disabled) continue;
        box.checked = event.target.checked;
        setIn(chosen, box.value, box.checked);
      }
      update();
    },
  });
  function sync() {
    const ticked = boxes.filter((box) => box.checked).length;
    whole.checked = ticked > 0 && ticked === boxes.filter((box) => !box.disabled).length;
    whole.indeterminate = ticked > 0 && !whole.checked;
  }
  return h(
    "li.card.clip",
    frame,
    h(
      "div.about",
      h("p.name", what(clip)),
      h("p.quiet", `${dateAndClock(first.start)} · ${length(last.end - first.start)}`),
      h("label.tick", whole, h("span", t("clip.share"), h("span.hidden", ` ${name}`))),
      h(
        "details",
        h("summary", t("clip.moments", { n: clip.segments.length })),
        h(
          "ul.moments",
          clip.segments.map((each, n) => moment(each, boxes[n], begin)),
        ),
      ),
      more,
    ),
  );
}

/**
 * Opens the editor of covers and mutes of a clip, and says how many there are. With two owners there is none: the
 * second could not see what they approve.
 *
 * @param {Review} review
 * @param {Clip} clip
 * @param {number} number
 * @param {Covering} covering
 */
function coverOption(review, clip, number, covering) {
  if (review.needsTwo) return h("p.quiet", t("cover.two-owners"));
  const problem = h("p.problem", { role: "alert" });
  const summary = h("p.quiet.covered", { hidden: true });
  const open = async () => {
    problem.textContent = "";
    try {
      await encoderFor(1280, 720, 15); // throws, if this browser has none for H.264
      covering.plans[clip.event] ??= [];
      const drafts = covering.plans[clip.event];
      await coverClip(review, { number, clip, drafts, covering });
      summary.hidden = drafts.length === 0;
      summary.textContent = t("cover.summary", { n: drafts.length });
    } catch (error) {
      problem.textContent = explain(error);
    }
  };
  const label = h("span.hidden", ` ${t("cover.of", { number })}`);
  return [summary, h("button.small", { type: "button", onclick: open }, t("cover.open"), label), problem];
}

function contactCard() {
  /**
   * @param {string} name
   * @param {string} [type]
   */
  const field = (name, type = "text") =>
    h("input", { id: `contact-${name}`, type, maxlength: "200", autocomplete: "off" });
  const [name, street, email, note] = [field("name"), field("street"), field("email", "email"), field("note")];
  const fields = { name, street, email, note };
  // Inserts the address kept in this browser only after the owner asks for it.
  const mine = h(
    "button.small",
    {
      type: "button",
      hidden: true,
      async onclick() {
        street.value = await call("address");
      },
    },
    t("contact.mine"),
  );
  call("address")
    .then((address) => {
      mine.hidden = !address;
    })
    .catch(() => {});
  const labelled = Object.entries(fields).map(([key, input]) => [
    h("label", { for: input.id }, t(`contact.${key}`)),
    input,
  ]);
  const element = h("details.card", h("summary", t("contact")), h("p.quiet", t("contact.text")), labelled, mine);
  return {
    element,
    value() {
      if (!element.open) return undefined;
      const written = Object.entries(fields).map(([key, input]) => [key, cleaned(input.value)]);
      const found = Object.fromEntries(written.filter(([, text]) => text));
      return Object.keys(found).length ? found : undefined;
    },
  };
}

/**
 * The gaps of the window. The requester learns exactly this list if the owner ticks it, and otherwise nothing.
 *
 * @param {Review} review
 */
function windowGaps(review) {
  /** @type {Wire.FootageAbsence[] | undefined} */
  let gaps;
  const list = h("ul.told");
  const problem = h("p.problem", { role: "alert" });
  const box = h("input", {
    type: "checkbox",
    async onchange() {
      gaps = undefined;
      problem.textContent = "";
      list.replaceChildren();
      if (!box.checked) return;
      try {
        const found = await call("gaps", { id: review.id });
        // Unticked while the answer was on its way.
        if (!box.checked) return;
        gaps = found;
        const lines = found.map((gap) =>
          h("li", `${dateAndClock(gap.from_ms)} – ${clock(gap.to_ms)} · ${t(`gap.${gap.reason}`)}`),
        );
        list.replaceChildren(...(lines.length ? lines : [h("li", t("rest.nothing"))]));
      } catch (error) {
        box.checked = false;
        problem.textContent = explain(error);
      }
    },
  });
  const element = h(
    "details.card",
    h("summary", t("rest")),
    h("p.quiet", t("rest.text")),
    h("label.tick", box, h("span", t("rest.tick"))),
    list,
    problem,
  );
  return { element, value: () => gaps };
}

/**
 * @param {string} grade
 * @param {number} clips
 * @param {number} stills
 * @param {string} lasting
 */
function chosenText(grade, clips, stills, lasting) {
  if (!clips) return t("request.chosen.none");
  if (grade === "exists") return t("request.chosen.exists", { n: clips });
  if (grade === "posters") return t("request.chosen.stills", { n: stills });
  return t("request.chosen", { n: clips, length: lasting });
}

/**
 * The sound of one moment, opened here.
 *
 * @param {string} id
 */
async function hear(id) {
  try {
    const url = URL.createObjectURL(new Blob([await call("sound", { id })], { type: "audio/mp4" }));
    const audio = new Audio(url);
    audio.addEventListener("ended", () => URL.revokeObjectURL(url), { once: true });
    await audio.play();
  } catch (error) {
    say(explain(error));
  }
}

/**
 * Pictures alone are the rule: what was heard goes along only when this is ticked, and can be heard before.
 *
 * @param {Review} review
 */
function soundOption(review) {
  const heard = review.clips.flatMap((clip) => clip.segments).filter((each) => each.sound);
  if (!heard.length) return { element: null, value: () => false };
  const box = h("input", { type: "checkbox" });
  return {
    element: h("label.choice", box, h("span", t("sound"), h("small", t("sound.text")))),
    value: () => box.checked,
  };
}

/**
 * For example "3 moments of video, 1 still."; a kind that is absent is left out.
 *
 * @param {string[]} segments
 * @param {string[]} posters
 */
export function describeAmount(segments, posters) {
  const moments = segments.length > 0 && t("approve.moments", { n: segments.length });
  const stills = posters.length > 0 && t("approve.stills", { n: posters.length });
  return `${listed([moments, stills].flatMap((each) => each || []))}.`;
}

/**
 * @param {Review} review
 * @param {Set<string>} chosen
 * @param {string} grade
 * @param {{ contact?: Choice["contact"], gaps: Wire.FootageAbsence[] | undefined, withSound: boolean,
 *   covering: Covering }} options
 */
async function approve(review, chosen, grade, { contact, gaps, withSound, covering }) {
  const segments = grade === "clips" || grade === "both" ? [...chosen] : [];
  const isHeard = new Set(
    review.clips.flatMap((clip) => clip.segments).flatMap((each) => (each.sound ? [each.id] : [])),
  );
  const sounds = withSound ? segments.filter((id) => isHeard.has(id)) : [];
  const stills = grade === "posters" || grade === "both";
  const posters = stills
    ? review.clips.map((clip) => clip.poster).flatMap((id) => (id && chosen.has(id) ? [id] : []))
    : [];
  /** @param {Clip} clip */
  const isTicked = (clip) => clip.segments.some((each) => chosen.has(each.id));
  const clips = grade === "exists" ? review.clips.filter(isTicked).map((clip) => clip.event) : [];
  const told = review.clips.filter(isTicked).flatMap((clip) => clip.segments);
  // The grade `exists` tells of whole clips, whichever of their moments are ticked.
  const meant = grade === "exists" ? told : told.filter((each) => chosen.has(each.id));
  // Before the credential is asked for: an owner must not sign, and then learn that a film cannot be covered.
  const redacted = await call("redactedIn", { id: review.id, segments, posters, sounds, plans: covering.plans });
  /** @type {Failed[]} */
  let failed = [];
  const isMade = await makeRedacted(review, redacted, covering).catch((error) => {
    if (!(error instanceof FormatError)) throw error;
    failed = [{ id: String(error.values.segment), text: error.text, values: error.values }];
  });
  if (failed.length) return offerToSkip(failed);
  if (!isMade) return undefined;
  const done = await withCredential(
    t("approve.title"),
    [
      grade === "exists"
        ? t("approve.exists", { who: review.requester, n: clips.length })
        : t("approve.text", { who: review.requester }),
      grade !== "exists" && describeAmount(segments, posters),
      // Requests of one requester look alike, and a tick may be a slip.
      t("approve.which", {
        when: span(Math.min(...meant.map((each) => each.start)), Math.max(...meant.map((each) => each.end))),
        case: review.case,
      }),
      redacted.length > 0 && t("approve.redacted", { n: redacted.length }),
      isHeard.size > 0 && (sounds.length ? t("approve.sound") : t("approve.no-sound")),
      contact ? t("approve.contact") : t("approve.no-contact"),
      gaps && t("approve.gaps"),
      ...promises(review),
      t("request.may"),
    ].filter(Boolean),
    t("approve.yes"),
    (credential) =>
      orShowFailure(
        settled(
          review,
          call("approve", { id: review.id, credential, segments, posters, sounds, clips, contact, gaps, ...covering }),
        ),
        (found) => {
          failed = found;
        },
      ),
  );
  if (failed.length) return offerToSkip(failed);
  // Another owner may have answered while the dialog was open.
  if (done || (await hasChanged(review))) await reloadRequest(review);
  return undefined;
}

/**
 * `tell` hears what cannot be shared, if that is why `signing` fails.
 *
 * @template T
 * @param {Promise<T>} signing
 * @param {(failed: Failed[]) => void} tell
 * @returns {Promise<T | boolean | undefined>}
 */
export async function orShowFailure(signing, tell) {
  try {
    return await signing;
  } catch (error) {
    if (!(error instanceof PageError) || error.text !== "error.cannot-share") throw error;
    tell(/** @type {Failed[]} */ (error.values.failed));
    return undefined;
  }
}

/**
 * Names what cannot be shared and why; one tap leaves it out, and what is left can be shared.
 *
 * @param {Failed[]} failed
 */
export async function offerToSkip(failed) {
  /** @type {NodeListOf<HTMLInputElement>} */
  const all = document.querySelectorAll(".moments input[type=checkbox]");
  const boxes = failed.flatMap(({ id }) => [...all].filter((box) => box.value === id));
  const lines = failed.map((each, i) =>
    h("li", boxes[i] ? `${boxes[i].parentElement?.textContent}: ` : "", t(each.text, each.values)),
  );
  const isLeft = await dialog(t("left-out.title"), (close) => [
    h("p", t("left-out.text")),
    h("ul", lines),
    h(
      "div.row.end",
      h("button", { type: "button", onclick: () => close(undefined) }, t("cancel")),
      h("button.primary", { type: "button", onclick: () => close(true) }, t("left-out.yes")),
    ),
  ]);
  if (!isLeft) return;
  for (const [i, box] of boxes.entries()) {
    box.checked = false;
    // A program that sets `checked` causes no event, and the choice follows the event.
    box.dispatchEvent(new Event("change"));
    box.disabled = true;
    box.parentElement?.append(` · ${t(failed[i].text, failed[i].values)}`);
  }
}

/**
 * The answer to a signature may be lost on its way back, and browsers then repeat the request; or another owner was
 * quicker. The doorbell's present state counts.
 *
 * @template T
 * @param {Named} review
 * @param {Promise<T>} signing
 * @returns {Promise<T | string>}
 */
async function settled(review, signing) {
  try {
    return await signing;
  } catch (error) {
    // A refusal after a lost answer: the statement may have counted, and the browser sent it twice.
    if (error instanceof RefusedError && (await hasChanged(review))) return CHANGED_BY_OTHERS;
    throw error;
  }
}

const CHANGED_BY_OTHERS = "moved";

/** @param {Named} review */
async function hasChanged(review) {
  const { requests } = await ask("requests", { all: true }).catch(() => ({ requests: [] }));
  const now = requests.find((/** @type {Answer} */ each) => each.id === review.id);
  return now !== undefined && now.state !== review.state;
}

/** @param {Named} review */
export async function deny(review) {
  const done = await withCredential(t("deny.title"), t("deny.text"), t("deny.yes"), (credential) =>
    settled(review, call("deny", { id: review.id, credential })),
  );
  if (!done) return;
  if (done === CHANGED_BY_OTHERS) {
    await reloadRequest(review);
    return;
  }
  say(t("deny.done"));
  await go("/requests");
}

/** @param {Review} review */
async function optOut(review) {
  const choices = [
    ["requester", review.requesterId, t("opt-out.requester", { who: review.requester })],
    ["kind", review.kind, t("opt-out.kind", { kind: t(`kind.${review.kind}`) })],
    ["incident", review.incident, t("opt-out.incident", { incident: t(`incident.${review.incident}`) })],
    ["all", undefined, t("opt-out.all")],
  ];
  const choice = await dialog(t("opt-out.title"), (close) => [
    h("p", t("opt-out.text")),
    h(
      "div.stack",
      choices.map((each) => h("button", { type: "button", onclick: () => close(each) }, each[2])),
    ),
    h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel"))),
  ]);
  if (!choice) return;
  const [scope, value, text] = choice;
  // An id is unique only below its root. A namesake below another root is another requester.
  const root = scope === "requester" ? review.trustRoot : undefined;
  const done = await withCredential(text, t("opt-out.confirm"), t("opt-out.yes"), (credential) =>
    call("decide", { kind: "opt-out", matter: { scope, value, trust_root: root }, credential }),
  );
  if (!done) return;
  say(t("opt-out.done"));
  await go("/requests");
}

// Agreeing, where it takes two owners

/**
 * @param {HTMLElement} content
 * @param {Review} review
 */
export function renderCoApproval(content, review) {
  const { first } = review;
  if (!first) return () => {};
  /** @param {string} id */
  const isShared = (id) => first.segments.includes(id) || first.posters.includes(id);
  let stop = () => {};
  const clips = review.clips.filter((clip) => clip.segments.some((/** @type {Answer} */ each) => isShared(each.id)));
  const agree = async () => {
    const done = await withCredential(
      t("second.title"),
      [t("second.confirm", { owner: first.by, who: review.requester }), ...promises(review), t("request.may")],
      t("second.yes"),
      (credential) => settled(review, call("coApprove", { id: review.id, credential })),
    );
    if (done) await reloadRequest(review);
  };
  const parts = [
    first.segments.length > 0 && t("approve.moments", { n: first.segments.length }),
    first.posters.length > 0 && t("approve.stills", { n: first.posters.length }),
    first.sounds > 0 && t("second.sounds", { n: first.sounds }),
    first.clips > 0 && t("second.clips", { n: first.clips }),
    first.contact && t("second.contact"),
    first.gaps > 0 && t("second.gaps"),
  ].filter(Boolean);
  content.append(
    h(
      "section.card",
      h("h2", t("second.asks", { owner: first.by })),
      h(
        "ul",
        parts.map((part) => h("li", part)),
      ),
      h("p.quiet", t("second.text")),
    ),
    h(
      "ul.clips",
      clips.map((clip, i) => {
        const own = clip.segments.filter((/** @type {Answer} */ each) => isShared(each.id));
        return coApprovalCard({ ...clip, segments: own }, i, (video, segments) => {
          stop();
          stop = playHeard(video, segments);
        });
      }),
    ),
    h(
      "div.card.answer",
      answers(review, h("button.primary", { type: "button", onclick: agree }, t("second.agree"))),
      h("p.quiet", t("second.either")),
    ),
  );
  const stopWatching = watchForChanges(content, review);
  return () => {
    stopWatching();
    stop();
  };
}

/**
 * A clip to look at, without choices.
 *
 * @param {Clip} clip
 * @param {number} i
 * @param {StartFilm} start
 */
function coApprovalCard(clip, i, start) {
  const { frame, name, first, last } = framed(clip, i, start);
  return h(
    "li.card.clip",
    frame,
    h(
      "div.about",
      h("p.name", what(clip), h("span.hidden", ` ${name}`)),
      h("p.quiet", `${dateAndClock(first.start)} · ${length(last.end - first.start)}`),
    ),
  );
}
