// Javy's two functions and TextEncoder's, on the streams of WASI 0.2: runs a program written for Javy where Javy is not installed.
import { getStderr } from "wasi:cli/stderr@0.2.0";
import { getStdin } from "wasi:cli/stdin@0.2.0";
import { getStdout } from "wasi:cli/stdout@0.2.0";
import { decode, encode } from "../utf8";

/** Runs a program; what it throws ends it, message and stack on standard error. */
globalThis.main = function (program) {
  try {
    program();
  } catch (error) {
    writeSync(2, encode(`${error}\n${error?.stack ?? ""}`));
    throw error;
  }
};

globalThis.Javy = { IO: { readSync, writeSync } };

globalThis.TextEncoder = class {
  encode = encode;
};

globalThis.TextDecoder = class {
  held = [];
  /** Holds everything back until the last call, so that no character is cut. */
  decode(bytes, { stream } = {}) {
    this.held.push(...(bytes ?? []));
    return stream ? "" : decode(this.held.splice(0));
  }
};

function readSync(_fd, buffer) {
  try {
    const bytes = getStdin().blockingRead(buffer.length);
    buffer.set(bytes);
    return bytes.length;
  } catch (error) {
    if (error?.payload?.tag === "closed") return 0;
    throw error;
  }
}

function writeSync(fd, bytes) {
  const output = fd === 2 ? getStderr() : getStdout();
  for (let at = 0; at < bytes.length; at += 4096) output.blockingWriteAndFlush(bytes.slice(at, at + 4096));
}
