// A greeter in TypeScript: counts whom it has greeted, talks to other actors, and passes notes through the tuple space.

import * as log from "plexspaces:actor/logging@0.1.0";
import { ask, tell } from "plexspaces:actor/messaging@0.1.0";
import { take, write, type PatternField, type TupleField } from "plexspaces:actor/tuplespace@0.1.0";
import { decode, encode } from "./utf8";

const HERE = { tenantId: "", namespace: "" };

let greeted = 0;

export const statefulRequests = {
  init(state: Uint8Array): void {
    greeted = Number(decode(state));
    if (!Number.isSafeInteger(greeted)) throw "the state is not a count";
  },

  snapshotState: (): Uint8Array => encode(String(greeted)),

  handleRequest(from: string, type: string, payload: Uint8Array): Uint8Array {
    try {
      return encode(answer(type, decode(payload)));
    } catch (error) {
      throw told(error);
    }
  },
};

/** What the asker is told of something thrown: a host function's own error, else an Error whose stack is logged, else a text. */
function told(thrown: any): string {
  if (thrown.payload) return thrown.payload.message;
  if (!(thrown instanceof Error)) return String(thrown);
  for (const line of `${thrown}\n${thrown.stack}`.trimEnd().split("\n")) log.error(line);
  return String(thrown);
}

function answer(type: string, text: string): string {
  switch (type) {
    case "call":
    case "greet":
      return greet(text);
    case "count":
      return String(greeted);
    case "tell":
      tell(text, "greet", encode("TypeScript"));
      return `told ${text}`;
    case "ask":
      return decode(ask(text, "greet", encode("TypeScript"), 5000));
    case "leave":
      return leaveNote(text);
    case "take":
      return takeNote();
    case "crash":
      throw new Error(text);
    default:
      throw `unknown message type: ${type}`;
  }
}

function greet(name: string): string {
  greeted += 1;
  return `Hello, ${name}, from TypeScript! You are number ${greeted}.`;
}

/** Leaves a note for whoever takes it. */
function leaveNote(note: string): string {
  write(HERE, ["note", "TypeScript", note].map((val): TupleField => ({ tag: "string-val", val })));
  return "left a note";
}

/** Takes anybody's note. */
function takeNote(): string {
  const kind: PatternField = { tag: "exact", val: { tag: "string-val", val: "note" } };
  const tuple = take(HERE, [kind, { tag: "any" }, { tag: "any" }]);
  return tuple ? `${tuple[1].val} left: ${tuple[2].val}` : "no note";
}
