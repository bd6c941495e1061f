// Forms of accounts: labelled fields, the server's faults at them, and one press at a time.

import { Problem } from "./client.js";
import { element, when } from "./dom.js";

let made = 0; // forms, for the ids of their fields

/**
 * A form. fields: [{ name, label, hint, … properties of the input }] or elements. onSubmit(values,
 * form): a Problem that it throws stands at the fields that it names, and else above the button.
 */
export function form(fields, words, onSubmit) {
  const prefix = `form-${++made}`;
  const entries = fields.map((one) => (one instanceof Element ? { root: one } : field(prefix, one)));
  const alert = element("p", { className: "hint fault" });
  alert.role = "alert";
  const press = element("button", { className: "button" }, words);
  const root = element("form", { className: "account-form", noValidate: true });
  root.append(...entries.map((entry) => entry.root), alert, press);
  root.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (press.ariaDisabled) return;
    press.ariaDisabled = "true";
    alert.textContent = "";
    for (const { fault } of entries) fault?.("");
    try {
      await onSubmit(given(root), root);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      alert.textContent = showFaults(entries, error);
    }
    press.ariaDisabled = null;
  });
  return root;
}

/** A problem in one sentence; of a limit, when it ends. */
export const sentence = ({ detail, after }) =>
  `${detail[0].toUpperCase()}${detail.slice(1)}.${after ? ` Again ${when(after)}.` : ""}`;

/** What is filled in; the server says what is missing. */
const given = (root) => Object.fromEntries([...new FormData(root)].filter(([, value]) => value));

/** Returns what has no field. */
function showFaults(entries, problem) {
  const faults = Object.entries(problem.errors).map(([path, words]) => [
    path.split(".").at(-1),
    words.replace(/^Value error, /, ""),
  ]);
  const places = faults.map(([name, words]) => [entries.find((entry) => entry.name === name), name, words]);
  for (const [entry, , words] of places) entry?.fault(words);
  const [first] = places.find(([entry]) => entry) ?? [];
  first?.input.focus();
  const rest = places.filter(([entry]) => !entry).map(([, name, words]) => `${name}: ${words}`);
  return rest.length ? rest.join("; ") : first ? "" : sentence(problem);
}

function field(prefix, { name, label, hint = "", ...properties }) {
  const id = `${prefix}-${name}`;
  const input = element("input", { type: "text", id, name, ...properties });
  const note = element("p", { id: `${id}-hint`, className: "hint" }, hint);
  input.setAttribute("aria-describedby", note.id);
  const fault = (words) => {
    note.textContent = words || hint;
    note.classList.toggle("fault", Boolean(words));
    input.ariaInvalid = words ? "true" : null;
  };
  const words = element("label", { className: "name", htmlFor: id }, label);
  return { name, input, fault, root: element("div", { className: "field" }, words, input, note) };
}
