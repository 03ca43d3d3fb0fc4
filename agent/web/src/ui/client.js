// Talks to the worker that holds the keys: `call("review", {id})`.
import { revive } from "../errors.js";
import { trustedUrl } from "./trusted_types.js";

/** @import { Arguments } from "../link.js" */
/** @import { ControlOperations } from "../wire/generated.js" */
/** @import { Operations } from "../worker.js" */

/** @type {Worker | undefined} */
let worker;
let number = 0;
let hasAnswered = false;
/** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
const waiting = new Map();

function start() {
  // With the page's version, so that the service worker may answer from its cache at once.
  const { search } = new URL(import.meta.url);
  const started = new Worker(trustedUrl(`/static/worker.js${search}`), { type: "module", name: "doorward-owner" });
  started.onerror = (event) => {
    // Older browsers cannot read it as a module. A file that did not arrive has no message.
    const words = document.getElementById("too-old");
    if (words && event.message && !hasAnswered) words.hidden = false;
  };
  started.onmessage = ({ data }) => {
    hasAnswered = true;
    const asked = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.error) asked?.reject(revive(data.error));
    else asked?.resolve(data.result);
  };
  return started;
}

/**
 * Asks the worker for an operation.  The promise has its result, or fails as it failed there.
 *
 * @template {keyof Operations} N
 * @param {N} name
 * @param {Parameters<Operations[N]>} values
 * @returns {Promise<Awaited<ReturnType<Operations[N]>>>}
 */
export function call(name, ...values) {
  worker ??= start();
  const to = worker;
  return new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    to.postMessage({ number, name, values: values[0] });
  });
}

/**
 * Asks the doorbell for an operation that works before the keys are unlocked. The worker passes it to `ask` of link.js.
 *
 * @template {keyof ControlOperations} Op
 * @param {Op} op
 * @param {Arguments<Op>} values
 * @returns {Promise<ControlOperations[Op]["answer"]>}
 */
export const ask = (op, ...values) => call("ask", { op, values });
export const origin = () => location.origin;
