// TextEncoder and TextDecoder as far as a program written for Javy uses them, for engines that have neither.
import { decode, encode } from "../utf8";

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
