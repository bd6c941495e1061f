// The bench: the chosen model's inputs and parameters, and one prediction, job or stream at a time.

import { asJson, figureOf, show, showProblem, showTimings } from "./answer.js";
import { hasAccounts, predict, Problem } from "./client.js";
import { curlCommand, streamCommand } from "./curl.js";
import { announce, button, byId, copy, download, element } from "./dom.js";
import { given, hasPictures, offerInputs, useAsInput, zoneOf } from "./inputs.js";
import { light, paint } from "./overlay.js";
import { changes, offer, showFaults, showReset, values, write } from "./parameters.js";
import { rectangleOf } from "./schema.js";

const DRAWING = "image/png";
const CANCEL_AFTER = 400; // milliseconds; what is shorter needs none
const OUTCOMES = {
  cancelled: "Cancelled",
  failed: "The job failed",
  gone: "The server has this job no longer",
};

let model = null; // what /v1/models/{model} says of the chosen one
let underWay = null; // { stop(), jobId } of the prediction or the job whose answer is awaited
let answered = null; // { asked, result, model } of the answer that is shown
let rectangle = null; // over the picture, where the parameters have one
let live = null; // the camera, while it runs

/** Show another model: its inputs, its parameters, and an empty answer. */
export async function chooseModel(detail) {
  underWay?.stop();
  live?.stop();
  [model, underWay, rectangle] = [detail, null, null];
  offer(byId("parameters"), model.parameters_schema);
  offerInputs(byId("inputs"), model, { onChange: inputChanged, onCamera: startCamera });
  byId("run").hidden = false;
  byId("as-job").hidden = model.background || !model.jobs;
  clearAnswer();
  inputChanged(true);
}

/**
 * A model of pictures alone runs as soon as they are there; any other at the press of a button, as
 * do all where each prediction counts for a user.
 */
function runsByItself() {
  const { inputs, background } = model;
  const ofPictures = inputs.some(({ required }) => required) && inputs.every(({ kind }) => kind === "image");
  return ofPictures && !background && !hasAccounts();
}

function inputChanged(complete, name) {
  showCommand();
  if (live && name && name !== live.name) return live.setInput(name);
  if (!complete) return;
  live?.stop(); // another picture has taken its stage
  showRectangle();
  if (runsByItself() && hasPictures()) guarded(run)();
}

async function parametersChanged() {
  if (live) return live.setParameters(values());
  if (runsByItself() && hasPictures()) await run();
}

// --- what is sent

const asked = () => ({ model, inputs: given(), parameters: values() });
const mayRun = () => byId("run").ariaDisabled !== "true" && byId("request").reportValidity();

/** Begin; a run that another has overtaken shows nothing. Returns what to end it with. */
function begin(stop, words) {
  underWay?.stop();
  const mine = (underWay = { stop });
  showFaults({});
  byId("answer").ariaBusy = "true";
  if (words) mine.timer = setTimeout(() => setCancel(words), CANCEL_AFTER);
  return mine;
}

function end(mine) {
  clearTimeout(mine.timer);
  if (underWay !== mine) return;
  underWay = null;
  byId("answer").ariaBusy = "false";
  setCancel("");
}

function setCancel(words) {
  const button = byId("cancel");
  if (!words && document.activeElement === button) byId("run").focus();
  button.textContent = words || "Cancel";
  button.classList.toggle("away", !words);
}

async function run() {
  if (live) return; // its frames have what is in the fields already
  if (model.background) return submit();
  if (!mayRun()) return;
  const controller = new AbortController();
  const mine = begin(() => controller.abort(), "Cancel");
  const sent = asked();
  try {
    const [accept] = model.result.media_types;
    const answer = await predict(model, sent, accept, controller.signal);
    if (underWay === mine) await present(sent, answer);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  } finally {
    end(mine);
  }
}

async function submit(key) {
  if (!mayRun()) return;
  const sent = asked();
  const jobs = await import("./jobs.js");
  const mine = begin(() => {}, "");
  key ??= jobs.newKey();
  try {
    const job = await jobs.submit(sent, key, (change) => jobChanged(mine, sent, change));
    mine.jobId = job.id;
    setCancel("Cancel");
  } catch (error) {
    end(mine);
    if (!(error instanceof Problem)) throw error;
    clearAnswer();
    showProblem(error, guarded(() => submit(key))); // the same key: an answer may have been lost
  }
}

