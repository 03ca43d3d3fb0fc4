// The systems on which a phone or computer installs the doorbell's authority.

/** How many steps the texts have for each system. */
export const SYSTEMS = { ios: 3, android: 3, windows: 2, mac: 2, linux: 2 };

/**
 * The system of this browser. An iPad calls itself a Macintosh, and no Macintosh has a touch screen.
 *
 * @param {string} agent
 * @param {number} touchPoints
 * @returns {keyof typeof SYSTEMS}
 */
export function systemOf(agent, touchPoints) {
  if (/iPhone|iPad/.test(agent) || (/Macintosh/.test(agent) && touchPoints > 1)) return "ios";
  if (/Android/.test(agent)) return "android";
  if (/Windows/.test(agent)) return "windows";
  return /Macintosh/.test(agent) ? "mac" : "linux";
}
