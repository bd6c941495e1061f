// Draws a small line over time into an SVG of ours.

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 44;
const MARGIN = 3;

/**
 * points: [{ at, value }] in order of time; a value that is not finite leaves a gap.
 * from, to: the times at the left and right edge.
 */
export function draw(svg, points, from, to) {
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
