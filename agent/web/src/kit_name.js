// The short name of a recovery kit, for the page that shows kits and the worker that compares them.

/**
 * The name of a kit, on its page, in lists and in errors: the beginning and the end of its public key.
 *
 * @param {string} recipient
 */
export const nameOfKit = (recipient) => `${recipient.slice(0, 16)} … ${recipient.slice(-8)}`;
