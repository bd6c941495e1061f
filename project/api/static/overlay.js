// Paints boxes and points over a picture: HTML in per cent of it, so that no resizing computes.
// They move by `translate`, which is cheaper than another layout and no shift of it.

import { element, percent } from "./dom.js";

const MAX_SHAPES = 100;
const COLOURS = 6; // .colour-0 to .colour-5

/**
 * Paint shapes over a picture, into the elements that are there already.
 * boxes, points: of a result, in its pixels. width, height: of the picture. mirrored: whether it
 * is shown so. Returns how many boxes were left out.
 */
export function paint(layer, { boxes, points }, { width, height, mirrored = false }) {
  const colours = new Map();
  const colourOf = (label) => {
    if (!colours.has(label)) colours.set(label, colours.size % COLOURS);
    return colours.get(label);
  };
  const across = (x, size = 0) => (mirrored ? width - x - size : x) / width;
  const shown = boxes.slice(0, MAX_SHAPES);
  fit(layer, ".box", shown.length, makeBox);
  [...layer.querySelectorAll(".box")].forEach((node, index) => {
    const { label, score, x1, y1, x2, y2 } = shown[index];
    const [left, top] = [across(x1, x2 - x1), y1 / height];
    place(node, left, top);
    node.style.width = inPercent((x2 - x1) / width);
    node.style.height = inPercent((y2 - y1) / height);
    const inside = top < 0.08 ? " inside" : "";
    const side = left > 0.6 ? " right" : "";
    const lit = node.classList.contains("lit") ? " lit" : "";
    write(node, "className", `box colour-${colourOf(label)}${inside}${side}${lit}`);
    node.dataset.number = index + 1;
    write(node.firstChild, "textContent", `${index + 1} ${label} ${percent(score)}`);
  });
  const dots = points.slice(0, MAX_SHAPES * 5);
  fit(layer, ".dot", dots.length, () => element("i", { className: "dot" }));
  [...layer.querySelectorAll(".dot")].forEach((node, index) => {
    const { label, x, y } = dots[index];
    place(node, across(x), y / height);
    write(node, "className", `dot colour-${colourOf(label)}`);
  });
  return boxes.length - shown.length;
}

/** Light up the box of a number, and no other. */
export function light(layer, number) {
  for (const box of layer.querySelectorAll(".box")) {
    box.classList.toggle("lit", box.dataset.number === String(number));
  }
  layer.classList.toggle("dimmed", number !== null);
}

function makeBox() {
  return element("div", { className: "box" }, element("span", { className: "plate" }));
}

/** Have exactly so many of these elements. */
function fit(layer, selector, count, make) {
  const there = layer.querySelectorAll(selector);
  for (let index = there.length; index < count; index++) layer.append(make());
  for (let index = count; index < there.length; index++) there[index].remove();
}

const inPercent = (share, unit = "%") => `${(share * 100).toFixed(3)}${unit}`;

function place(node, left, top) {
  node.style.translate = `${inPercent(left, "cqw")} ${inPercent(top, "cqh")}`;
}

/** Writing what is there already would cost a new style. */
function write(node, property, words) {
  if (node[property] !== words) node[property] = words;
}