/** The job whose answer is awaited has changed. */
async function jobChanged(mine, sent, { job, result, progressOf }) {
  if (underWay !== mine || model !== sent.model) return;
  if (job.status === "accepted" || job.status === "running") {
    clearAnswer();
    byId("result").replaceChildren(...progressOf(job));
    byId("answer").ariaBusy = "false";
    setCancel(job.cancel_requested ? "Cancelling…" : "Cancel");
    return;
  }
  end(mine);
  if (job.status === "succeeded") {
    await present(sent, { result: await result(), stages: stagesOf(job.seconds), roundTrip: null });
  } else {
    clearAnswer();
    const detail = "Nothing was made. Run it again when you like.";
    const problem = job.status === "failed" ? job.problem : null;
    showProblem(new Problem({ title: OUTCOMES[job.status], detail, ...problem }), null);
  }
}

function pressCancel() {
  if (!underWay) return;
  if (!underWay.jobId) return underWay.stop();
  const { jobId } = underWay;
  setCancel("Cancelling…");
  return import("./jobs.js").then(({ cancel }) => cancel(jobId));
}

// --- what is answered

async function present(sent, { result, stages, roundTrip }) {
  const isPicture = result instanceof Blob;
  const zone = zoneOf();
  const figure = isPicture && (await figureOf(result, describe(sent), zone?.held.width ? zone.held : null));
  if (model !== sent.model) return;
  clearAnswer();
  answered = { sent, result };
  let sentence = "The picture is here.";
  if (isPicture) {
    byId("result").replaceChildren(figure);
    const file = new File([result], `${model.name}.png`, { type: result.type });
    if (zone) figure.lastChild.append(button("Use as input", () => useAsInput(file), "quiet"));
  } else {
    sentence = showResult(result, zone);
  }
  announce(sentence);
  byId("save").hidden = !isPicture && !model.draws;
  showTimings(stages, roundTrip);
}

/** Show a result in rows, and its boxes over the picture. Returns a sentence. */
function showResult(result, zone) {
  const onLight = (number) => zone && light(zone.layer, number);
  const { sentence, shapes } = show(byId("result"), model.result.schema, result, onLight);
  if (zone?.held.width) {
    const left = paint(zone.layer, shapes, zone.held);
    if (left) byId("result").append(element("p", { className: "hint" }, `${left} more are not drawn.`));
  }
  byId("json").hidden = false;
  byId("json-text").textContent = asJson(result);
  return sentence;
}

/** A picture in words: which model made it, and of what. */
function describe({ inputs, model: { name } }) {
  const sources = inputs.map(({ value }) => value.name ?? value);
  const words = (value) => (value.json === undefined ? value : JSON.stringify(value.json));
  const changed = Object.entries(changes()).map(([key, value]) => `${key} ${words(value)}`);
  return [`Picture by ${name}`, ...sources, ...changed].join(", ");
}

const stagesOf = (seconds) =>
  Object.entries(seconds).map(([name, value]) => ({ name, milliseconds: value * 1000 }));

async function save() {
  const { sent, result } = answered;
  const isPicture = result instanceof Blob;
  const blob = isPicture ? result : (await predict(sent.model, sent, DRAWING)).result;
  const suffix = blob.type.split("/")[1].replace("jpeg", "jpg");
  download(blob, `${sent.model.name}.${suffix}`);
}

function clearAnswer() {
  const answer = byId("answer");
  const hadFocus = byId("answer-body").contains(document.activeElement);
  const ours = byId("result").querySelectorAll("figure img:not(.original)");
  for (const { src } of ours) URL.revokeObjectURL(src);
  byId("problem").replaceChildren();
  byId("result").replaceChildren();
  zoneOf()?.layer.replaceChildren();
  for (const id of ["json", "timings", "save"]) byId(id).hidden = true;
  answered = null;
  const { activeElement } = document;
  if (hadFocus && !(answer.contains(activeElement) && activeElement.checkVisibility())) {
    byId("answer-title").focus(); // not the body: what had the focus is gone
  }
}

