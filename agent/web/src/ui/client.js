// Talks to the worker that holds the keys: `call("review", {id})`.
import { revive } from "../errors.js";
import { trustedUrl } from "./trusted.js";

let worker;
let number = 0;
const waiting = new Map();

function start() {
  worker = new Worker(trustedUrl("/static/worker.js"), { type: "module", name: "doorward-owner" });
  worker.onmessage = ({ data }) => {
    const { resolve, reject } = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.error) reject(revive(data.error));
    else resolve(data.result);
  };
}

export function call(name, values) {
  if (!worker) start();
  return new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    worker.postMessage({ number, name, values });
  });
}

/** An operation of the doorbell that needs no key. */
export const ask = (op, head = {}) => call("ask", { op, head });
export const origin = () => location.origin;
