// What can become of a frame, in the order in which the server numbers it: the modes that answer, then dropped, then failed.

export const FATES = [
  { name: "drop", token: "drop", kind: "tick" },
  { name: "local", token: "local", kind: "bar" },
  { name: "split", token: "split", kind: "bar" },
  { name: "image", token: "image", kind: "bar" },
  { name: "exit", token: "local", kind: "bar" },
  { name: "dropped", token: "drop", kind: "tick" },
  { name: "failed", token: "failed", kind: "cross" },
];

// The colour of a frame that ended as `fate` ("answered" …) in `mode`.
export function tokenOf(fate, mode) {
  return fate === "failed" ? "failed" : fate === "dropped" ? "drop" : (FATES.find((f) => f.name === mode)?.token ?? "drop");
}
