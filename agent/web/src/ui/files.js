// Files that leave the page: saved, or handed to another app.
import { say } from "./dialogs.js";
import { h } from "./dom.js";
import { t } from "./texts.js";

/**
 * True if this browser can hand such a file to other apps. Desktop browsers often cannot: saving remains.
 *
 * @param {string} name
 * @param {string} type
 */
export function canShare(name, type) {
  return Boolean(navigator.canShare?.({ files: [new File([], name, { type })] }));
}

/** @param {File} file */
export function download(file) {
  const url = URL.createObjectURL(file);
  h("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Returns false if the user chose no app. If the system refuses the file, for example because of its size, the browser
 * saves it.
 *
 * @param {File} file
 */
export async function handOver(file) {
  try {
    await navigator.share({ files: [file] });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return false;
    download(file);
    say(t("event.saved"));
  }
  return true;
}

/** @param {number} ms UTC */
export const stampOf = (ms) => new Date(ms).toISOString().slice(0, 19).replaceAll(/[T:]/g, "-");
