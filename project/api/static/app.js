// Ties the page together: the chosen model, its inputs, one prediction at a time.

import { getJson, predict, Problem } from "./client.js";
import { curlCommand } from "./curl.js";
import { byId, element } from "./dom.js";
import { canOffer, given, hasPictures, offerInputs } from "./inputs.js";
import { watch } from "./live.js";
import { changes, offer, values } from "./parameters.js";
import { asJson, present } from "./result.js";
import { showTimings } from "./timings.js";

const DRAWING = "image/png";
const AS_JOB = { Prefer: "respond-async" };

let models = []; // what /v1/models says
let model = null; // what /v1/models/{model} says of the chosen one
let fieldless = {}; // its parameters that are required and have no field: { name: example }
let underWay = null; // AbortController of the prediction that runs

// --- the model

async function start() {
  ({ models } = await getJson("/v1/models"));
  byId("models").replaceChildren(...models.map(modelLink));
  byId("models").hidden = models.length < 2;
  await choose();
}

function modelLink({ name, summary, background }) {
  const title = element("strong", {}, name);
  if (background) title.append(element("small", {}, " as a job"));
  return element("a", { href: `#${name}` }, title, element("span", {}, summary));
}

/** The one that the address names, else the first that answers at once, else the first. */
function wanted() {
  const named = models.find(({ name }) => `#${name}` === location.hash);
  return named ?? models.find(({ background }) => !background) ?? models[0];
}

async function choose() {
  const { name } = wanted();
  for (const link of byId("models").children) {
    link.ariaCurrent = link.hash === `#${name}` ? "page" : null;
    if (link.ariaCurrent) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  const detail = await getJson(`/v1/models/${encodeURIComponent(name)}`);
  if (wanted().name !== name) return; // another was chosen meanwhile
  underWay?.abort();
  model = detail;
  byId("summary").textContent = model.summary;
  const which = models.length > 1 ? "version" : model.name; // the links name it already
  const facts = [`${which} ${model.version}`, model.backend, model.licence];
  if (model.labels.length) facts.push(`${model.labels.length.toLocaleString("en")} labels`);
  if (model.loaded === false) facts.push("not loaded");
  byId("facts").replaceChildren(...facts.map((fact) => element("li", {}, fact)));
  fieldless = offer(byId("parameters"), model.parameters_schema);
  const obstacle = obstacleToRun();
  offerInputs(byId("inputs"), obstacle ? { ...model, inputs: [] } : model, inputChanged);
  byId("obstacle").textContent = obstacle;
  byId("obstacle").hidden = !obstacle;
  byId("bench").hidden = Boolean(obstacle);
  byId("run").hidden = byId("run").disabled = runsByItself(); // disabled, so Enter skips it
  clearAnswer();
  showCommand();
  if (runsByItself()) await run();
}

/** Why the page cannot run the chosen model; empty where it can. */
function obstacleToRun() {
  if (model.background) {
    return (
      `This page cannot run ${model.name} yet. It takes longer than a browser should wait, so it ` +
      "runs as a job: this command submits one, and its answer has the job's id."
    );
  }
  const unknown = model.inputs.filter((input) => !canOffer(input)).map(({ name }) => name);
  const names = [...unknown, ...Object.keys(fieldless)].join(", ");
  const words = `This page cannot run ${model.name} yet: it has no field for ${names}.`;
  return names && `${words} This command sends an example.`;
}

/** A model of pictures alone runs as soon as they are there; any other at the press of a button. */
function runsByItself() {
  const { inputs } = model;
  return inputs.some(({ required }) => required) && inputs.every(({ kind }) => kind === "image");
}

function inputChanged(complete) {
  showCommand();
  if (complete && runsByItself()) guarded(run)();
}

// --- the prediction

/** Predict; a run that another has overtaken shows nothing. */
async function run() {
  if (!model || !byId("bench").checkVisibility()) return;
  if (runsByItself() && !hasPictures()) return;
  if (!byId("request").reportValidity()) return;
  underWay?.abort();
  const mine = (underWay = new AbortController());
  const asked = { inputs: given(), parameters: values(byId("parameters")) };
  const { name, result: { kinds, media_types: [accept] }, draws } = model;
  const description = describe(name, asked.inputs);
  byId("answer").ariaBusy = "true";
  try {
    const answer = await predict(model, asked, accept, mine.signal);
    const drawing = draws ? await predict(model, asked, DRAWING, mine.signal) : null;
    const { result, stages, roundTrip } = answer;
    const found = { kinds, result, drawing: drawing?.result, description, name };
    const { parts, sentence } = await present(found);
    if (mine.signal.aborted) return;
    clearAnswer();
    byId("waiting").hidden = true;
    byId("result").replaceChildren(...parts);
    byId("announcement").textContent = sentence;
    byId("json").hidden = result instanceof Blob;
    byId("json-text").textContent = result instanceof Blob ? "" : asJson(result);
    showTimings(stages, roundTrip);
  } catch (error) {
    if (!mine.signal.aborted) throw error;
  } finally {
    if (underWay === mine) byId("answer").ariaBusy = "false";
  }
}

/** A picture in words: which model made it, and of what. */
function describe(name, inputs) {
  const sources = inputs.map(({ value }) => value.name ?? value);
  const changed = Object.entries(changes(byId("parameters"))).map((pair) => pair.join(" "));
  return [`Picture by ${name}`, ...sources, ...changed].join(", ");
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

function clearAnswer() {
  for (const { src } of byId("result").querySelectorAll("img")) URL.revokeObjectURL(src);
  byId("problem").replaceChildren();
  byId("announcement").textContent = "";
  byId("result").replaceChildren();
  byId("json").hidden = true;
  byId("timings").hidden = true;
  byId("waiting").hidden = false;
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
  clearAnswer();
  byId("bench").hidden = false; // the problem is shown there
  byId("waiting").hidden = true;
  byId("problem").replaceChildren(...parts);
}

// --- the command

function showCommand() {
  if (!model) return;
  const url = new URL(model.predictions, location.origin);
  const parameters = { ...changes(byId("parameters")), ...fieldless };
  const [accept] = model.result.media_types;
  const answer = accept.startsWith("image/")
    ? { headers: { Accept: accept }, output: `result.${accept.split("/")[1]}` }
    : {};
  const how = model.background ? { headers: AS_JOB } : answer;
  const inputs = commandInputs();
  byId("curl").textContent = curlCommand(url, model, { inputs, parameters, ...how });
  byId("copy").disabled = false;
}

/** The inputs that are there, and examples in place of those that the model requires besides. */
function commandInputs() {
  const there = new Map(given().map((input) => [input.name, input]));
  return model.inputs
    .filter(({ name, required }) => required || there.has(name))
    .map((input) => there.get(input.name) ?? { ...input, value: placeholder(input) });
}

function placeholder({ name, kind, example }) {
  if (kind !== "image") return example ?? "some text";
  const isOnly = model.inputs.filter((input) => input.kind === "image").length === 1;
  return new File([], isOnly ? "photo.jpg" : `${name}.jpg`, { type: "image/jpeg" });
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

byId("request").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(run)();
});
byId("parameters").addEventListener("input", showCommand);
byId("parameters").addEventListener("change", () => {
  if (runsByItself()) guarded(run)();
});
addEventListener("hashchange", guarded(() => models.length && choose()));
watch();
guarded(start)();
