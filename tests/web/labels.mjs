// The words of the timeline for an event, by its kind and its labels.
import { withLabels } from "../../agent/web/src/wire/labels.js";

const cases = [
  { kind: "motion", labels: ["person"] },
  { kind: "motion", labels: ["person", "vehicle"] },
  { kind: "motion", labels: [] },
  { kind: "motion", labels: null },
  { kind: "button", labels: ["person"] },
  { kind: "button", labels: [] },
  { kind: "pir", labels: undefined },
];
console.log(JSON.stringify(cases.map(({ kind, labels }) => withLabels(kind, labels))));
