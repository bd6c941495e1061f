// A model's inputs: a zone for each picture, a field for each text. Both survive a change of model.

import { hasAccounts } from "./client.js";
import { button, element } from "./dom.js";
import { pictureZone } from "./zone.js";

const KINDS = { image: pictureInput, text: textInput };
const pictures = []; // what the first, second, … zone of whatever model is chosen holds
const texts = []; // likewise

let offered = []; // of the chosen model: { name, kind, required, root, value(), … }
let zones = []; // those of offered that are pictures

/**
 * Fill the element with a zone or a field for each input. An input of an unknown kind is a text.
 * limits: those of the model. hooks: { onChange(complete, name): that input has changed, without
 * a name several; complete: it is chosen and not being typed, onCamera(zone) }.
 */
export function offerInputs(into, { inputs, limits }, hooks) {
  const places = { image: 0, text: 0 };
  offered = inputs.map((input) => {
    const kind = input.kind in KINDS ? input.kind : "text";
    const offer = KINDS[kind](input, places[kind]++, limits, hooks);
    const isPlain = inputs.length === 1 && kind === "image" && !input.description;
    if (!isPlain) offer.root.prepend(heading(input));
    return Object.assign(offer, { ...input, kind });
  });
  zones = offered.filter(({ kind }) => kind === "image");
  const roots = offered.map(({ root }) => root);
  if (zones.length === 2) roots.splice(2, 0, button("Swap the two", () => swap(hooks), "swap"));
  into.replaceChildren(...roots);
  into.classList.toggle("two", zones.length > 1);
  into.hidden = offered.length === 0;
}

/** The inputs that are there: [{ name, kind, value: File or string }]. */
export function given() {
  const all = offered.map(({ name, kind, value }) => ({ name, kind, value: value() }));
  return all.filter(({ value }) => value);
}

/** Whether every picture that the model requires is there. */
export const hasPictures = () => zones.every(({ required, value }) => !required || value());

/** The zone of that input, or the first one; undefined for a model without pictures. */
export const zoneOf = (name) => (name ? zones.find((zone) => zone.name === name) : zones[0]);

/** Use a file as the first picture; a model without one leaves it to the next that has. */
export async function useAsInput(file) {
  if (zones.length) return zones[0].take(file);
  const image = Object.assign(new Image(), { src: URL.createObjectURL(file) });
  await image.decode();
  const { naturalWidth: width, naturalHeight: height, src: url } = image;
  Object.assign((pictures[0] ??= {}), { file, url, width, height, note: "" });
}

/** Write each fault at its input. Returns the names that have no input here. */
export function showInputFaults(errors) {
  for (const { name, say, area } of offered) {
    if (!(name in errors)) continue;
    area ? area.fault(errors[name]) : say(errors[name]);
  }
  return Object.keys(errors).filter((name) => !offered.some((one) => one.name === name));
}

function heading({ name, kind, description, required }) {
  const words = [description, required ? "" : "Optional."].filter(Boolean).join(" ");
  const parts = [element("code", {}, name), ` ${words}`];
  const className = "hint";
  if (kind === "image") return element("p", { className }, ...parts); // its picker has a label
  return element("label", { className, htmlFor: `input-${name}` }, ...parts);
}

// --- pictures

function pictureInput(input, place, limits, hooks) {
  return pictureZone(input, (pictures[place] ??= {}), limits, hooks);
}

function swap({ onChange }) {
  const [first, second] = zones.map(({ held }) => ({ ...held }));
  [second, first].forEach((picture, index) => {
    zones[index].held.url = null; // it moves, and is not given up
    zones[index].put(picture);
  });
  onChange(true);
}

/** The zone that this node is in, else the first empty one, else the first. */
function zoneAt(node) {
  const empty = zones.find(({ value }) => !value());
  return zones.find(({ root }) => root.contains(node)) ?? empty ?? zones[0];
}

/** Several files fill the zones in order; what is left over is named. */
function takeAll(files, first) {
  if (!first) return;
  const into = zones.slice(zones.indexOf(first)).slice(0, files.length);
  const rest = `took ${into.length} of ${files.length}; for folders: python -m project predict`;
  into.forEach((zone, index) => zone.take(files[index], files.length > into.length ? rest : ""));
}

function mark(over) {
  for (const { root } of zones) root.classList.toggle("over", root === over?.root);
}

document.addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (!files.length || event.target.matches?.("textarea")) return; // rich text has a picture, too
  event.preventDefault();
  takeAll(files, zoneAt());
});

const carries = (event, type) => event.dataTransfer.types.includes(type);
const isOurs = (event) => carries(event, "Files") || (zones.length && carries(event, "text/uri-list"));

document.addEventListener("dragover", (event) => {
  if (!isOurs(event)) return;
  event.preventDefault(); // else a drop beside the frame would leave the page
  mark(zoneAt(event.target));
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) mark(null);
});
document.addEventListener("drop", (event) => {
  if (!isOurs(event)) return;
  event.preventDefault();
  mark(null);
  const { files } = event.dataTransfer;
  if (files.length) takeAll(files, zoneAt(event.target));
  else zoneAt(event.target).say("That is an address: drop the file itself.");
});

// --- texts

function textInput({ name, required, examples = [], max_length: ownMax }, place, limits, hooks) {
  const max = Math.min(ownMax ?? Infinity, limits.text_characters);
  const value = texts[place] ?? "";
  const area = element("textarea", { id: `input-${name}`, rows: 10, required, value });
  const counter = element("p", { id: `count-${name}`, className: "caption" });
  area.setAttribute("aria-describedby", counter.id);
  const count = () => {
    texts[place] = area.value;
    const length = [...area.value].length; // characters, as the server counts them
    const beyond = length - max;
    counter.textContent = `${length.toLocaleString("en")} of ${max.toLocaleString("en")} characters`;
    counter.classList.toggle("fault", beyond > 0);
    area.ariaInvalid = String(beyond > 0);
    area.setCustomValidity(beyond > 0 ? `Leave out ${beyond.toLocaleString("en")} characters.` : "");
  };
  area.fault = (words) => {
    counter.textContent = words;
    counter.classList.add("fault");
    area.ariaInvalid = "true";
    area.focus();
  };
  area.addEventListener("input", () => {
    count();
    hooks.onChange(false, name);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) area.form.requestSubmit();
  });
  count();
  const root = element("div", { className: "input text" }, area, counter);
  if (examples.length) {
    const chips = examples.map((example) => button(example, () => use(area, example), "chip"));
    root.append(element("p", { className: "hint chips" }, "Example ", ...chips));
  }
  return { root, area, value: () => area.value };
}

function use(area, example) {
  area.value = example;
  area.dispatchEvent(new Event("input"));
  if (!hasAccounts()) area.form.requestSubmit();
}
