// Measures the page from outside, before its own scripts run: see `benchmarks/page.py`.

window.probe = { tasks: [], shift: 0, bitmaps: 0, maxBitmaps: 0, ages: [], gaps: [] };

new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) probe.tasks.push([startTime, duration]);
}).observe({ type: "longtask", buffered: true });

new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) probe.shift += value;
}).observe({ type: "layout-shift", buffered: true });

// A frame is captured as its bitmap is made, and sent before the next one is captured.
let captured = 0;
const { createImageBitmap: make } = window;
const { close } = ImageBitmap.prototype;
window.createImageBitmap = async (...given) => {
  captured = performance.now();
  const bitmap = await make(...given);
  probe.maxBitmaps = Math.max(probe.maxBitmaps, ++probe.bitmaps);
  return bitmap;
};
ImageBitmap.prototype.close = function () {
  probe.bitmaps--;
  return close.call(this);
};

// An answer is painted when its handler returns.
window.WebSocket = class extends WebSocket {
  #captures = [];

  send(data) {
    super.send(data);
    if (typeof data !== "string") this.#captures.push(captured);
  }

  set onmessage(handler) {
    super.onmessage = handler && ((event) => this.#handle(handler, event));
  }

  #handle(handler, event) {
    handler(event);
    const painted = performance.now();
    const { type, frame } = JSON.parse(event.data);
    if (type === "answer") probe.ages.push(painted - this.#captures[frame - 1]);
  }
};

// Gaps between animation frames, from startGaps() on.
window.startGaps = () => {
  let last = performance.now();
  probe.gaps = [];
  const tick = (now) => {
    probe.gaps.push(now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
};

/** Milliseconds of each of 200 paints of 50 boxes, with the layout that they cause. */
window.paintBoxes = async () => {
  const { paint } = await import("/static/overlay.js");
  const layer = document.querySelector(".layer");
  const times = [];
  for (let round = 0; round < 200; round++) {
    const boxes = Array.from({ length: 50 }, (_, index) => {
      const [x1, y1] = [(index % 10) * 60 + (round % 20), Math.floor(index / 10) * 90 + (round % 20)];
      return { label: `label ${index % 8}`, score: 0.5 + round / 500, x1, y1, x2: x1 + 50, y2: y1 + 80 };
    });
    const began = performance.now();
    paint(layer, { boxes, points: [] }, { width: 640, height: 480, mirrored: true });
    layer.lastChild.getBoundingClientRect();
    times.push(performance.now() - began);
    await new Promise(requestAnimationFrame);
  }
  layer.replaceChildren();
  return times;
};
