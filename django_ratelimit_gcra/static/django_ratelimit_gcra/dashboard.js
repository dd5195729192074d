/* Fetches what changes, every few seconds, and shows what a form would say while it is filled in. All of it works without. */
"use strict";
(() => {
  const root = document.getElementById("rl");
  if (!root) return;
  const LEAST_MS = 1000 * Number(root.dataset.rlEvery);
  const said = document.getElementById("rl-said");
  let paused = false;
  let timer = 0;

  const page = async (url, options) => {
    const response = await fetch(url, { credentials: "same-origin", ...options });
    if (response.redirected) throw new Error("You are signed out: load the page again.");
    if (!response.ok) throw new Error(`Updates are interrupted (${response.status}); they are tried again.`);
    return new DOMParser().parseFromString(await response.text(), "text/html");
  };

  // What is being read, filled in or pointed at stays as it is until next time.
  const busy = (part) => part.matches(":hover") && part.querySelector("svg:hover, summary:hover, a:hover");
  const replace = (found, part) => {
    const fresh = found.getElementById(part.id);
    if (!fresh || part.contains(document.activeElement) || busy(part)) return;
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    fresh.querySelectorAll("details").forEach((one, index) => { one.open = open[index] || false; });
    part.replaceChildren(...fresh.childNodes);
  };

  const update = async () => {
    const started = performance.now();
    if (!paused && !document.hidden) {
      try {
        const found = await page(root.dataset.rlFrom);
        root.querySelectorAll("[data-rl-live]").forEach((part) => replace(found, part));
        say("");
      } catch (error) {
        say(error instanceof TypeError ? "Updates are interrupted; they are tried again." : error.message);
      }
    }
    // A site that takes long to answer is asked less often.
    timer = window.setTimeout(update, Math.max(LEAST_MS, 10 * (performance.now() - started)));
  };

  const say = (text) => { if (said.textContent !== text) said.textContent = text; };

  if (root.dataset.rlFrom) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Pause";
    button.addEventListener("click", () => {
      paused = !paused;
      button.textContent = paused ? "Go on" : "Pause";
      if (!paused) { window.clearTimeout(timer); update(); }
    });
    said.before(button);
    timer = window.setTimeout(update, LEAST_MS);
  }

  // What takes the server a while is fetched into the page after it; without this a link leads there.
  const later = (within) => within.querySelectorAll("[data-rl-later]").forEach(async (part) => {
    try {
      const found = (await page(part.dataset.rlLater)).getElementById("rl-later");
      if (!found) return;
      part.replaceChildren(...found.childNodes);
      part.removeAttribute("data-rl-later");
    } catch { /* the link stays */ }
  });
  later(root);

  for (const form of root.querySelectorAll("form[data-rl-auto]")) {
    let typing = 0;
    let asking = null;
    form.addEventListener("input", () => {
      window.clearTimeout(typing);
      typing = window.setTimeout(async () => {
        if (!form.checkValidity()) return;
        asking?.abort();
        asking = new AbortController();
        const url = new URL(window.location.href);
        const posts = form.method === "post";
        if (!posts) url.search = new URLSearchParams(new FormData(form)).toString();
        try {
          const found = await page(url, { signal: asking.signal, ...(posts && { method: "POST", body: new FormData(form) }) });
          const part = document.getElementById(form.dataset.rlAuto);
          const fresh = found.getElementById(form.dataset.rlAuto);
          if (fresh) part.replaceChildren(...fresh.childNodes);
          later(part);
          if (!posts) window.history.replaceState(null, "", url);
        } catch { /* the button is still there */ }
      }, 300);
    });
  }
})();
