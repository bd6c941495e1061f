// The camera on a stage: frames go to the model, and each answer is painted with its own frame.

import { cameras, openCamera, remember, sentence, settingsOf, stopCamera } from "./camera.js";
import { inJson, pairs, plain, Problem } from "./client.js";
import { announce, button, element, jpeg } from "./dom.js";
import { given, zoneOf } from "./inputs.js";
import { paint } from "./overlay.js";
import { isLive, resultKinds } from "./schema.js";
import { open } from "./stream.js";

const SIDES = [640, 480, 320]; // pixels of the longer side that are sent
const QUALITY = 0.8;
const LARGER_AFTER = 10_000; // milliseconds without a frame held back
const HIDDEN_STOPS = 60_000; // of a hidden tab, until its camera is stopped
const FIGURES_EVERY = 500;

/**
 * Start the camera on a zone's stage; with a model that has a stream, its frames are answered.
 * hooks: { parameters(), onAnswer({ result, seconds }), onProblem(problem), onSnapshot(file), onStop() }.
 * Returns { isStream, name: of the zone's input, setParameters(values), setInput(name), stop() } at
 * once, while the camera is still asked for.
 */
export function startLive(zone, model, hooks) {
  const path = isLive(model) ? model.stream : null;
  const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
  video.playsInline = true;
  const canvas = element("canvas", { hidden: true, ariaHidden: "true" });
  const note = element("span", { className: "unanalysed" }, "starting");
  const figures = element("p", { className: "figures" }, "\u00a0");
  const select = element("select", { ariaLabel: "Camera" });
  const mirror = element("input", { type: "checkbox", checked: true });
  const encode = encoder();
  const answers = []; // times of the last second
  let [camera, socket, state, fresh, encoding, lastSent, side, held, heldAt, isOver] =
    [null, null, "", false, 0, 0, 0, [], 0, false];
  let [minGap, dropped, latency, hiddenTimer, figuresAt] = [1000 / 30, 0, 0, null, 0];
  let [opening, maxBytes, isPrepared] = [0, Infinity, false]; // prepared: the session has all inputs
  let frameInput = zone.name; // the input that the bytes of a picture alone are
  const target = zoneOf(); // boxes are of the first picture, whichever the camera's is

  // --- states

  function setState(next, words) {
    if (state === next) return;
    state = next;
    zone.setState(next);
    note.textContent = next === "live" || next === "frozen" ? "" : "not analysed";
    note.hidden = !path || next === "live" || next === "frozen";
    canvas.hidden = next !== "live" && next !== "frozen";
    if (canvas.hidden) target.layer.replaceChildren();
    freeze.textContent = next === "frozen" ? "Go on" : "Freeze";
    if (words) announce(words);
  }

  async function openOne(id) {
    const mine = ++opening;
    stopCamera(camera);
    camera = null;
    setState("asking");
    const opened = await openCamera(id).catch((error) => {
      if (mine === opening) failed(error);
    });
    if (mine !== opening) return stopCamera(opened);
    camera = opened;
    const { mirrored } = settingsOf(camera);
    mirror.checked = mirrored;
    showMirror();
    video.srcObject = camera;
    camera.getVideoTracks()[0].addEventListener("ended", () => stop(sentence("gone")));
    await video.play().catch(() => {});
    if (mine !== opening) return;
    setState(path ? "starting" : "preview", path ? "The camera starts." : "The camera is on.");
    nextFrame();
    if (path && !socket && !document.hidden) connect();
    await listCameras();
  }

  async function listCameras() {
    const found = await cameras();
    if (!camera) return;
    const { id } = settingsOf(camera);
    select.replaceChildren(
      ...found.map((one) => element("option", { value: one.id, selected: one.id === id }, one.label)),
    );
    select.hidden = found.length < 2;
  }

  function showMirror() {
    zone.frame.classList.toggle("mirrored", mirror.checked);
  }

  // --- frames

  function nextFrame() {
    if (isOver || !camera) return;
    const mine = camera;
    const arrived = () => {
      if (isOver || camera !== mine) return;
      fresh = true;
      const { videoWidth, videoHeight } = video; // a rotation swaps them
      if (videoWidth && state !== "live" && state !== "frozen") zone.setSize(videoWidth, videoHeight);
      pump();
      nextFrame();
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(arrived);
    else requestAnimationFrame(arrived);
  }

  async function pump() {
    if (!fresh || !isPrepared || !socket?.isOpen() || state === "frozen" || encoding) return;
    const now = performance.now();
    if (now - lastSent < minGap * 0.9 || !video.videoWidth) return;
    adapt(now);
    if (!socket.ready()) return;
    [fresh, encoding, lastSent] = [false, 1, now];
    let bitmap = null;
    try {
      const scale = Math.min(1, SIDES[side] / Math.max(video.videoWidth, video.videoHeight));
      const resized = {
        resizeWidth: Math.round(video.videoWidth * scale),
        resizeHeight: Math.round(video.videoHeight * scale),
      };
      bitmap = await createImageBitmap(video, resized);
      const encoded = await encode(bitmap, QUALITY);
      bitmap = encoded.bitmap;
      const message = await frameMessage(encoded.bytes);
      if (isOver || !socket || document.hidden) bitmap.close();
      else socket.send(message, { bitmap, captured: now });
    } catch {
      bitmap?.close(); // the camera has stopped meanwhile, or the encoder failed
    }
    encoding = 0;
    pump();
  }

  /** The bytes alone where they are the model's first picture, else the input by its name. */
  async function frameMessage(bytes) {
    if (zone.name === frameInput) return bytes;
    const picture = await inJson({ kind: "image", value: new Blob([bytes]) });
    return JSON.stringify({ type: "frame", inputs: { [zone.name]: picture } });
  }

  /** Smaller frames where the network held back three of the last ten. */
  function adapt(now) {
    held = [...held, socket.isBuffered()].slice(-10);
    if (held.filter(Boolean).length >= 3 && side < SIDES.length - 1) {
      [side, held, heldAt] = [side + 1, [], now];
    } else if (held.some(Boolean)) {
      heldAt = now;
    } else if (side && now - heldAt > LARGER_AFTER) {
      [side, heldAt] = [side - 1, now];
    }
  }

  function show(answer, { bitmap, captured }) {
    if (state === "frozen" || isOver) return bitmap.close();
    const { width, height } = answer;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    }
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    bitmap.close();
    zone.setSize(canvas.width, canvas.height);
    setState("live", "Live.");
    const { found } = resultKinds(model.result.schema ?? {}, answer.result);
    const shapes = { boxes: found.box, points: found.point };
    paint(target.layer, shapes, { width, height, mirrored: mirror.checked && target === zone });
    const now = performance.now();
    latency = latency ? latency + 0.2 * (now - captured - latency) : now - captured;
    dropped = answer.dropped ?? 0;
    answers.push(now);
    while (answers[0] < now - 1000) answers.shift();
    if (now - figuresAt > FIGURES_EVERY) {
      figuresAt = now;
      const words = ` ${answers.length}/s · ${Math.round(latency)} ms · ${dropped} dropped`;
      figures.replaceChildren(element("span", { className: "dot-live", ariaHidden: "true" }, "●"), words);
    }
    hooks.onAnswer({ result: answer.result, seconds: answer.seconds ?? {} });
    pump();
  }

  // --- the socket

  function connect() {
    socket?.close();
    const query = () => pairs(hooks.parameters()).filter(([, value]) => value.json === undefined);
    socket = open(path, query, {
      onAnswer: show,
      onDrop: ({ bitmap }) => bitmap?.close(),
      async onHello({ frame_input: input, limits }) {
        isPrepared = false;
        [minGap, maxBytes] = [1000 / limits.frames_per_second, limits.frame_bytes];
        setParameters(hooks.parameters());
        frameInput = input ?? zone.name;
        const others = given().filter(({ name }) => name !== zone.name);
        await Promise.all(others.map(({ name }) => setInput(name)));
        isPrepared = true;
        pump();
      },
      onProblem(problem, frame) {
        frame?.bitmap?.close();
        hooks.onProblem(new Problem(problem));
        pump();
      },
      onLost({ action, delay, problem }) {
        if (action === "stop") return stop(problem?.detail ?? "The server ended the stream.");
        if (action === "smaller") {
          if (side === SIDES.length - 1) return stop("The frames are too large for this server.");
          side += 1;
        }
        if (action === "wait") return setFrozen(true, "Nothing was sent for a while: press Go on.");
        const words = action === "renew" ? "" : "The connection is lost; trying again.";
        setState(state === "starting" ? "starting" : "reconnecting", words);
        const seconds = Math.ceil((delay ?? 0) / 1000);
        figures.textContent = `Connecting again${seconds > 1 ? ` in ${seconds} s` : ""}…`;
      },
    });
  }

  function setParameters(values) {
    socket?.tell({ type: "params", params: plain(values) });
  }

  /** Send an input that all later frames have beside their own; without a value it is forgotten. */
  async function setInput(name) {
    const input = given().find((one) => one.name === name) ?? { value: null };
    const message = { type: "inputs", inputs: { [name]: await inJson(input) } };
    if (new Blob([JSON.stringify(message)]).size <= maxBytes) socket?.tell(message);
    else stop(`The input ${name} is too large for the live camera: choose a smaller one.`);
  }

  // --- controls

  function setFrozen(on, words) {
    if (on) setState("frozen", words ?? "Frozen.");
    else {
      setState("starting");
      socket ? socket.reopen() : connect();
      fresh = true;
      pump();
    }
  }

  async function snapshot() {
    const blob = await jpeg(video, video.videoWidth, video.videoHeight, 0.92); // as the camera sees it
    stop();
    if (blob) hooks.onSnapshot(new File([blob], "camera.jpg", { type: "image/jpeg" }));
  }

  function onHidden() {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      socket?.close();
      socket = null;
      hiddenTimer = setTimeout(() => stop(), HIDDEN_STOPS);
    } else if (path && camera && !socket && state !== "frozen" && !isOver) {
      setState("starting");
      connect();
    }
  }

  function stop(words) {
    if (isOver) return;
    isOver = true;
    opening += 1;
    const hadFocus = zone.tools.contains(document.activeElement);
    clearTimeout(hiddenTimer);
    document.removeEventListener("visibilitychange", onHidden);
    navigator.mediaDevices?.removeEventListener("devicechange", listCameras);
    socket?.close();
    stopCamera(camera);
    encode.end();
    for (const part of [video, canvas, note, controls]) part.remove();
    zone.frame.classList.remove("mirrored");
    zone.setOnAir(false);
    target.layer.replaceChildren();
    zone.show();
    if (words) zone.fail(words);
    if (hadFocus) zone.root.querySelector(".picker").focus();
    announce(words ?? "The camera is off.");
    hooks.onStop();
  }

  const freeze = button("Freeze", () => setFrozen(state !== "frozen"));
  const parts = [button(path ? "Snapshot" : "Take the photo", snapshot), button("Stop", () => stop())];
  const label = element("label", { className: "option" }, mirror, "Mirror");
  const controls = element("div", { className: "controls" });
  controls.append(...(path ? [figures, freeze] : []), ...parts, select, label);
  select.hidden = true;
  select.addEventListener("change", () => {
    remember(select.value);
    openOne(select.value);
  });
  mirror.addEventListener("change", () => {
    showMirror();
    target.layer.replaceChildren();
  });

  function failed({ kind, permission }) {
    stop(sentence(kind));
    if (kind !== "denied" || !permission) return;
    permission.onchange = () => {
      permission.onchange = null;
      const { root } = zone;
      if (permission.state === "granted" && root.isConnected) root.querySelector(".camera").click();
    };
  }

  zone.frame.prepend(video, canvas);
  zone.stage.append(note);
  zone.tools.append(controls);
  zone.setOnAir(true);
  parts[1].focus();
  document.addEventListener("visibilitychange", onHidden);
  navigator.mediaDevices?.addEventListener("devicechange", listCameras);
  openOne();
  return { isStream: Boolean(path), name: zone.name, setParameters, setInput, stop };
}

/** Encode one bitmap at a time: in a worker, or on the page's thread where there is none that works. */
function encoder() {
  let waiting = null; // { done, fail } of the bitmap that the worker has
  let worker = null;
  const giveUp = () => {
    worker?.terminate();
    worker = null;
    waiting?.fail();
  };
  if (typeof OffscreenCanvas !== "undefined") {
    worker = new Worker("/static/encoder.js");
    worker.onmessage = ({ data }) => (data.error ? giveUp() : waiting.done(data));
    worker.onerror = giveUp; // it does not load
  }
  const encode = async (bitmap, quality) => {
    if (worker) {
      worker.postMessage({ bitmap, quality }, [bitmap]);
      return new Promise((done, fail) => (waiting = { done, fail }));
    }
    const blob = await jpeg(bitmap, bitmap.width, bitmap.height, quality);
    return { bytes: await blob.arrayBuffer(), bitmap };
  };
  encode.end = giveUp;
  return encode;
}
