// What the tag loads with `data-extra`: how far a page was read, how much of a video was played, links that lead elsewhere
// and downloads, each as an event of `rungs("event", …)`, so that consent and delivery are the tag's.

import { guard, listen } from "./rungs/guard.js";

const QUARTERS = [25, 50, 75, 100];
const FILES = /\.(pdf|zip|gz|rar|7z|dmg|exe|msi|pkg|apk|csv|xlsx?|docx?|pptx?|epub|mp3|mp4|mov|txt)$/i;

const event = (name, properties) => window.rungs("event", name, properties);

// Reports each quarter once. `state` has the quarters reported so far.
const reach = (state, percent, name, properties) =>
  QUARTERS.map((quarter) => {
    if (!(percent >= quarter) || state[quarter]) return;
    state[quarter] = 1;
    event(name, Object.assign({ percent: quarter }, properties));
  });

const watchDepth = () => {
  let path;
  let depths;
  const look = () => {
    if (path != location.pathname) {
      path = location.pathname;
      depths = {};
    }
    // A pixel of rounding must not keep a reader from the end.
    const seen = scrollY + innerHeight + 2;
    reach(depths, (100 * seen) / document.documentElement.scrollHeight, "read_depth", { path });
  };
  listen(window, "scroll", look);
};

// The share that was played, not the position: who jumps to the end has not watched it.
const played = (video) => {
  let seconds = 0;
  for (let index = 0; index < video.played.length; index++) seconds += video.played.end(index) - video.played.start(index);
  // The last moment is often cut off.
  return (100 * (seconds + 0.5)) / video.duration;
};

const watchVideos = () => {
  const videos = new WeakMap();
  const look = ({ target }) => {
    // What plays over and over is decoration.
    if (!(target instanceof HTMLVideoElement) || target.loop) return;
    const video = target.currentSrc.split(/[?#]/)[0];
    let state = videos.get(target);
    if (!state || state.video != video) videos.set(target, (state = { video }));
    reach(state, played(target), "video_progress", { video: video.split("/").pop() });
  };
  for (const type of ["timeupdate", "ended"]) listen(document, type, look);
};

const watchLinks = () => {
  const look = (click) => {
    const link = click.target.closest("a[href]");
    if (!link || click.button > 1 || !/^https?:/.test(link.protocol)) return;
    const url = link.origin + link.pathname;
    if (link.hasAttribute("download") || FILES.test(link.pathname)) event("download", { file: link.pathname.split("/").pop(), url });
    else if (link.host != location.host) event("outbound_click", { host: link.host, url });
  };
  for (const type of ["click", "auxclick"]) listen(document, type, look);
};

[watchDepth, watchVideos, watchLinks].map((watch) => guard(watch)());
