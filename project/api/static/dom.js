// The few helpers that every part of the page uses: elements by id, new elements, numbers as text.

/** The element of that id. */
export const byId = (id) => document.getElementById(id);

/** A new element with these properties and children; text is never read as HTML. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
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
