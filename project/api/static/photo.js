// Re-encodes a photo where the server would refuse it, and only there.

import { bytes, jpeg } from "./dom.js";

const MAX_SIDE = 4096; // pixels; the canvases of iOS end at 16.7 million
const QUALITY = 0.92;

/**
 * Shrink a picture to at most so many bytes and pixels. file: what was chosen. image: it, decoded.
 * Returns { file: what to send, note: what was done }.
 */
export async function shrink(file, image, maxBytes, maxPixels) {
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
