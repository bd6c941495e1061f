// The panel of the server: while it is seen, /metrics is read every two seconds, and what changed shown.

import { fillRows } from "./answer.js";
import { request } from "./client.js";
import { byId, element, milliseconds } from "./dom.js";
import { buckets, increase, parse, quantile, select, sum } from "./prometheus.js";

const EVERY = 2_000; // milliseconds
const SPAN = 120_000; // what the sparklines show
const TIMEOUT = 10_000; // a read that takes longer has failed
const MAX_BARS = 5;
const OFF = {
  401: "Live figures are off here: /metrics asks for a token.",
  404: "Live figures are off here: /metrics is not on this port.",
};
const ENCODINGS = { multipart: "form", raw: "raw body", json: "JSON", text: "plain text" };
const TILES = {
  rate: "Requests per second",
  latency: "95th percentile latency",
  errors: "Errors",
  queue: "Predictions in the queue",
  workers: "Workers",
  predictions: "Predictions made",
};
const BARS = { labels: "Predictions by label", encodings: "Predictions by way of sending" };

const history = Object.fromEntries(Object.keys(TILES).map((name) => [name, []]));
let previous = null; // the last scrape: { at, samples }
let isOff = false;
let isSeen = false;
let isPaused = false;
let timer = null;
let reading = false;

/** Begin, or rest; it rests too while the tab is hidden or the panel is paused. */
export function watch(seen) {
  isSeen = seen;
  if (!byId("tiles").children.length) build();
  resume();
}

const rests = () => isOff || isPaused || !isSeen || document.hidden;

function resume() {
  clearTimeout(timer);
  if (rests()) previous = null; // what happens meanwhile is not in two seconds
  else tick();
}

async function tick() {
  if (reading || rests()) return;
  reading = true;
  await read();
  reading = false;
  clearTimeout(timer);
  if (!rests()) timer = setTimeout(tick, EVERY);
}

async function read() {
  try {
    const answer = await request("/metrics", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    if (OFF[answer.status]) turnOff(answer.status);
    else if (answer.ok) take(Date.now(), parse(await answer.text()));
    else previous = null;
  } catch {
    previous = null; // the server is gone; the pill says so
  }
}

function turnOff(status) {
  isOff = true;
  byId("monitor-off").textContent = OFF[status];
  byId("monitor-off").hidden = false;
  byId("tiles").hidden = byId("pause").hidden = true;
  byId("metrics-link").hidden = status === 404;
}

function build() {
  const tiles = Object.entries(TILES).map(([id, title]) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    const parts = [element("h3", {}, title), element("p", { className: "value" }, "–"), svg];
    return element("div", { className: "tile", id }, ...parts, element("p", { className: "note" }, "reading"));
  });
  const bars = Object.entries(BARS).map(([id, title]) =>
    element("div", { className: "tile bars" }, element("h3", {}, title), element("ol", { id, className: "ranking" })),
  );
  byId("tiles").replaceChildren(...tiles, ...bars);
  byId("pause").addEventListener("click", ({ target }) => {
    isPaused = !isPaused;
    target.ariaPressed = String(isPaused);
    target.textContent = isPaused ? "Go on" : "Pause";
    resume();
  });
  document.addEventListener("visibilitychange", resume);
}

function take(at, samples) {
  const total = (name, labels) => sum(samples, name, labels);
  const made = total("inference_requests_total", { outcome: "ok" });
  const [depth, limit] = [total("inference_queue_depth"), total("inference_queue_limit")];
  const [workers, expected] = [total("server_workers"), total("server_workers_expected")];
  keep("queue", at, depth);
  keep("workers", at, workers);
  if (previous) takeGains(at, increase(previous.samples, samples), (at - previous.at) / 1000);
  previous = { at, samples };
  tile("queue", depth.toLocaleString("en"), `of ${limit.toLocaleString("en")} that may be admitted`, at);
  tile("workers", String(workers), expected ? `of ${expected} that should serve` : "", at);
  const gained = history.predictions.reduce((sum, { value }) => sum + value, 0);
  const note = `${gained.toLocaleString("en")} in the time shown`;
  tile("predictions", made.toLocaleString("en"), note, at);
  bars("labels", countsBy(samples, "inference_predictions_total", "label"));
  bars("encodings", countsBy(samples, "inference_inputs_total", "encoding", ENCODINGS));
}

