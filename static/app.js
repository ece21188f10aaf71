// What HTML and htmx cannot do. Behaviour hangs on data- attributes; nothing here draws a page.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, scope = document) => scope.querySelectorAll(selector);

  // -- live: a quick, jittered way back, polling meanwhile ---------------------------------------
  htmx.config.wsReconnectDelay = (attempt) =>
    300 + Math.random() * Math.min(1700, 300 * (attempt + 1));
  const NOT_SIGNED_IN = 4401;
  const socketed = document.querySelector("[ws-connect]");
  let isLive = false;
  let wasLive = false;
  const sayLive = () => {
    const light = document.querySelector("[data-live]");
    if (!light || !socketed) return;
    light.dataset.live = isLive ? "on" : "off";
    light.textContent = isLive ? "Live" : "Offline";
    light.title = isLive ? "This page changes by itself" : "No connection to abm; trying again";
  };
  const signInAgain = () => {
    // At most once in ten seconds, so that a socket that is refused for another reason ends in no loop.
    const last = Number(sessionStorage.getItem("abm-reloaded") || 0);
    if (Date.now() - last < 10_000) return;
    sessionStorage.setItem("abm-reloaded", String(Date.now()));
    location.reload();
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
    if (event.detail.event && event.detail.event.code === NOT_SIGNED_IN) signInAgain();
  });
  setInterval(() => {
    if (socketed && !isLive && !document.hidden) htmx.trigger(document.body, "catchup");
  }, 5000);

  // -- a part that arrives takes away neither the focus nor what was folded out -------------------
  const nameOf = (fold) => fold.querySelector("summary").textContent.trim();
  let kept = null;
  const keep = (event) => {
    const { target } = event.detail;
    if (target.matches("[data-log-lines]")) return;
    const active = document.activeElement;
    kept = {
      id: target.id,
      focus: active !== document.body && target.contains(active) ? active : null,
      open: [...all("details[open]", target)].map(nameOf),
      picked: [...all("[data-pick]:checked", target)].map((box) => box.id),
    };
  };
  const twinOf = (lost, place) => {
    if (lost.id) return document.getElementById(lost.id);
    const verb = lost.getAttribute("hx-post");
    if (verb) return place.querySelector(`[hx-post="${CSS.escape(verb)}"]`);
    if (lost.tagName !== "SUMMARY") return null;
    const fold = [...all("details", place)].find((one) => nameOf(one) === lost.textContent.trim());
    return fold && fold.querySelector("summary");
  };
  const giveBack = () => {
    const place = kept && document.getElementById(kept.id);
    if (!place) return;
    for (const fold of all("details", place)) {
      if (kept.open.includes(nameOf(fold))) fold.open = true;
    }
    for (const id of kept.picked) {
      const box = document.getElementById(id);
      if (box) box.checked = true;
    }
    const again = kept.focus && !kept.focus.isConnected && twinOf(kept.focus, place);
    if (again) again.focus({ preventScroll: true });
    kept = null;
  };
  document.addEventListener("htmx:oobBeforeSwap", keep);
  document.addEventListener("htmx:oobAfterSwap", giveBack);
  document.addEventListener("htmx:beforeSwap", keep);
  document.addEventListener("htmx:afterSwap", giveBack);

  // -- a request that never arrived says so ------------------------------------------------------
  const dialog = document.getElementById("dialog");
  const messages = () =>
    document.getElementById(dialog && dialog.open ? "dialog-messages" : "messages");
  const say = (text) => {
    const place = messages();
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
    // A modal dialog covers the page's own place for messages.
    if (event.detail.target.id === "messages") event.detail.target = messages();
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
      const row = mark.closest("tr, .gpu, .card, .head");
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
    for (const menu of all("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const themeSwitch = at("[data-theme-switch]");
    if (themeSwitch) {
      const next = { light: "dark", dark: "system" }[root.dataset.theme] || "light";
      if (next === "system") delete root.dataset.theme;
      else root.dataset.theme = next;
      localStorage.setItem("abm-theme", next);
      themeSwitch.title = `Theme: ${next}`;
      document.dispatchEvent(new CustomEvent("abm:theme"));
    }
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const menu = event.target.closest("details.menu");
    if (menu) menu.open = false;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "dialog-body" || dialog.open) return;
    document.getElementById("dialog-messages").replaceChildren();
    dialog.showModal();
  });

  // -- several rows at once: all of a page, and none once what was asked for them is under way ----
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-pick-all]")) return;
    for (const box of all("[data-pick]")) box.checked = event.target.checked;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.target.matches("[data-picks]") || !event.detail.successful) return;
    for (const box of all("[data-pick], [data-pick-all]")) box.checked = false;
  });

  // -- keys --------------------------------------------------------------------------------------
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    const typing = event.target.matches("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      const box = document.querySelector("[data-search]");
      if (box) {
        event.preventDefault();
        box.focus();
      }
    }
  });
})();
