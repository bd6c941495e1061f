// A rectangle on a picture: drawn, moved and resized with a pointer; its numbers are in the form.

import { element } from "./dom.js";

const MIN_SHARE = 0.02; // of a side; a smaller one was a click
const CORNERS = ["nw", "ne", "sw", "se"];

/**
 * Lay a rectangle over the frame of a picture. read(): [x, y, width, height] as shares.
 * write(rectangle, isDone): another one; isDone: the pointer is up. Returns { show() }.
 */
export function rectangle(frame, read, write) {
  const handles = CORNERS.map((corner) => element("i", { className: `handle ${corner}` }));
  const box = element("div", { className: "rectangle" }, ...handles);
  const ground = element("div", { className: "rectangle-ground", ariaHidden: "true" }, box);
  let drag = null;

  const show = () => {
    const [x, y, width, height] = read();
    const shares = { left: x, top: y, width: Math.min(width, 1 - x), height: Math.min(height, 1 - y) };
    for (const [name, share] of Object.entries(shares)) {
      box.style.setProperty(`--${name}`, `${(Math.max(0, share) * 100).toFixed(2)}%`);
    }
  };
  const at = ({ clientX, clientY }) => {
    const { left, top, width, height } = ground.getBoundingClientRect();
    return [clamp((clientX - left) / width), clamp((clientY - top) / height)];
  };
  ground.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button) return;
    const [x, y, width, height] = read();
    const corner = CORNERS.find((name) => event.target.classList.contains(name));
    const start = at(event);
    const isInside = event.target === box;
    const fixed = corner
      ? [corner.includes("w") ? x + width : x, corner.includes("n") ? y + height : y]
      : start;
    drag = { start, fixed, moved: isInside && !corner ? [x, y, width, height] : null, was: read() };
    ground.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  ground.addEventListener("pointermove", (event) => drag && write(follow(event), false));
  ground.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const [x, y, width, height] = follow(event);
    const isClick = width < MIN_SHARE || height < MIN_SHARE;
    const { was } = drag;
    drag = null;
    write(isClick ? was : [x, y, width, height], true);
  });
  ground.addEventListener("pointercancel", () => {
    if (drag) write(drag.was, true);
    drag = null;
  });

  function follow(event) {
    const [x, y] = at(event);
    if (drag.moved) {
      const [left, top, width, height] = drag.moved;
      const across = Math.min(Math.max(left + x - drag.start[0], 0), 1 - width);
      const down = Math.min(Math.max(top + y - drag.start[1], 0), 1 - height);
      return [across, down, width, height].map(rounded);
    }
    const [fixedX, fixedY] = drag.fixed;
    const sizes = [Math.abs(x - fixedX), Math.abs(y - fixedY)];
    return [Math.min(x, fixedX), Math.min(y, fixedY), ...sizes].map(rounded);
  }

  frame.append(ground);
  show();
  return { show };
}

const clamp = (share) => Math.min(Math.max(share, 0), 1);
const rounded = (share) => Number(share.toFixed(3));
