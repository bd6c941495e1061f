// Ties the page together: the address chooses the model, and the bench runs it.

import { chooseModel, guarded } from "./bench.js";
import { getJson } from "./client.js";
import { announce, byId, element, store, stored } from "./dom.js";
import { watchReadiness } from "./readiness.js";
import { isLive } from "./schema.js";

const LOAD_SECONDS = 2; // until a model whose weights are being read is asked for again
const LAST = "vitrine.model";

let models = []; // what /v1/models says
let shown = ""; // the name of the chosen model
let waiting = null;
let session = null; // where accounts are on

async function start() {
  const { models: served, docs, accounts } = await getJson("/metadata");
  models = served;
  byId("docs-link").hidden = !docs;
  if (accounts) (session = await import("./session.js")).begin(accounts, resetToken());
  byId("models").replaceChildren(...models.map(modelLink), ...legend());
  await choose();
  document.body.classList.remove("loading");
  watchMonitor();
  if (stored("sessionStorage", "vitrine.jobs")) (await import("./jobs.js")).resume();
}

/** The token of a link that resets a password; neither the address nor the history keeps it. */
function resetToken() {
  const [, token] = location.hash.match(/^#reset=(.+)/) ?? [];
  if (token) history.replaceState(null, "", location.pathname);
  return token;
}

function modelLink(model) {
  const { name, summary, background } = model;
  const link = element("a", { href: `#${name}`, title: summary }, name);
  if (isLive(model)) link.append(mark("live"), element("span", { className: "unseen" }, " live"));
  if (background) link.append(mark("job"), element("span", { className: "unseen" }, " as a job"));
  return link;
}

const mark = (kind) => element("i", { className: `mark ${kind}`, ariaHidden: "true" });

function legend() {
  const signs = [
    models.some(isLive) && "live",
    models.some(({ background }) => background) && "job",
  ].filter(Boolean);
  return signs.map((sign) =>
    element("span", { className: "legend", ariaHidden: "true" }, mark(sign), sign),
  );
}

/** The model of the address, else the last used, else the first for a camera, else one at once. */
function wanted() {
  const last = stored("localStorage", LAST);
  const finds = ({ result }) => result.kinds.some((kind) => kind === "box" || kind === "point");
  return (
    models.find(({ name }) => location.hash === `#${encodeURIComponent(name)}`) ??
    models.find(({ name }) => name === last) ??
    models.find((model) => isLive(model) && finds(model)) ??
    models.find(({ background }) => !background) ??
    models[0]
  );
}

async function choose() {
  clearTimeout(waiting);
  const { name } = wanted();
  for (const link of byId("models").querySelectorAll("a")) {
    link.ariaCurrent = link.hash === `#${name}` ? "page" : null;
    if (link.ariaCurrent) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  const model = await getJson(`/v1/models/${encodeURIComponent(name)}`);
  if (wanted().name !== name) return; // another was chosen meanwhile
  store("localStorage", LAST, name);
  if (!location.hash) history.replaceState(null, "", `#${name}`); // so that Back finds it
  const facts = [`${model.name} ${model.version}`, model.backend, model.licence];
  const { length } = model.labels;
  if (length > 1) facts.push(`${length.toLocaleString("en")} labels`);
  if (model.loaded === false) facts.push("not loaded: the weights are being read");
  byId("summary").textContent = model.summary;
  byId("facts").replaceChildren(...facts.map((fact) => element("li", {}, fact)));
  const isNew = shown !== name;
  shown = name;
  if (isNew) await chooseModel(model);
  if (model.loaded !== false) return;
  if (isNew) announce("The weights are being read.");
  waiting = setTimeout(() => choose().catch(() => {}), LOAD_SECONDS * 1000);
}

/** The panel of the server costs it requests, so it begins when it is seen. */
function watchMonitor() {
  let monitor = null;
  const observer = new IntersectionObserver(async (seen) => {
    if (!monitor && !seen.at(-1).isIntersecting) return;
    monitor ??= import("./monitor.js");
    (await monitor).watch(seen.at(-1).isIntersecting);
  });
  observer.observe(byId("monitor"));
}

function addressChanged() {
  const reset = session && resetToken();
  if (reset) session.setPassword(reset);
  else return models.length && choose();
}

addEventListener("hashchange", guarded(addressChanged));
watchReadiness();
guarded(start)();
