// Reads the Prometheus text format; computes increases and quantiles as Prometheus does.

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };
const INFINITIES = { "+Inf": Infinity, Inf: Infinity, "-Inf": -Infinity };

/** A scrape's text → its samples by series: Map of `name{labels}` → { name, labels, value }. */
export function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const found = LINE.exec(line.trim());
    if (!found) continue; // a comment, a blank line, or what we do not know
    const [, name, body = "", value] = found;
    samples.set(`${name}{${body}}`, { name, labels: parseLabels(body), value: parseValue(value) });
  }
  return samples;
}

function parseLabels(body) {
  const pairs = [...body.matchAll(LABEL)].map(([, name, value]) => [
    name,
    value.replace(/\\[n"\\]/g, (escape) => ESCAPES[escape]),
  ]);
  return Object.fromEntries(pairs);
}

function parseValue(text) {
  return INFINITIES[text] ?? Number(text);
}

/** The samples of that name which carry these labels. */
export function select(samples, name, labels = {}) {
  return [...samples.values()].filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
}

/** The sum of those samples; 0 where there are none. */
export function sum(samples, name, labels = {}) {
  return select(samples, name, labels).reduce((total, sample) => total + sample.value, 0);
}

/**
 * What each series has gained between two scrapes, in the form of a scrape. A series that fell has
 * begun again at 0, and so has one that was not there before.
 */
export function increase(before, after) {
  const gains = new Map();
  for (const [series, sample] of after) {
    const past = before.get(series)?.value ?? 0;
    const gain = sample.value >= past ? sample.value - past : sample.value;
    gains.set(series, { ...sample, value: gain });
  }
  return gains;
}

/** A histogram's buckets, summed over all other labels: [[upper bound, cumulative count], …]. */
export function buckets(samples, name) {
  const counts = new Map();
  for (const { labels, value } of select(samples, `${name}_bucket`)) {
    const bound = parseValue(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/**
 * The q-quantile of a histogram, linear between the edges of a bucket, as histogram_quantile does:
 * the lowest bucket begins at 0, and beyond the last finite edge that edge is given.
 * NaN where nothing was observed.
 */
export function quantile(q, cumulative) {
  const total = cumulative.at(-1)?.[1] ?? 0;
  if (total === 0) return NaN;
  const rank = q * total;
  const at = cumulative.findIndex(([, count]) => count >= rank);
  const [upper, count] = cumulative[at];
  const [lower, below] = at === 0 ? [0, 0] : cumulative[at - 1];
  if (upper === Infinity) return lower;
  return lower + ((upper - lower) * (rank - below)) / (count - below);
}
