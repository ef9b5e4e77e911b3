// Javy's two functions on the streams of WASI 0.2: runs a program written for Javy where Javy is not installed.
import { getStderr } from "wasi:cli/stderr@0.2.0";
import { getStdin } from "wasi:cli/stdin@0.2.0";
import { getStdout } from "wasi:cli/stdout@0.2.0";
import { encode } from "../utf8";
import "./text.js";

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
