// The minutes without a tap after which the page locks its keys: without a film, and while one plays.
import { isAbandoned } from "../../agent/web/src/ui/idle.js";

const minutes = Array.from({ length: 24 * 60 }, (_, minute) => minute);
const first = (isPlaying) => minutes.find((minute) => isAbandoned(minute * 60_000, isPlaying)) ?? null;
console.log(JSON.stringify([first(false), first(true)]));
