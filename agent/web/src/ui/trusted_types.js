// The one policy of Trusted Types: the only script addresses that this page ever loads, the first with its version.
const ADDRESSES = /^(\/static\/worker\.js(\?v=[0-9a-f]{12})?|\/worker-service\.js)$/;

const policy = globalThis.trustedTypes?.createPolicy("doorward", {
  /** @param {string} address */
  createScriptURL(address) {
    if (!ADDRESSES.test(address)) throw new TypeError("not a script of this page");
    return address;
  },
});

/** @param {string} address */
export const trustedUrl = (address) => policy?.createScriptURL(address) ?? address;