/** That function, with what it throws shown on the page. */
export function guarded(action) {
  return async (...args) => {
    try {
      await action(...args);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      clearAnswer();
      showProblem(error, () => guarded(action)(...args));
    }
  };
}

// --- the rectangle and the camera

async function showRectangle() {
  const group = rectangleOf(model.parameters_schema);
  const zone = group && zoneOf(group.input);
  if (!zone?.held.width || rectangle) return rectangle?.show();
  const mine = model;
  const parts = await import("./rectangle.js");
  if (mine !== model || rectangle) return;
  const read = () => group.fields.map((name) => Number(values()[name] ?? 0));
  rectangle = parts.rectangle(zone.frame, read, (shares, isDone) => {
    write(Object.fromEntries(group.fields.map((name, index) => [name, shares[index]])));
    const { children } = byId("parameters");
    children[0].dispatchEvent(new Event("input", { bubbles: true }));
    if (isDone) children[0].dispatchEvent(new Event("change", { bubbles: true }));
  });
}

async function startCamera(zone) {
  const mine = model;
  const { startLive } = await import("./live.js");
  if (mine !== model) return;
  underWay?.stop();
  live?.stop();
  clearAnswer();
  live = startLive(zone, model, {
    parameters: values,
    onAnswer({ result, seconds }) {
      byId("problem").replaceChildren();
      const onLight = (number) => light(zoneOf().layer, number);
      const { brief } = show(byId("result"), model.result.schema, result, onLight);
      announce(brief, { live: true });
      showTimings(stagesOf(seconds), null);
    },
    onProblem: (problem) => showProblem(problem, null),
    onSnapshot: (file) => zone.take(file),
    onStop() {
      live = null;
      showCommand();
    },
  });
  showCommand();
}

// --- the command, and what Run does

function showCommand() {
  if (!model) return;
  const parameters = changes();
  const isJob = model.background;
  const url = new URL(isJob ? model.jobs : model.predictions, location.origin);
  const [accept] = model.result.media_types;
  const isPicture = accept.startsWith("image/") && !isJob;
  const answer = isPicture ? { headers: { Accept: accept }, output: `result.${accept.split("/")[1]}` } : {};
  const command = { inputs: commandInputs(), parameters, withKey: hasAccounts(), ...answer };
  byId("curl").textContent = live?.isStream
    ? streamCommand(url, model, parameters)
    : curlCommand(url, model, command);
  byId("copy").disabled = false;
  byId("run").textContent = live ? "Stop" : isJob ? "Run as a job" : "Run";
  byId("run").type = live ? "button" : "submit"; // Enter in a field presses it only where it runs
}

/** The inputs that are there, and examples in place of those that the model requires besides. */
function commandInputs() {
  const there = new Map(given().map((input) => [input.name, input]));
  return model.inputs
    .filter(({ name, required }) => required || there.has(name))
    .map((input) => there.get(input.name) ?? { ...input, value: placeholder(input) });
}

function placeholder({ name, kind, examples }) {
  if (kind !== "image") return examples?.[0] ?? "some text";
  const isOnly = model.inputs.filter((input) => input.kind === "image").length === 1;
  return new File([], isOnly ? "photo.jpg" : `${name}.jpg`, { type: "image/jpeg" });
}

byId("copy").addEventListener("click", ({ target }) => copy(target, byId("curl").textContent, byId("curl")));
byId("json-copy").addEventListener("click", ({ target }) =>
  copy(target, JSON.stringify(answered?.result, null, 2), byId("json-text")),
);
byId("save").addEventListener("click", guarded(save));
byId("cancel").addEventListener("click", guarded(pressCancel));
byId("as-job").addEventListener("click", guarded(() => submit()));
byId("run").addEventListener("click", (event) => {
  if (!live) return;
  event.preventDefault(); // it submits again once nothing is live
  live.stop();
});
byId("request").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(run)();
});
byId("parameters").addEventListener("input", () => {
  showCommand();
  showReset(byId("parameters"));
  rectangle?.show();
});
byId("parameters").addEventListener("change", guarded(parametersChanged));
