// The socket of a live model: frames go out, answers come in; it opens itself again.

import { openSocket, renewSession } from "./client.js";

const PROTOCOL = "vitrine.v1";
const MAX_WINDOW = 3; // unanswered frames
const MAX_BACKOFF = 10_000; // milliseconds
const LONG_SESSION = 60_000; // one that lived so long was cut by a proxy's limit
const GOOD_SESSION = 10_000; // with answers for so long, the next failure is the first one
const CONNECT_TIMEOUT = 10_000;
const MIN_SILENCE = 12_000; // longer than the server's deadline of a frame
const SETTLE = 0.2; // of a running mean

/** How many frames may be unanswered: as many as are on the way while the server computes one. */
export function windowFor(roundTrip, age) {
  if (!(roundTrip > 0) || !(age > 0)) return 1;
  return Math.min(Math.max(Math.round(1 + (roundTrip - age) / age), 1), MAX_WINDOW);
}

/** Milliseconds to wait before try k = 0, 1, …; chance: 0 to 1. */
export const backoff = (k, chance = Math.random()) =>
  chance * Math.min(MAX_BACKOFF, 500 * 2 ** Math.min(k, 10));

/**
 * What to do after a close. lived: milliseconds of the session. tries: failures before. isRenewed:
 * its token is new. Returns { action: again, renew, smaller, wait or stop, delay: milliseconds }.
 */
export function afterClose(code, { lived, tries, retryAfter = 0, isRenewed = false }) {
  if (code === 4401 && !isRenewed) return { action: "renew" };
  if ([1000, 1008, 4401, 4403, 4429].includes(code)) return { action: "stop" };
  if (code === 4408) return { action: "wait" };
  if (code === 1009) return { action: "smaller", delay: 0 };
  if (code === 1012) return { action: "again", delay: Math.random() * 1000 };
  if (code === 1013) return { action: "again", delay: Math.max(retryAfter * 1000, backoff(tries)) };
  return { action: "again", delay: lived > LONG_SESSION ? 0 : backoff(tries) };
}

/** Milliseconds without an answer to a frame after which the socket is given up. */
export const maxSilence = (roundTrip) => Math.max(MIN_SILENCE, 10_000 * roundTrip);

const mean = (old, value) => (old ? old + SETTLE * (value - old) : value);

/**
 * Open the stream of a model, and open it again for as long as that can help.
 * path: of the stream. query(): [[name, text]] for its address. hooks: { onHello(hello),
 * onAnswer(answer, frame), onProblem(problem, frame), onDrop(frame): it will not be answered,
 * onLost({ delay, action, problem }) }.
 * Returns { send(message, frame): the bytes or the text of a frame, ready(): whether a frame may be sent, tell(message), reopen(), … }.
 */
export function open(path, query, hooks) {
  let socket = null;
  let hello = null;
  let opened = 0;
  let tries = 0;
  let sent = 0; // frames of this session
  let timer = null;
  let problem = null; // the last one that concerns the session
  let answering = 0; // since when
  let isRenewed = false; // whether the token is new since the last session
  let isOver = false;
  const pending = new Map(); // number → frame
  const state = { roundTrip: 0, age: 0 };

  function connect() {
    clearTimeout(timer);
    [hello, sent, opened, problem, answering] = [null, 0, performance.now(), null, 0];
    socket = openSocket(path, query(), [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = ({ code }) => lost(code);
    timer = setTimeout(() => hello || drop(), CONNECT_TIMEOUT);
  }

  function receive(message) {
    const now = performance.now();
    if (message.type === "hello") {
      [hello, isRenewed] = [message, false];
      hooks.onHello(message);
    } else if (message.type === "answer") {
      answering ||= now;
      if (now - answering > GOOD_SESSION) tries = 0;
      const frame = settle(message.frame);
      if (!frame) return;
      state.roundTrip = mean(state.roundTrip, (now - frame.sent) / 1000);
      state.age = mean(state.age, message.age);
      hooks.onAnswer(message, frame);
    } else if (message.type === "problem") {
      if (!message.frame) problem = message.problem;
      const frame = message.frame ? settle(message.frame) : null;
      const mayRenew = !message.frame && message.problem.status === 401; // its close says the rest
      if (!mayRenew) hooks.onProblem(message.problem, frame);
    }
  }

  /** The answer to a frame settles all before it, too. Returns that frame. */
  function settle(number) {
    let found = null;
    for (const [key, frame] of pending) {
      if (key > number) break;
      pending.delete(key);
      if (key === number) found = frame;
      else hooks.onDrop(frame);
    }
    return found;
  }

  function lost(code) {
    clearTimeout(timer);
    [socket, hello] = [null, null];
    settle(Infinity);
    const retryAfter = problem?.retry_after ?? problem?.["retry-after"] ?? 0;
    const next = afterClose(code, { lived: performance.now() - opened, tries, retryAfter, isRenewed });
    if (next.delay !== undefined) timer = setTimeout(connect, next.delay);
    if (next.action === "renew") renew(problem);
    else tries += 1;
    hooks.onLost({ ...next, problem });
  }

  /** Connect again with a new token; where there is none, the stream ends. */
  async function renew(refusal) {
    isRenewed = true;
    const isNew = await renewSession().catch(() => false);
    if (isOver || socket) return;
    if (isNew) connect();
    else hooks.onLost({ action: "stop", problem: refusal });
  }

  /** Give up a socket that is silent, without waiting for its close. */
  function drop() {
    const silent = socket;
    if (!silent) return;
    silent.onmessage = silent.onclose = null;
    silent.close();
    lost(1006);
  }

  const watch = setInterval(() => {
    const [oldest] = pending.values();
    if (oldest && performance.now() - oldest.sent > maxSilence(state.roundTrip)) drop();
  }, 500);
  const online = () => !socket && connect();
  addEventListener("online", online);
  connect();
  // The server's close is seen before its event.
  const isOpen = () => Boolean(hello) && socket.readyState === WebSocket.OPEN;

  return {
    ready: () =>
      isOpen() && pending.size < windowFor(state.roundTrip, state.age) && !socket.bufferedAmount,
    isBuffered: () => Boolean(socket?.bufferedAmount),
    isOpen,
    reopen: () => socket || connect(),
    send(message, frame) {
      if (!isOpen()) return hooks.onDrop(frame);
      socket.send(message);
      frame.sent = performance.now();
      pending.set(++sent, frame);
    },
    tell: (message) => isOpen() && socket.send(JSON.stringify(message)),
    close() {
      isOver = true;
      clearTimeout(timer);
      clearInterval(watch);
      removeEventListener("online", online);
      if (socket) socket.onmessage = socket.onclose = null;
      socket?.close(1000);
      socket = hello = null;
      settle(Infinity);
    },
  };
}
