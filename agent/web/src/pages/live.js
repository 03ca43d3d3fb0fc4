// The newest sealed segments, as soon as they are sealed: there is no other way to the camera, and none is needed.
import { follow } from "../media/player.js";
import { ask, call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { clock, explain, t } from "../ui/texts.js";

const ASK_MS = 1000;
const LOOK_BACK_MS = 60_000;

export async function live(content) {
  const video = h("video.stage", { playsInline: true, muted: true, controls: true, hidden: true, "aria-label": t("live.title") });
  const status = h("p.lead", { role: "status" }, t("live.waiting"));
  const problem = h("p.problem", { role: "alert" });
  content.append(h("h1", t("live.title")), status, video, problem, h("p.quiet", t("live.text")));
  const seen = new Set();
  let player;
  let ended = false;
  async function look() {
    if (ended) return;
    try {
      const now = Date.now();
      const { segments } = await ask("list", { from_ms: now - LOOK_BACK_MS, to_ms: now + LOOK_BACK_MS });
      problem.textContent = "";
      const fresh = segments.filter((each) => !seen.has(each.id) && each.whole);
      // The first look begins with the newest alone: what is older belongs to the timeline.
      const wanted = seen.size ? fresh : fresh.slice(-1);
      for (const each of segments) seen.add(each.id);
      for (const each of wanted) {
        player ??= await follow(video);
        video.hidden = false;
        await player.append(await call("segment", { id: each.id }));
      }
      const newest = segments.at(-1);
      status.textContent = newest ? t("live.behind", { time: clock(newest.end_ms), n: Math.max(0, Math.round((Date.now() - newest.end_ms) / 1000)) }) : t("live.waiting");
    } catch (error) {
      problem.textContent = explain(error);
    }
    if (!ended) setTimeout(look, ASK_MS);
  }
  look();
  return () => {
    ended = true;
    player?.stop();
  };
}
