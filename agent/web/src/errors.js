// Errors of the page, by the party at fault. `text` is a key of ../texts. ui/sentences.js translates the messages of
// the doorbell.

export class PageError extends Error {
  // Written out: an error crosses from the worker's bundle to the page's by its name, and bundling renames classes.
  name = "PageError";

  /**
   * @param {string} text a key of ../texts
   * @param {Record<string, unknown>} values
   */
  constructor(text, values = {}) {
    super(text);
    this.text = text;
    this.values = values;
  }
}

/** The bytes break the rules of their format. */
export class FormatError extends PageError {
  name = "FormatError";
}

/** A cryptographic check failed, or the doorbell's answer contradicts a signed statement. */
export class OpenError extends FormatError {
  name = "OpenError";
}

/** The doorbell refused, in its own words. */
export class RefusedError extends PageError {
  name = "RefusedError";

  /**
   * @param {string} said
   * @param {string} remedy
   * @param {number} status of HTTP
   * @param {string} kind the class of the error on the doorbell
   */
  constructor(said, remedy, status, kind = "") {
    super("error.refused", { said, remedy });
    this.said = said;
    this.remedy = remedy;
    this.status = status;
    this.kind = kind;
  }
}

/** The doorbell fails to answer, or what is on the way to it. */
export class LostError extends PageError {
  name = "LostError";

  /** @param {string} [text] what is known of the cause */
  constructor(text = "error.lost") {
    super(text);
  }
}

/**
 * Whether the error leaves open if a signature counts. It must not be given a second time before its owner has looked.
 *
 * @param {unknown} error
 */
export const isUnsure = (error) => error instanceof LostError && error.text === "error.lost-signed";

/**
 * @typedef {{ name: string, message: string, text: string, values?: Record<string, unknown>, said?: string,
 *   remedy?: string, status?: number, kind?: string }} PlainError
 */

/**
 * Rebuilds an error that crossed a worker's border.
 *
 * @param {PlainError} plain
 * @returns {PageError}
 */
export function revive(plain) {
  /** @type {Record<string, { prototype: PageError }>} */
  const kinds = { FormatError, OpenError, RefusedError, LostError, PageError };
  const error = Object.create((kinds[plain.name] ?? PageError).prototype);
  return Object.assign(error, plain);
}

/**
 * An error as a plain object, for the way from a worker to the page.
 *
 * @param {any} error
 * @returns {PlainError}
 */
export function plainOf(error) {
  const { name, message, text, values, said, remedy, status, kind } = error;
  return error instanceof PageError
    ? { name, message, text, values, said, remedy, status, kind }
    : { name: "PageError", message: String(error), text: "error.unexpected", values: { what: String(error) } };
}
