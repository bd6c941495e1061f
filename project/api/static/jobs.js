// Jobs of this visit: submitted, followed by their events, cancelled, shown in a gallery.

import { changeJob, events, getJson, pollJob, submitJob } from "./client.js";
import { announce, button, byId, download, element, store, stored } from "./dom.js";
import { useAsInput, zoneOf } from "./inputs.js";

const MAX_JOBS = 24;
const MAX_STREAMS = 3; // over HTTP/1.1 a browser has six connections to a host, for all its tabs
const EVERY = 2_000; // milliseconds between two looks at a job without a stream
const MAX_PAUSE = 30_000; // milliseconds until a stream that fails is asked for again
const KEY = "vitrine.jobs";
const ENDED = ["succeeded", "failed", "cancelled"];

const jobs = new Map(); // id → { id, view, item, onChange, etag, lastId, stop and failures of its stream, asks }
let streams = 0;
let timer = null;

/** A new Idempotency-Key; randomUUID lacks over plain http. */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Submit a job and follow it. sent: { model, inputs, parameters }. onChange({ job, result(),
 * progressOf(job) }): it has changed; result(): its result as a Blob or what its JSON says;
 * progressOf(job): as elements. Returns the job.
 */
export async function submit(sent, key, onChange) {
  const view = await submitJob(sent.model, sent, key);
  announce("The job is accepted.");
  add(view, onChange);
  return view;
}

/** Show and follow the jobs that this tab remembers. */
export async function resume() {
  const ids = JSON.parse(stored("sessionStorage", KEY) ?? "[]");
  const views = await Promise.allSettled(ids.map((id) => getJson(pathOf(id))));
  for (const { value } of views.reverse()) if (value && !jobs.has(value.id)) add(value);
}

/** Cancel a job, before or while it runs. */
export async function cancel(id) {
  changed(jobs.get(id), await changeJob(pathOf(id), "DELETE"));
}

const pathOf = (id) => `/v1/jobs/${id}`;

function add(view, onChange = () => {}) {
  if (jobs.has(view.id)) {
    jobs.get(view.id).onChange = onChange;
    return;
  }
  const job = { id: view.id, item: element("li"), onChange, failures: 0, asks: 0 };
  jobs.set(job.id, job);
  byId("gallery").prepend(job.item);
  byId("visit").hidden = false;
  for (const old of [...jobs.keys()].slice(0, -MAX_JOBS)) forget(jobs.get(old));
  remember();
  changed(job, view);
  follow();
}

const remember = () => store("sessionStorage", KEY, JSON.stringify([...jobs.keys()].reverse()));

function forget(job) {
  job.stop?.();
  job.item.remove();
  jobs.delete(job.id);
  remember();
}

// --- following

const waiting = () => [...jobs.values()].filter(({ view }) => !ENDED.includes(view.status)).reverse();

/** Give the newest jobs a stream each, and look at the others every two seconds. */
function follow() {
  clearTimeout(timer);
  if (document.hidden) {
    for (const job of jobs.values()) job.stop?.();
    return;
  }
  for (const job of waiting()) if (!job.stop && streams < MAX_STREAMS) stream(job);
  const others = waiting().filter(({ stop }) => !stop);
  if (others.length) timer = setTimeout(() => Promise.all(others.map(poll)).finally(follow), EVERY);
}

async function stream(job) {
  const controller = new AbortController();
  job.stop = () => controller.abort();
  streams += 1;
  try {
    for await (const { id, data } of events(`${pathOf(job.id)}/events`, job.lastId, controller.signal)) {
      [job.lastId, job.failures] = [id, 0];
      changed(job, data);
    }
    if (!ENDED.includes(job.view.status)) await poll(job);
  } catch (error) {
    if (error.name !== "AbortError") {
      job.failures += 1;
      await poll(job);
    }
  }
  streams -= 1;
  const pause = Math.min((EVERY / 4) * 2 ** job.failures, MAX_PAUSE);
  await new Promise((done) => setTimeout(done, pause));
  job.stop = null;
  follow();
}

async function poll(job) {
  try {
    const found = await pollJob(pathOf(job.id), job.etag);
    if (!found) return;
    job.etag = found.etag;
    changed(job, found.job);
  } catch (error) {
    if (error.status !== 404) return;
    forget(job);
    job.onChange({ job: { ...job.view, status: "gone" } });
  }
}

