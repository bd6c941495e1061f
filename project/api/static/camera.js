// The camera: opening it, which ones there are, and what to do where it cannot be had.

import { store, stored } from "./dom.js";

const KEY = "vitrine.camera";
const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
const SENTENCES = {
  NotFoundError: "This device has no camera. Choose a picture.",
  NotReadableError: "Another program has the camera. Close it, then press Use the camera.",
  AbortError: "Another program has the camera. Close it, then press Use the camera.",
  denied:
    "The camera is blocked for this page. Allow it at the sign beside the address, " +
    "then press Use the camera.",
  NotAllowedError: "The camera was not allowed. Press Use the camera and choose Allow.",
  insecure:
    "Browsers give the camera only to https:// and localhost. Open this page there, " +
    "or take a photo.",
  gone: "The camera is gone. Choose another or press Use the camera.",
};

/** What has to be said of a fault. */
export const sentence = (kind) => SENTENCES[kind] ?? `The camera does not start (${kind}). Choose a picture.`;

/**
 * Open the chosen camera, or any. Returns its MediaStream; its picture is mirrored unless it looks
 * away from who holds it. Throws { kind, permission: PermissionStatus or null }.
 */
export async function openCamera(chosen = stored("localStorage", KEY)) {
  if (!navigator.mediaDevices) throw { kind: "insecure", permission: null };
  const which = chosen ? { deviceId: { exact: chosen } } : { facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...which }, audio: false });
  } catch ({ name }) {
    const isGone = name === "OverconstrainedError" || name === "NotFoundError";
    if (chosen && isGone) {
      remember("");
      return openCamera("");
    }
    const permission = await navigator.permissions?.query({ name: "camera" }).catch(() => null);
    const kind = name === "NotAllowedError" && permission?.state === "denied" ? "denied" : name;
    throw { kind, permission };
  }
}

/** The cameras by id and name; names are known once one was allowed. */
export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter(({ kind }) => kind === "videoinput")
    .map(({ deviceId: id, label }, index) => ({ id, label: label || `Camera ${index + 1}` }));
}

/** The id of an open camera, and whether its picture is to be mirrored. */
export function settingsOf(stream) {
  const { deviceId, facingMode } = stream.getVideoTracks()[0].getSettings();
  return { id: deviceId, mirrored: facingMode !== "environment" };
}

/** Phones refuse to open a second camera before the first is stopped. */
export const stopCamera = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** Have that camera opened the next time. */
export const remember = (id) => store("localStorage", KEY, id);
