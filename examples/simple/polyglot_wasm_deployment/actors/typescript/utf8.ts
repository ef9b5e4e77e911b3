// UTF-8 for engines that have no TextEncoder.

export function encode(text: string): Uint8Array {
  const bytes = encodeURIComponent(text).replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Uint8Array.from(bytes, (char) => char.charCodeAt(0));
}

/** Throws a URIError on what is not UTF-8. */
export function decode(bytes: Uint8Array): string {
  return decodeURIComponent(Array.from(bytes, (byte) => "%" + byte.toString(16).padStart(2, "0")).join(""));
}
