// Shows a problem in the answer, its faults at their fields, and when to try again.

import { button, byId, copy, element } from "./dom.js";
import { showInputFaults } from "./inputs.js";
import { showFaults } from "./parameters.js";

let counting = null;

/** again(): runs the same once more; null where that cannot help. */
export function showProblem(problem, again) {
  const { title, detail, errors, status, requestId, retry, after } = problem;
  const parts = [element("h3", {}, title), element("p", {}, detail)];
  const withoutInput = showInputFaults(errors);
  const withoutPlace = showFaults(errors).filter((name) => withoutInput.includes(name));
  const faults = withoutPlace.map((name) => element("li", {}, element("code", {}, name), ` ${errors[name]}`));
  if (faults.length) parts.push(element("ul", {}, ...faults));
  if (requestId) {
    const id = element("code", {}, requestId);
    const copyId = button("Copy", ({ target }) => copy(target, requestId, id), "quiet");
    copyId.ariaLabel = "Copy the request's id";
    parts.push(element("p", { className: "hint" }, `status ${status}, request_id `, id, " ", copyId));
  }
  if (retry && again) parts.push(button("Try again", again));
  byId("waiting").hidden = true;
  byId("problem").replaceChildren(...parts);
  if (status === 429 && after) holdRun(after);
}

/** Run keeps the focus while it has to wait, and enables itself. */
function holdRun(seconds) {
  clearTimeout(counting);
  const run = byId("run");
  const tick = (left) => {
    run.ariaDisabled = left > 0 ? "true" : null;
    byId("bar-note").textContent = left > 0 ? `Again ${when(left)}.` : "";
    if (left > 0) counting = setTimeout(() => tick(left - 1), 1000);
  };
  tick(Math.ceil(seconds));
}

function when(seconds) {
  if (seconds < 3600) return `in ${seconds} s`;
  const at = new Date(Date.now() + seconds * 1000);
  return `on ${at.toLocaleDateString("en", { day: "numeric", month: "long" })}`;
}
