export function handleRequest(from: string, type: string, payload: Uint8Array): Uint8Array {
  const name = decode(payload);
  return encode(`Hello, ${name}!`);
}

// UTF-8: this engine has no TextEncoder.
const encode = (text: string) => Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));
const decode = (bytes: Uint8Array) => decodeURIComponent(escape(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
