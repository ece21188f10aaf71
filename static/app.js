// What HTML and htmx cannot do. Behaviour hangs on data- attributes; nothing here draws a page.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, scope = document) => scope.querySelectorAll(selector);

  // -- live: a quick, jittered way back, polling meanwhile ---------------------------------------
  htmx.config.wsReconnectDelay = (attempt) =>
    (0.3 + Math.random() * 0.7) * 1000 * Math.min(attempt + 1, 4);
  let isLive = false;
  let wasLive = false;
  const socketed = document.querySelector("[ws-connect]");
  const sayLive = () => {
    const light = document.querySelector("[data-live]");
    if (!light || !socketed) return;
    light.dataset.live = isLive ? "on" : "off";
    light.textContent = isLive ? "" : "offline";
    light.title = isLive ? "This page changes by itself" : "No connection to abm; trying again";
  };
  document.addEventListener("htmx:wsOpen", () => {
    isLive = true;
    sayLive();
    if (wasLive) htmx.trigger(document.body, "catchup");
    wasLive = true;
  });
  document.addEventListener("htmx:wsClose", (event) => {
    isLive = false;
    sayLive();
    if (event.detail.event && event.detail.event.code === 4401) location.reload();
  });
  setInterval(() => {
    if (socketed && !isLive && !document.hidden) htmx.trigger(document.body, "catchup");
  }, 5000);

  // A part that arrives must not take away what a person is doing in it.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const old = event.detail.target;
    const open = old.querySelector("details[open]");
    if (open && old.contains(document.activeElement)) event.detail.shouldSwap = false;
  });
  let focused = null;
  const remember = (event) => {
    const active = document.activeElement;
    const target = event.detail.target;
    focused = active && active !== document.body && target.contains(active) ? active : null;
  };
  const restore = () => {
    if (!focused || document.contains(focused)) return;
    const again = focused.id
      ? document.getElementById(focused.id)
      : focused.getAttribute("hx-post") &&
        document.querySelector(`[hx-post="${focused.getAttribute("hx-post")}"]`);
    if (again) again.focus({ preventScroll: true });
    focused = null;
  };
  document.addEventListener("htmx:oobBeforeSwap", remember);
  document.addEventListener("htmx:oobAfterSwap", restore);
  document.addEventListener("htmx:beforeSwap", remember);
  document.addEventListener("htmx:afterSwap", restore);

  // -- a request that never arrived says so ------------------------------------------------------
  const say = (text) => {
    const place = document.getElementById("messages");
    const box = document.createElement("div");
    box.className = "message error";
    box.setAttribute("role", "alert");
    const words = document.createElement("p");
    words.textContent = text;
    box.append(words);
    place.replaceChildren(box);
  };
  document.addEventListener("htmx:sendError", () =>
    say("abm does not answer. Is it running? Nothing was lost; try again."),
  );
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    const isPage = /^\s*<!doctype/i.test(xhr.responseText.slice(0, 100));
    if (xhr.status === 413) {
      event.detail.shouldSwap = false;
      say(xhr.responseText);
    } else if (xhr.status >= 400 && isPage) {
      event.detail.shouldSwap = false;
      say(
        xhr.status === 403
          ? "This page is too old to be used. Reload it and try again."
          : xhr.status === 404
            ? "That is no longer there. Reload the page."
            : "abm made a mistake here; its log has the details.",
      );
    }
  });

  // -- times, ages, spans ------------------------------------------------------------------------
  const units = [
    [60, "s", 1],
    [3600, "min", 60],
    [86400, "h", 3600],
    [Infinity, "d", 86400],
  ];
  const ago = (seconds) => {
    const ahead = seconds < 0;
    const size = Math.abs(seconds);
    if (size < 5) return "just now";
    const [, word, step] = units.find(([limit]) => size < limit);
    const text = `${Math.floor(size / step)} ${word}`;
    return ahead ? `in ${text}` : `${text} ago`;
  };
  const span = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  };
  const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
  const tick = () => {
    const now = Date.now();
    for (const time of all("time[data-relative]")) {
      const at = new Date(time.dateTime);
      const text = ago((now - at) / 1000);
      if (time.textContent !== text) time.textContent = text;
      if (!time.dataset.named) {
        time.title = at.toLocaleString();
        time.dataset.named = "yes";
      }
    }
    for (const mark of all("[data-stale-after]")) {
      const at = new Date(mark.dataset.at);
      const isStale = (now - at) / 1000 > Number(mark.dataset.staleAfter);
      mark.classList.toggle("stale", isStale);
      const text = `as of ${clock.format(at)}`;
      if (mark.textContent !== text) mark.textContent = text;
      const row = mark.closest("tr, .card, .head");
      if (row) row.classList.toggle("is-stale", isStale);
    }
    for (const mark of all("[data-elapsed]")) {
      mark.textContent = span((now - new Date(mark.dataset.elapsed)) / 1000);
    }
  };
  tick();
  setInterval(tick, 1000);
  document.addEventListener("htmx:load", tick);

  // -- clicks: copy, dismiss, theme, dialog ------------------------------------------------------
  const copied = async (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // On plain http browsers offer no clipboard; the old command still works there.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr-only";
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  const dialog = document.getElementById("dialog");
  document.addEventListener("click", async (event) => {
    const at = (selector) => event.target.closest(selector);
    const copy = at("[data-copy]");
    if (copy) {
      await copied(copy.dataset.copy);
      const word = copy.querySelector("span");
      word.textContent = "Copied";
      setTimeout(() => (word.textContent = "Copy"), 1500);
    }
    if (at("[data-dismiss]")) at(".message").remove();
    if (at("[data-close-dialog]") || event.target === dialog) dialog.close();
    if (at("[data-theme-switch]")) {
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const now = root.dataset.theme || (dark ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      localStorage.setItem("abm-theme", root.dataset.theme);
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (dialog && event.detail.target.id === "dialog-body" && !dialog.open) dialog.showModal();
  });

  // -- keys --------------------------------------------------------------------------------------
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      const box = document.querySelector("[data-search]");
      if (box) {
        event.preventDefault();
        box.focus();
      }
    }
  });

  // -- logs: follow, search, levels, a bounded number of lines -----------------------------------
  const MOST_LINES = 5000;
  const level = (text) =>
    /\b(error|critical|traceback|exception|failed)\b/i.test(text)
      ? "bad"
      : /\bwarn(ing)?\b/i.test(text)
        ? "warn"
        : "";
  const tend = (panel) => {
    const pane = panel.querySelector("[data-log-lines]");
    if (!pane) return;
    const wanted = panel.querySelector("[data-log-search]").value.toLowerCase();
    let hits = 0;
    while (pane.children.length > MOST_LINES) pane.firstElementChild.remove();
    for (const line of pane.children) {
      if (line.dataset.level === undefined) line.dataset.level = level(line.textContent);
      const hit = !wanted || line.textContent.toLowerCase().includes(wanted);
      line.hidden = !hit;
      if (hit && wanted) hits += 1;
    }
    panel.querySelector("[data-log-count]").textContent = wanted ? `${hits} lines` : "";
    pane.classList.toggle("wraps", panel.querySelector("[data-log-wrap]").checked);
    if (panel.querySelector("[data-log-follow]").checked) pane.scrollTop = pane.scrollHeight;
  };
  for (const panel of all("[data-log]")) {
    panel.addEventListener("input", () => tend(panel));
    new MutationObserver(() => tend(panel)).observe(panel, { childList: true, subtree: true });
    panel.addEventListener(
      "wheel",
      (event) => {
        if (event.deltaY < 0) panel.querySelector("[data-log-follow]").checked = false;
      },
      { passive: true },
    );
    tend(panel);
  }
})();
