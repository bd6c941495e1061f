// Ties the page together: the chosen model, the picture, one prediction at a time.

import { getJson, predict, Problem } from "./client.js";
import { curlCommand } from "./curl.js";
import { byId, bytes, element } from "./dom.js";
import { watch } from "./live.js";
import { changes, offer, values } from "./parameters.js";
import { show } from "./result.js";
import { showTimings } from "./timings.js";

let model = null; // what /v1/models/{model} says of the chosen one
let picture = null; // the File that is shown
let underWay = null; // AbortController of the prediction that runs

// --- the model

async function start() {
  const { models } = await getJson("/v1/models");
  const quick = models.filter(({ predictions }) => predictions); // the others work as jobs alone
  const options = quick.map(({ name }) => element("option", { value: name }, name));
  byId("model").replaceChildren(...options);
  byId("model-choice").hidden = quick.length < 2;
  if (quick.length) await choose(quick[0].name);
  else throw new Problem({
    title: "No model here predicts at once",
    detail: `as a job, there are: ${models.map(({ name }) => name).join(", ")}; see /docs`,
  });
}

async function choose(name) {
  const detail = await getJson(`/v1/models/${encodeURIComponent(name)}`);
  if (byId("model").value !== name) return; // another was chosen meanwhile
  model = detail;
  byId("summary").textContent = model.summary;
  const which = byId("model").length > 1 ? "version" : model.name; // the choice names it already
  const facts = [`${which} ${model.version}`, model.backend, model.licence];
  if (model.labels.length) facts.push(`${model.labels.length.toLocaleString("en")} labels`);
  if (!model.loaded) facts.push("not loaded");
  byId("facts").replaceChildren(...facts.map((fact) => element("li", {}, fact)));
  offer(byId("parameters"), model.parameters_schema);
  showCommand();
  if (picture) await run();
}

// --- the picture

function take(file) {
  if (!file) return;
  picture = file;
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.alt = `The picture that was sent: ${file.name}`;
  preview.hidden = false;
  byId("invitation").hidden = true;
  byId("again").hidden = false;
  caption(bytes(file.size));
  showCommand();
  guarded(run)();
}

function caption(words) {
  byId("caption").replaceChildren(element("strong", {}, picture.name), ` ${words}`);
}

byId("preview").addEventListener("load", ({ target }) => {
  caption(`${target.naturalWidth} × ${target.naturalHeight} pixels, ${bytes(picture.size)}`);
});
byId("preview").addEventListener("error", ({ target }) => {
  target.hidden = true;
  byId("invitation").hidden = false;
  byId("again").hidden = true;
  caption(`${bytes(picture.size)}, which this browser cannot show`);
});

byId("file").addEventListener("change", ({ target }) => {
  take(target.files[0]);
  target.value = ""; // the same file may be chosen again
});

document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) event.preventDefault();
  take(file);
});

document.addEventListener("dragover", (event) => {
  event.preventDefault(); // else a drop beside the frame would leave the page
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});

// --- the prediction

/** Predict; a run that another has overtaken shows nothing. */
async function run() {
  if (!model || !picture) return;
  if (!byId("parameters").reportValidity()) return;
  underWay?.abort();
  const mine = (underWay = new AbortController());
  byId("answer").ariaBusy = "true";
  try {
    const answer = await predict(model.predictions, picture, values(byId("parameters")), mine.signal);
    if (mine.signal.aborted) return;
    byId("problem").replaceChildren();
    byId("waiting").hidden = true;
    showTimings(answer.stages, answer.roundTrip);
    byId("announcement").textContent = show(byId("result"), answer.result);
  } catch (error) {
    if (!mine.signal.aborted) throw error;
  } finally {
    if (underWay === mine) byId("answer").ariaBusy = "false";
  }
}

/** That function, with what it throws shown on the page. */
function guarded(action) {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showProblem(error, () => guarded(action)(...given));
    }
  };
}

function showProblem(problem, again) {
  const parts = [element("h3", {}, problem.title), element("p", {}, problem.detail)];
  const faults = Object.entries(problem.errors).map(([name, fault]) =>
    element("li", {}, element("code", {}, name), ` ${fault}`),
  );
  if (faults.length) parts.push(element("ul", {}, ...faults));
  if (problem.requestId) {
    const id = element("code", {}, problem.requestId);
    parts.push(element("p", { className: "hint" }, `status ${problem.status}, request_id `, id));
  }
  if (problem.retry) {
    parts.push(element("button", { type: "button", onclick: again }, "Try again"));
  }
  byId("problem").replaceChildren(...parts);
  byId("announcement").textContent = "";
  byId("result").replaceChildren();
  byId("waiting").hidden = true;
  byId("timings").hidden = true;
}

// --- the command

function showCommand() {
  if (!model) return;
  const url = new URL(model.predictions, location.origin).href;
  const name = picture?.name ?? "photo.jpg";
  byId("curl").textContent = curlCommand(url, name, changes(byId("parameters")));
  byId("copy").disabled = false;
}

byId("copy").addEventListener("click", async ({ target }) => {
  try {
    await navigator.clipboard.writeText(byId("curl").textContent);
    target.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("curl")); // the clipboard is for https and localhost
    target.textContent = "Selected";
  }
  setTimeout(() => (target.textContent = "Copy"), 2_000);
});

byId("parameters").addEventListener("submit", (event) => event.preventDefault());
byId("parameters").addEventListener("input", showCommand);
byId("parameters").addEventListener("change", guarded(run));
byId("model").addEventListener("change", ({ target }) => guarded(choose)(target.value));
watch();
guarded(start)();