function takeGains(at, gains, seconds) {
  const requests = sum(gains, "http_requests_total");
  const failed = select(gains, "http_requests_total").filter(({ labels }) => labels.status >= "500");
  const errors = failed.reduce((sum, { value }) => sum + value, 0);
  const latency = quantile(0.95, buckets(gains, "http_request_duration_seconds"));
  keep("rate", at, requests / seconds);
  keep("latency", at, latency * 1000);
  keep("errors", at, errors / seconds);
  keep("predictions", at, sum(gains, "inference_requests_total", { outcome: "ok" }));
  tile("rate", requests ? (requests / seconds).toFixed(1) : "0", "probes and scrapes not counted", at);
  tile("errors", requests ? `${((errors / requests) * 100).toFixed(0)} %` : "0 %", "of requests, status 5xx", at);
  const last = history.latency.findLast(({ value }) => Number.isFinite(value));
  if (last) tile("latency", milliseconds(last.value), `all routes, ${age(at, last)}`, at);
  else tile("latency", "–", "no request in this time", at);
}

/** [[words, count]] of what is counted under a label, the largest first. */
function countsBy(samples, name, label, words = {}) {
  const counts = new Map();
  for (const { labels, value } of select(samples, name)) {
    const key = words[labels[label]] ?? labels[label];
    counts.set(key, (counts.get(key) ?? 0) + value);
  }
  return [...counts].filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a).slice(0, MAX_BARS);
}

function keep(name, at, value) {
  history[name] = [...history[name].filter((point) => at - point.at < SPAN), { at, value }];
}

function age(now, { at }) {
  const seconds = Math.round((now - at) / 1000);
  return seconds < EVERY / 1000 ? "now" : `${seconds} s ago`;
}

function tile(id, words, note, now) {
  const into = byId(id);
  into.querySelector(".value").textContent = words;
  into.querySelector(".note").textContent = note;
  draw(into.querySelector("svg"), history[id], now - SPAN, now);
}

function bars(id, counts) {
  const most = Math.max(...counts.map(([, count]) => count), 1);
  const rows = counts.map(([words, count]) => ({
    label: words.split(", ")[0],
    share: count / most,
    figure: count.toLocaleString("en"),
  }));
  fillRows(byId(id), rows);
}

// --- small lines over time

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 44;
const MARGIN = 3;

/**
 * points: [{ at, value }] in order of time; a value that is not finite leaves a gap.
 * from, to: the times at the left and right edge.
 */
function draw(svg, points, from, to) {
  const top = Math.max(...points.map(({ value }) => (Number.isFinite(value) ? value : 0)), 0) || 1;
  const x = (at) => (((at - from) / (to - from)) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - MARGIN - (value / top) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  const floor = HEIGHT - MARGIN;
  const lines = [];
  const areas = [];
  const dots = [];
  for (const run of runs(points)) {
    const steps = run.map(({ at, value }) => `${x(at)} ${y(value)}`).join("L");
    if (run.length === 1) dots.push(`M${steps}h.01`); // a round cap and next to no length
    else lines.push(`M${steps}`);
    areas.push(`M${x(run[0].at)} ${floor}L${steps}L${x(run.at(-1).at)} ${floor}Z`);
  }
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(
    path("floor", `M0 ${floor}H${WIDTH}`),
    path("area", areas.join("")),
    path("line", lines.join("")),
    path("dots", dots.join("")),
  );
}

/** Split at the gaps. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (Number.isFinite(point.value)) found.at(-1).push(point);
    else found.push([]);
  }
  return found.filter(({ length }) => length);
}

function path(name, d) {
  const made = document.createElementNS(NAMESPACE, "path");
  made.setAttribute("class", name);
  made.setAttribute("d", d);
  return made;
}
