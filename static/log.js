// Panels of log lines: follow, search, wrap, levels, a bounded number of lines.
(() => {
  "use strict";
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
      const isHit = !wanted || line.textContent.toLowerCase().includes(wanted);
      line.hidden = !isHit;
      if (isHit) hits += 1;
    }
    const count = panel.querySelector("[data-log-count]");
    const words = wanted ? `${hits} ${hits === 1 ? "line" : "lines"}` : "";
    // Written only when it differs: the observer below sees this too.
    if (count.textContent !== words) count.textContent = words;
    pane.classList.toggle("wraps", panel.querySelector("[data-log-wrap]").checked);
    if (panel.querySelector("[data-log-follow]").checked) pane.scrollTop = pane.scrollHeight;
  };
  const pause = (event) => {
    // Who scrolls up wants to read; back at the end, the log goes on.
    const pane = event.target;
    if (!pane.matches || !pane.matches("[data-log-lines]")) return;
    const isAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
    event.currentTarget.querySelector("[data-log-follow]").checked = isAtEnd;
  };
  for (const panel of document.querySelectorAll("[data-log]")) {
    panel.addEventListener("input", () => tend(panel));
    panel.addEventListener("scroll", pause, { capture: true, passive: true });
    new MutationObserver(() => tend(panel)).observe(panel, { childList: true, subtree: true });
    tend(panel);
  }
})();
