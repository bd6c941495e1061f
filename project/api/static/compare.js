// Before and after: the original below the result, and a slider over both that moves the split.

import { element } from "./dom.js";

/** image: the result. source: { url, file } of the original. */
export function compare(image, { url, file }) {
  const original = element("img", { src: url, alt: `The original: ${file.name}`, className: "original" });
  const slider = element("input", { type: "range", min: 0, max: 100, value: 0, className: "split" });
  slider.ariaLabel = "Share of the original";
  const view = element("div", { className: "compare" }, image, original, slider);
  const words = element("span", { className: "tag" }, "drag for the original");
  view.append(words);
  const move = () => {
    view.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % of the original`);
    words.hidden = slider.value !== "0";
  };
  slider.addEventListener("input", move);
  view.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  move();
  return view;
}
