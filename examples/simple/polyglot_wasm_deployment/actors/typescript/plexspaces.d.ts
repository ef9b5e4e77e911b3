// The parts of wit/plexspaces-actor that this actor uses, as TypeScript sees them.
// What WIT calls an error is thrown: an Error that has it as its `payload`.

declare module "plexspaces:actor/logging@0.1.0" {
  export function error(message: string): void;
}

declare module "plexspaces:actor/messaging@0.1.0" {
  export function tell(to: string, msgType: string, payload: Uint8Array): string;
  export function ask(to: string, msgType: string, payload: Uint8Array, timeoutMs: number): Uint8Array;
}

declare module "plexspaces:actor/tuplespace@0.1.0" {
  export type Context = { tenantId: string; namespace: string };
  export type TupleField =
    | { tag: "string-val"; val: string }
    | { tag: "int-val" | "float-val"; val: number }
    | { tag: "bytes-val"; val: Uint8Array }
    | { tag: "bool-val"; val: boolean }
    | { tag: "null-val"; val?: undefined };
  export type PatternField =
    | { tag: "exact"; val: TupleField }
    | { tag: "any" }
    | { tag: "typed"; val: string }
    | { tag: "predicate"; val: string };
  export function write(ctx: Context, tuple: TupleField[]): void;
  export function take(ctx: Context, pattern: PatternField[]): TupleField[] | null;
}