document.addEventListener("visibilitychange", follow);

// --- the gallery

function changed(job, view) {
  if (!job || JSON.stringify(job.view) === JSON.stringify(view)) return;
  const before = job.view?.status;
  job.view = view;
  draw(job);
  if (ENDED.includes(view.status) && before && before !== view.status) announce(`Job ${view.status}.`);
  job.onChange({ job: view, result: () => resultOf(view), progressOf });
}

async function resultOf({ id, result: { media_type: type } }) {
  const { data } = await getJson(`${pathOf(id)}/result?inline=base64`);
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return type.startsWith("image/") ? new Blob([bytes], { type }) : JSON.parse(new TextDecoder().decode(bytes));
}

function draw(job) {
  const { view, item } = job;
  const { status, model, params, cancel_requested: isCancelling } = view;
  const isOver = ENDED.includes(status);
  const hadFocus = item.contains(document.activeElement);
  const words = Object.values(params).find((value) => typeof value === "string") ?? "";
  item.dataset.status = status;
  item.replaceChildren(
    isOver ? outcome(job) : thumb(...progressOf(view)),
    element("strong", {}, model),
    element("span", { className: "caption", title: words }, words || "\u00a0"),
    element("div", { className: "row-of-buttons" }, ...actions(job, isOver, isCancelling)),
  );
  if (hadFocus) (item.querySelector("button, a") ?? byId("visit-title")).focus();
}

const thumb = (...parts) => element("div", { className: "thumb" }, ...parts);

function progressOf({ status, progress }) {
  const bar = element("progress", { max: 1, ariaLabel: "Progress of the job" });
  if (status === "running") bar.value = progress;
  const words = status === "running" ? `${Math.round(progress * 100)} %` : "waits for a worker";
  return [bar, element("p", { className: "caption" }, words)];
}

function outcome(job) {
  const { status, result, problem, model } = job.view;
  if (status !== "succeeded") {
    const words = status === "failed" ? (problem?.detail ?? problem?.title ?? "failed") : "cancelled";
    return thumb(element("span", { className: "caption" }, `✕ ${words}`));
  }
  if (!result) return thumb("deleted by now");
  if (!result.media_type.startsWith("image/")) return thumb("✓ done");
  const image = element("img", { alt: `Picture by ${model}: ${summary(job.view)}`, className: "thumb" });
  const load = async () => {
    const { url } = await getJson(`${pathOf(job.id)}/result?redirect=false`);
    [image.src, job.url] = [url, url];
    const save = job.item.querySelector("a");
    if (save) save.href = url;
  };
  image.addEventListener("error", () => job.asks++ < 1 && load().catch(() => {})); // it has expired
  load().catch(() => {});
  return image;
}

const summary = ({ params }) => Object.entries(params).map((pair) => pair.join(" ")).join(", ");

function actions(job, isOver, isCancelling) {
  const { status, result } = job.view;
  const stop = button(isCancelling ? "Cancelling…" : "Cancel", ({ target }) => {
    target.textContent = "Cancelling…";
    cancel(job.id).catch(() => poll(job));
  });
  if (!isOver) return [stop];
  if (status === "failed") return [button("Try again", () => retry(job))];
  if (status !== "succeeded" || !result) return [];
  if (!result.media_type.startsWith("image/")) return [button("Save", () => saveJson(job))];
  const link = element("a", { href: job.url ?? "#visit", download: "", className: "choice" }, "Save");
  return [link, button("Use as input", () => reuse(job))];
}

async function retry(job) {
  try {
    changed(job, await changeJob(`${pathOf(job.id)}/retry`, "POST"));
    follow();
  } catch (error) {
    announce(error.detail ?? "That did not work.");
  }
}

async function saveJson({ view }) {
  const blob = new Blob([JSON.stringify(await resultOf(view), null, 2)], { type: "application/json" });
  download(blob, `${view.model}.json`);
}

async function reuse({ view }) {
  const blob = await resultOf(view);
  await useAsInput(new File([blob], `${view.model}.png`, { type: blob.type }));
  if (zoneOf()) return;
  const { models } = await getJson("/v1/models");
  const next = models.find(({ inputs }) => inputs.some(({ kind }) => kind === "image"));
  if (next) location.hash = next.name;
}
