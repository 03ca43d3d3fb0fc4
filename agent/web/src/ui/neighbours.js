// The doorbells of a household that this browser knows. Each doorbell is an origin with keys and a separate program,
// so the list has only names, addresses and when each was last seen (docs/decisions/0035-several-doorbells.md).

/** @typedef {{ name: string, origin: string, seen: number }} Doorbell */

const PLACE = "doorbells";
const TIMEOUT_MS = 3_000;
/** The names under which doorbells have a page. An address that is no name of the local network is refused. */
const ORIGIN = /^https:\/\/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.local(:[0-9]{1,5})?$/;

/** @returns {Doorbell[]} */
export function known() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return kept.filter((/** @type {Doorbell} */ each) => ORIGIN.test(each.origin) && each.origin !== location.origin);
  } catch {
    return [];
  }
}

/** @param {Doorbell[]} doorbells */
const keep = (doorbells) => localStorage.setItem(PLACE, JSON.stringify(doorbells));

/**
 * Adds a doorbell, or gives a known one another name.
 *
 * @param {string} name
 * @param {string} origin
 */
export function add(name, origin) {
  const others = known().filter((each) => each.origin !== origin);
  const seen = known().find((each) => each.origin === origin)?.seen ?? 0;
  if (ORIGIN.test(origin) && origin !== location.origin) keep([...others, { name: name.slice(0, 64), origin, seen }]);
}

/** @param {string} origin */
export const remove = (origin) => keep(known().filter((each) => each.origin !== origin));

/**
 * The origin of an address as a person types it: `back-door`, `back-door.local:8443` or a whole address. Null if it
 * is no name of the local network. The port is this page's unless it is given.
 *
 * @param {string} typed
 */
export function originOf(typed) {
  const text = typed
    .trim()
    .toLowerCase()
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "");
  const [name, port] = text.split(":");
  const host = name.endsWith(".local") ? name : `${name}.local`;
  const ending = port ?? location.port;
  const origin = `https://${host}${ending ? `:${ending}` : ""}`;
  return ORIGIN.test(origin) ? origin : null;
}

/**
 * True if the doorbell there answers now. Its answer is empty, and this page sends neither cookie nor key.
 *
 * @param {string} origin
 */
export async function answers(origin) {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetch(`${origin}/here`, { credentials: "omit", cache: "no-store", redirect: "error", signal });
    if (!answer.ok) return false;
  } catch {
    return false;
  }
  keep(known().map((each) => (each.origin === origin ? { ...each, seen: Date.now() } : each)));
  return true;
}

/**
 * The end of an address that takes this doorbell's name to another doorbell's list. Browsers do not send it.
 *
 * @param {string} name
 */
export const fragmentOf = (name) =>
  `#household=${encodeURIComponent(JSON.stringify({ name, origin: location.origin }))}`;

/** The doorbell from which an owner came to add this one, or null. */
export function handedOver() {
  const found = /^#household=(.+)$/.exec(location.hash);
  if (!found) return null;
  try {
    const { name, origin } = JSON.parse(decodeURIComponent(found[1]));
    return typeof name === "string" && typeof origin === "string" && ORIGIN.test(origin) ? { name, origin } : null;
  } catch {
    return null;
  }
}
