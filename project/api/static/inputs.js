// A model's inputs: a zone for each picture, a field for each text. Both survive a change of model.

import { byId, bytes, element } from "./dom.js";

const KINDS = { image: pictureInput, text: textInput };
const pictures = []; // { file, url } of the first, second, … picture of whatever model is chosen
const texts = []; // likewise

let offered = []; // of the chosen model: { name, kind, required, root, value(), take(file) }
let zones = []; // those of offered that are pictures

/** Whether the page has a zone or a field for an input. */
export const canOffer = ({ kind }) => kind in KINDS;

/**
 * Fill the element with a zone or a field for each input.
 * limits: those of the model. onChange(complete): an input has changed; complete: it is chosen and
 * not being typed.
 */
export function offerInputs(into, { inputs, limits }, onChange) {
  const places = { image: 0, text: 0 };
  offered = inputs.map((input) => {
    const offer = KINDS[input.kind](input, places[input.kind]++, limits, onChange);
    const plain = inputs.length === 1 && input.kind === "image" && !input.description;
    if (!plain) offer.root.prepend(heading(input));
    return { ...input, ...offer };
  });
  zones = offered.filter(({ kind }) => kind === "image");
  into.replaceChildren(...offered.map(({ root }) => root));
  into.hidden = offered.length === 0;
}

/** The inputs that are there: [{ name, kind, value: File or string }]. */
export function given() {
  const all = offered.map(({ name, kind, value }) => ({ name, kind, value: value() }));
  return all.filter(({ value }) => value);
}

/** Whether every picture that the model requires is there. */
export const hasPictures = () => zones.every(({ required, value }) => !required || value());

function heading({ name, kind, description, required }) {
  const words = [description, required ? "" : "Optional."].filter(Boolean).join(" ");
  const parts = [element("code", {}, name), ` ${words}`];
  const className = "hint";
  if (kind === "image") return element("p", { className }, ...parts); // its picker has a label
  return element("label", { className, htmlFor: `input-${name}` }, ...parts);
}

// --- pictures

function pictureInput({ name, required }, place, limits, onChange) {
  const root = byId("picture-input").content.firstElementChild.cloneNode(true);
  const part = (selector) => root.querySelector(selector);
  const [picker, preview, caption] = [part("input"), part("img"), part(".caption")];
  picker.id = part("label").htmlFor = `input-${name}`;
  picker.ariaLabel = `Choose a picture: ${name}`;
  picker.accept = limits.image_types.join();
  part(".ways").id = `ways-${name}`;
  picker.setAttribute("aria-describedby", `ways-${name}`);

  const describe = (words) =>
    caption.replaceChildren(element("strong", {}, pictures[place].file.name), ` ${words}`);
  const reveal = (visible) => {
    preview.hidden = part(".again").hidden = !visible;
    part(".invitation").hidden = visible;
  };
  const show = () => {
    picker.setCustomValidity(required && !pictures[place] ? "Choose a picture." : "");
    if (!pictures[place]) return;
    const { file, url } = pictures[place];
    preview.src = url;
    preview.alt = `The picture that is sent: ${file.name}`;
    reveal(true);
    describe(bytes(file.size));
  };
  const take = (file) => {
    if (pictures[place]) URL.revokeObjectURL(pictures[place].url);
    pictures[place] = { file, url: URL.createObjectURL(file) };
    show();
    onChange(true);
  };
  preview.addEventListener("load", () => {
    const size = `${preview.naturalWidth} × ${preview.naturalHeight} pixels`;
    describe(`${size}, ${bytes(pictures[place].file.size)}`);
  });
  preview.addEventListener("error", () => {
    reveal(false);
    describe(`${bytes(pictures[place].file.size)}, which this browser cannot show`);
  });
  picker.addEventListener("change", () => {
    const [file] = picker.files;
    picker.value = ""; // the same file may be chosen again
    if (file) take(file);
  });
  show();
  return { root, take, value: () => pictures[place]?.file };
}

/** The zone that this node is in, else the first empty one, else the first. */
function zoneAt(node) {
  const empty = zones.find(({ value }) => !value());
  return zones.find(({ root }) => root.contains(node)) ?? empty ?? zones[0];
}

/** Several files fill the zones in order. */
function takeAll(files, first) {
  const from = zones.indexOf(first);
  zones.slice(from, from + files.length).forEach((zone, index) => zone.take(files[index]));
}

function mark(over) {
  for (const zone of zones) zone.root.classList.toggle("over", zone === over);
}

document.addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (!files.length || event.target.matches?.("textarea")) return; // rich text has a picture, too
  event.preventDefault();
  takeAll(files, zoneAt());
});

const hasFiles = (event) => event.dataTransfer.types.includes("Files");

document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // else a drop beside the frame would leave the page
  mark(zoneAt(event.target));
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) mark(null);
});
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  mark(null);
  takeAll(event.dataTransfer.files, zoneAt(event.target));
});

// --- texts

function textInput({ name, required, example, max_length: ownMax }, place, limits, onChange) {
  const max = Math.min(ownMax ?? Infinity, limits.text_characters);
  const value = texts[place] ?? "";
  const area = element("textarea", { id: `input-${name}`, rows: 6, required, value });
  const counter = element("p", { id: `count-${name}`, className: "caption" });
  area.setAttribute("aria-describedby", counter.id);
  const count = () => {
    texts[place] = area.value;
    const length = [...area.value].length; // characters, as the server counts them
    const beyond = length - max;
    counter.textContent = `${length.toLocaleString("en")} of ${max.toLocaleString("en")} characters`;
    area.ariaInvalid = String(beyond > 0);
    area.setCustomValidity(beyond > 0 ? `Leave out ${beyond.toLocaleString("en")} characters.` : "");
  };
  area.addEventListener("input", () => {
    count();
    onChange(false);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) area.form.requestSubmit();
  });
  count();
  const root = element("div", { className: "input text" }, area, counter);
  if (example) root.append(chip(example, area));
  return { root, value: () => area.value };
}

function chip(example, area) {
  const use = () => {
    area.value = example;
    area.dispatchEvent(new Event("input"));
    area.form.requestSubmit();
  };
  const button = element("button", { type: "button", className: "chip", onclick: use }, example);
  return element("p", { className: "hint" }, "Example ", button);
}
