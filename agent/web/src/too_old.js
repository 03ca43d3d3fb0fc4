// Runs before the program, in the language of browsers of 2012: says in clear words that this browser is too old, in
// place of an empty page. The words stand in the document, hidden (`#too-old`).
//
// It looks for some of what the page needs and what came last to browsers, and it listens for a program that cannot be
// read at all. build.mjs names the browsers.

// biome-ignore-all lint/suspicious/noVar: browsers that are too old know no other word
var isOld =
  !("noModule" in document.createElement("script")) ||
  typeof Worker === "undefined" ||
  typeof indexedDB === "undefined" ||
  typeof structuredClone === "undefined" ||
  typeof AbortSignal === "undefined" ||
  !AbortSignal.timeout ||
  !("findLast" in Array.prototype);

function tell() {
  var words = document.getElementById("too-old");
  if (words) words.removeAttribute("hidden");
}

addEventListener("error", (event) => {
  // A file that did not arrive has no message: the doorbell is away. A program that runs has said so.
  if (document.documentElement.hasAttribute("data-runs")) return;
  if (event.message && /SyntaxError|Unexpected|expected/i.test(event.message)) tell();
});
if (isOld) {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", tell);
  else tell();
}
