// What the camera films now: the newest GOPs, sealed to the owners second by second and opened here.  There is no other way
// to the camera.  While nothing is filmed, the newest segment that was.
import { FormatError } from "../errors.js";
import { follow } from "../media/player.js";
import { ask, call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { clock, dateAndClock, explain, t } from "../ui/texts.js";

const PAUSE_MS = 200;
const LOOK_BACK_MS = 60_000;
const STALE_MS = 30_000;
const SAID_MS = 5_000;

export async function live(content) {
  const video = h("video.stage", { playsInline: true, muted: true, controls: true, hidden: true, "aria-label": t("live.title") });
  const status = h("p.lead", { role: "status" }, t("live.waiting"));
  const problem = h("p.problem", { role: "alert" });
  content.append(h("h1", t("live.title")), status, video, problem, h("p.quiet", t("live.text")));
  let player;
  let ended = false;
  let after = 0;
  let last = null;
  let isWhole = false;
  let shown = null;
  let old = null;
  let oldAt = 0;
  let newest;
  async function show(what) {
    player ??= await follow(video);
    if (ended) return player.stop();
    video.hidden = false;
    await player.append(what);
    shown = what.span.end;
  }
  async function look() {
    if (ended) return;
    try {
      const { number, gops } = await call("live", { after });
      if (ended) return;
      problem.textContent = "";
      // A device that started anew counts from the beginning.
      after = gops.length || number === after ? number : 0;
      for (const gop of gops) {
        const [boot, start, end] = gop.order;
        const isOld = gop.span.quality === "synced" && Date.now() - gop.span.end > STALE_MS;
        if (isOld) [old, oldAt] = [gop.span.end, performance.now()];
        if (isOld || (last && last[0] === boot && start < last[1])) continue;
        // A part of a long GOP shows nothing without the part before it: until the next keyframe, then.
        isWhole = !gop.continues || (isWhole && last?.[0] === boot && last[1] === start);
        last = [boot, end];
        if (isWhole) await show(gop);
      }
      // What is filmed now is not old by any clock: the doorbell shows what was, or the two clocks differ.
      if (old !== null && performance.now() - oldAt < SAID_MS) status.textContent = t("live.old", { time: dateAndClock(old) });
      else if (gops.length) status.textContent = nowText(shown);
      else if (!last) await lookBack();
      else status.textContent = t("live.paused");
    } catch (error) {
      problem.textContent = explain(error);
      // A player that has choked on something takes nothing more; a lost connection is no fault of it.
      if (error instanceof FormatError) {
        player = player?.stop();
        isWhole = false;
      }
    }
    if (!ended) setTimeout(look, PAUSE_MS);
  }
  async function lookBack() {
    const now = Date.now();
    const { segments } = await ask("list", { from_ms: now - LOOK_BACK_MS, to_ms: now + LOOK_BACK_MS });
    const found = segments.filter((each) => each.whole).at(-1);
    if (found && found.id !== newest) {
      newest = found.id;
      await show(await call("segment", { id: found.id }));
    }
    status.textContent = shown ? t("live.behind", { time: clock(shown), n: behind(shown) }) : t("live.waiting");
  }
  look();
  return () => {
    ended = true;
    player?.stop();
  };
}

/** How far behind is worth saying by clocks that somebody vouches for; by others it may come to hours. */
const nowText = (end) => (behind(end) * 1000 > STALE_MS ? t("live.now.some") : t("live.now", { n: behind(end) }));

const behind = (end) => Math.max(0, Math.round((Date.now() - end) / 1000));
