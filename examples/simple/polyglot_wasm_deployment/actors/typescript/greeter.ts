// A greeter as Javy runs it: a whole program for each message, which reads one JSON object and writes its reply.

declare const Javy: {
  IO: {
    readSync(fd: number, buffer: Uint8Array): number;
    writeSync(fd: number, buffer: Uint8Array): void;
  };
};

interface Message {
  from: string;
  type: string;
  payload: unknown;
}

const message: Message = JSON.parse(readAll());
if (typeof message.payload !== "string") throw new TypeError("a name is a text");
Javy.IO.writeSync(1, new TextEncoder().encode(`Hello, ${message.payload}, from TypeScript!`));

function readAll(): string {
  const [text, buffer] = [new TextDecoder(), new Uint8Array(4096)];
  let read = "";
  for (let count; (count = Javy.IO.readSync(0, buffer)) > 0; ) {
    read += text.decode(buffer.subarray(0, count), { stream: true });
  }
  return read + text.decode();
}
