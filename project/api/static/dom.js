// The few helpers that every part of the page uses: elements, numbers as text, one spoken sentence.

const SETTLED = 2_000; // milliseconds that a sentence has to stand for while it may change often

let pending = null;

/** The element of that id. */
export const byId = (id) => document.getElementById(id);

/** A new element with these properties and children; text is never read as HTML. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A button that does something. */
export const button = (words, onclick, className = "") =>
  element("button", { type: "button", className, onclick }, words);

/** Place an element anew: what takes the place of something else has not moved there. */
export function replaced(node) {
  node.style.display = "none";
  node.getBoundingClientRect();
  node.style.display = "";
}

/** 0.3845 → `38.5 %`; what is more than nothing never shows as nothing. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}

/** Milliseconds with what digits matter: 0.16, 4.9, 118. */
export function milliseconds(value) {
  if (value >= 100) return `${Math.round(value)} ms`;
  return `${value.toFixed(value < 1 ? 2 : 1)} ms`;
}

/** Bytes for people: 240 kB. */
export function bytes(size) {
  if (size < 1000) return `${size} B`;
  return size < 1e6 ? `${Math.round(size / 1000)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

/** Seconds from now for people: `in 40 s`, or `on 1 January`. */
export function when(seconds) {
  if (seconds < 3600) return `in ${seconds} s`;
  const at = new Date(Date.now() + seconds * 1000);
  return `on ${at.toLocaleDateString("en", { day: "numeric", month: "long" })}`;
}

/** Have a screen reader say a sentence; live: only once it has stood for two seconds. */
export function announce(words, { live = false } = {}) {
  if (live && words === pending?.words) return;
  clearTimeout(pending?.timer);
  const say = () => {
    const region = byId("announcement");
    if (region.textContent !== words) region.textContent = words;
  };
  pending = { words, timer: setTimeout(say, live ? SETTLED : 0) };
}

/** Put a text on the clipboard; what was pressed says so. shown: is selected where that fails. */
export async function copy(pressed, text, shown) {
  const words = pressed.dataset.words ?? pressed.textContent;
  pressed.dataset.words = words;
  try {
    await navigator.clipboard.writeText(text);
    pressed.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(shown); // the clipboard is for https and localhost
    pressed.textContent = "Selected";
  }
  setTimeout(() => (pressed.textContent = words), 2_000);
}

/** Save a file on the visitor's disk. */
export function download(blob, name) {
  const href = URL.createObjectURL(blob);
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** A picture at this size as a JPEG; null where the browser makes none. */
export function jpeg(source, width, height, quality) {
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").drawImage(source, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

/** What a storage of the browser has under a key; a forbidden one has nothing. */
export function stored(storage, key) {
  try {
    return globalThis[storage].getItem(key);
  } catch {
    return null;
  }
}

/** Store a text; an empty one is forgotten. */
export function store(storage, key, text) {
  try {
    text ? globalThis[storage].setItem(key, text) : globalThis[storage].removeItem(key);
  } catch {
    // it is forbidden
  }
}
