"use strict";
// Keeps the page as it is on the server: reads the public statistics every few seconds. Values are
// only ever set as text. A card that plays stays, whatever happens to its mount: its listener may
// have been moved to a fallback.
(() => {
  const EVERY_MS = 5000;
  const mounts = document.getElementById("mounts");
  const blank = document.getElementById("mount");
  const summary = document.getElementById("summary");

  const text = (value) => (value === null || value === undefined ? "" : String(value));
  const pathOf = (source) => text(source.listenurl).replace(/^[a-z]+:\/\/[^/]*/i, "");
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const readable = (path) => { try { return decodeURI(path); } catch { return path; } };
  const webPage = (url) => (/^https?:\/\//i.test(url) ? url : "");

  const FORMATS = {
    "audio/mpeg": "MP3", "audio/aac": "AAC", "audio/aacp": "AAC", "application/ogg": "Ogg",
    "audio/ogg": "Ogg", "audio/flac": "FLAC", "audio/x-flac": "FLAC", "audio/wav": "WAV",
    "audio/x-wav": "WAV", "audio/webm": "WebM", "video/webm": "WebM",
  };
  const formatOf = (source) => {
    const type = text(source.server_type).split(";")[0].trim().toLowerCase();
    const rate = text(source.bitrate || source["ice-bitrate"]);
    const name = [FORMATS[type] || type, text(source.subtype)].filter(Boolean).join(" ");
    return [name, rate && `${rate} kbit/s`].filter(Boolean).join(" · ");
  };

  const set = (card, selector, value) => {
    const element = card.querySelector(selector);
    if (element.textContent !== value) element.textContent = value;
  };

  const cardOf = (path) => {
    const known = [...mounts.children].find((card) => card.dataset.path === path);
    if (known) return known;
    const card = blank.content.firstElementChild.cloneNode(true);
    card.dataset.path = path;
    card.querySelector("audio").src = path;
    card.querySelector(".m3u").href = `${path}.m3u`;
    mounts.append(card);
    return card;
  };

  const show = (card, source) => {
    const path = card.dataset.path;
    const isOn = source.server_type !== undefined;
    const named = text(source.server_name);
    const name = named === "" || named === "Unspecified name" ? readable(path) : named;
    const description = text(source.server_description);
    const page = webPage(text(source.server_url));
    const link = card.querySelector(".page");
    card.className = isOn ? "mount" : "mount is-idle";
    set(card, "h2", name);
    set(card, ".state", isOn ? "On air" : "Starts when you listen");
    set(card, ".title", text(source.title));
    set(card, ".description", description === "Unspecified description" ? "" : description);
    set(card, ".format", formatOf(source));
    set(card, ".listeners", plural(Number(source.listeners) || 0, "listener"));
    card.querySelector("audio").setAttribute("aria-label", `Listen to ${name}`);
    link.hidden = page === "";
    if (page) link.href = page; else link.removeAttribute("href");
  };

  const update = (stats) => {
    const sources = stats.source === undefined ? [] : [].concat(stats.source);
    const paths = new Set();
    let listeners = 0;
    for (const source of sources) {
      const path = pathOf(source);
      paths.add(path);
      listeners += Number(source.listeners) || 0;
      show(cardOf(path), source);
    }
    for (const card of [...mounts.children]) {
      if (paths.has(card.dataset.path)) continue;
      if (card.querySelector("audio").paused) { card.remove(); continue; }
      card.className = "mount is-off";
      set(card, ".state", "Off air");
    }
    summary.textContent = `${plural(sources.length, "stream")} · ${plural(listeners, "listener")}`;
  };

  const refresh = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch("/status-json.xsl", { cache: "no-store" });
        if (answer.ok) update((await answer.json()).icestats);
      } catch { summary.textContent = "The server does not answer."; }
    }
    setTimeout(refresh, EVERY_MS);
  };
  setTimeout(refresh, EVERY_MS);
})();
