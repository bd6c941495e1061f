// One picture as an input: a stage that shows it, and the ways to choose another.

import { request } from "./client.js";
import { button, byId, bytes, element, jpeg, replaced } from "./dom.js";

const SAMPLES = ["astronaut.jpg", "chelsea.jpg"]; // /static/samples/, see NOTICE

const SHARE = 0.9; // of the limit on bodies, which has room for a form and parameters
const MAX_SIDE = 4096; // pixels; the canvases of iOS end at 16.7 million
const QUALITY = 0.92;

/** A file as it is sent: re-encoded where the server would refuse it. image: null where not shown. */
async function prepare(file, image, { body_bytes, image_pixels, image_types }) {
  const isForeign = file.type.startsWith("image/") && !image_types.includes(file.type);
  const pixels = image ? image.naturalWidth * image.naturalHeight : 0;
  const isLarge = file.size > body_bytes * SHARE || pixels > image_pixels;
  if (!image || !(isForeign || isLarge)) return { file, note: "" };
  return shrink(file, image, body_bytes * SHARE, image_pixels);
}

/**
 * Shrink a picture to at most so many bytes and pixels. file: what was chosen. image: it, decoded.
 * Returns { file: what to send, note: what was done }.
 */
async function shrink(file, image, maxBytes, maxPixels) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const scales = [MAX_SIDE / Math.max(width, height), Math.sqrt(maxPixels / (width * height))];
  let scale = Math.min(1, ...scales);
  for (; ; scale *= 0.7) {
    const sides = [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
    const blob = await jpeg(image, ...sides, QUALITY); // upright, by EXIF
    if (!blob) return { file, note: "" };
    if (blob.size > maxBytes) continue;
    const sent = new File([blob], file.name.replace(/(\.\w+)?$/, ".jpg"), { type: "image/jpeg" });
    const original = `the original is ${width} × ${height}, ${bytes(file.size)}`;
    const note = `sent as ${sides.join(" × ")}, ${bytes(blob.size)}; ${original}`;
    return { file: sent, note };
  }
}

/**
 * Make the zone of an input. held: { file, url, width, height, … } of its picture, or {} ; it
 * outlives the zone. onChange(complete, name): the picture is another, or gone. onCamera(zone): the
 * camera is wanted.
 */
export function pictureZone({ name, required }, held, limits, { onChange, onCamera }) {
  const root = byId("picture-input").content.firstElementChild.cloneNode(true);
  const part = (selector) => root.querySelector(selector);
  const [stage, frame, image] = [".stage", ".frame", ".frame img"].map(part);
  const [picker, caption, invitation] = [".picker", ".caption", ".invitation"].map(part);
  const [choose, camera, remove] = [".choose", ".camera", ".remove"].map(part);
  const zone = { root, stage, frame, layer: part(".layer"), tools: part(".tools"), name, held };
  let latest = 0;

  picker.id = choose.htmlFor = `input-${name}`;
  picker.ariaLabel = `Choose a picture: ${name}`;
  picker.accept = limits.image_types.join();
  picker.setAttribute("aria-describedby", (caption.id = `caption-${name}`));
  zone.setState = (state) => {
    stage.dataset.state = state;
    const isVacant = state === "empty" || (state === "camera-error" && !held.file);
    if (isVacant === root.classList.contains("vacant")) return;
    root.classList.toggle("vacant", isVacant);
    replaced(part(".under"));
  };
  zone.setSize = (width, height) => {
    const ratio = String(width / height);
    if (frame.style.getPropertyValue("--ratio") === ratio) return;
    frame.style.setProperty("--ratio", ratio);
    replaced(frame);
  };
  zone.setOnAir = (on) => {
    root.classList.toggle("on-air", on);
    replaced(part(".under"));
  };
  zone.say = (words) => (caption.textContent = words);
  zone.value = () => held.file;
  zone.fail = (words) => {
    zone.setState("camera-error");
    zone.say(words);
    caption.classList.add("fault");
  };

  zone.show = () => {
    const { file, url, width, height, note, words } = held;
    caption.classList.remove("fault");
    picker.setCustomValidity(required && !file ? "Choose a picture." : "");
    zone.setState(!file ? "empty" : width ? "still" : "unseen");
    image.hidden = !width;
    zone.layer.replaceChildren();
    choose.textContent = file ? "Choose another" : "Choose a picture";
    remove.hidden = required || !file;
    if (!file) return caption.replaceChildren("None yet.");
    if (width) {
      image.src = url;
      image.alt = `The picture that is sent: ${file.name}`;
      zone.setSize(width, height);
    }
    const size = width
      ? `${width} × ${height} pixels, ${bytes(file.size)}`
      : `${bytes(file.size)}, which this browser cannot show`;
    caption.replaceChildren(element("strong", {}, file.name), ` ${[note || size, words].filter(Boolean).join("; ")}`);
  };

  zone.take = async (chosen, words = "") => {
    const turn = ++latest;
    const url = URL.createObjectURL(chosen);
    const decoded = Object.assign(new Image(), { src: url });
    const isSeen = await decoded.decode().then(() => true, () => false);
    const { file, note } = await prepare(chosen, isSeen ? decoded : null, limits);
    if (turn !== latest) return URL.revokeObjectURL(url);
    const { naturalWidth: width = 0, naturalHeight: height = 0 } = isSeen ? decoded : {};
    zone.put({ file, url, width, height, note, words });
    onChange(true, name);
  };
  zone.put = (picture) => {
    if (held.url && held.url !== picture.url) URL.revokeObjectURL(held.url);
    for (const key of Object.keys(held)) delete held[key];
    const hadFocus = invitation.contains(document.activeElement);
    Object.assign(held, picture);
    zone.show();
    if (hadFocus) picker.focus(); // the samples are gone
  };

  picker.addEventListener("change", () => {
    const [file] = picker.files;
    picker.value = ""; // the same file may be chosen again
    if (file) zone.take(file);
  });
  remove.addEventListener("click", () => {
    latest++;
    zone.put({});
    picker.focus();
    onChange(true, name);
  });
  stage.addEventListener("click", ({ target }) => {
    if (root.classList.contains("vacant") && !target.closest("button")) picker.click();
  });
  if (isSecureContext) camera.addEventListener("click", () => onCamera(zone));
  else camera.replaceWith(...takePhoto(name, (file) => zone.take(file)));
  part(".samples").append(...SAMPLES.map((sample) => sampleButton(sample, zone)));
  zone.show();
  return zone;
}

/** Over plain http a browser gives no camera to a page, but phones take a photo for a form. */
function takePhoto(name, take) {
  const id = `photo-${name}`;
  const input = element("input", { id, type: "file", accept: "image/*", className: "unseen picker" });
  input.setAttribute("capture", "environment");
  input.ariaLabel = `Take a photo: ${name}`;
  input.addEventListener("change", () => input.files[0] && take(input.files[0]));
  const label = element("label", { htmlFor: id, className: "choice" }, "Take a photo");
  return [input, label];
}

function sampleButton(sample, zone) {
  const path = `/static/samples/${sample}`;
  const name = sample.split(".")[0];
  const use = async () => {
    const blob = await (await request(path)).blob();
    await zone.take(new File([blob], sample, { type: blob.type }));
  };
  const made = button("", use, "sample");
  made.ariaLabel = `Use the sample ${name}`;
  made.append(element("img", { src: path, alt: "", width: 80, height: 60 }));
  return element("li", {}, made);
}
