// A terminal in the page. Over its socket go bytes both ways, and words as JSON text: to abm
// {"cols", "rows"}, first of all, and {"drawn": bytes}; from abm {"says": "a sentence"}.
(() => {
  "use strict";
  const TOLD_EVERY = 65_536; // bytes drawn until abm is told so that it sends more
  const encoder = new TextEncoder();

  // The terminal writes <style> elements and style attributes, which the Content-Security-Policy
  // refuses; sheets and properties made by script it allows. So while there is one, the page makes
  // elements that turn the one into the other.
  const create = document.createElement.bind(document);
  const sheets = new Set();
  const adopt = () => (document.adoptedStyleSheets = [...sheets]);
  const styled = () => {
    const element = create("template");
    const sheet = new CSSStyleSheet();
    sheets.add(sheet);
    adopt();
    Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text) });
    element.remove = () => {
      sheets.delete(sheet);
      adopt();
      Element.prototype.remove.call(element);
    };
    return element;
  };
  function setAttribute(name, value) {
    if (name === "style") this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  }
  const made = (name, options) =>
    name === "style"
      ? styled()
      : name === "span"
        ? Object.assign(create(name), { setAttribute })
        : create(name, options);

  const themeOf = (place) => {
    const { backgroundColor, color } = getComputedStyle(place);
    const quiet = color.replace(/^rgb\((.*)\)$/, "rgba($1, 0.25)");
    return {
      background: backgroundColor,
      foreground: color,
      cursor: color,
      cursorAccent: backgroundColor,
      selectionBackground: quiet,
    };
  };

  const connect = (path) => {
    const url = new URL(path, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    return socket;
  };

  // abm sends no more than the page can draw: it is told how much was.
  const drawer = (terminal, tell) => {
    let drawn = 0;
    return (bytes) =>
      terminal.write(bytes, () => {
        drawn += bytes.length;
        if (drawn < TOLD_EVERY) return;
        tell({ drawn });
        drawn = 0;
      });
  };

  let leave = () => {}; // takes away the terminal that was open last

  const begin = async (panel) => {
    leave();
    const part = (name) => panel.querySelector(`[data-shell-${name}]`);
    const [place, state, opener, closer] = ["terminal", "state", "open", "close"].map(part);
    const { Terminal } = await import(panel.dataset.terminal);
    const { FitAddon } = await import(panel.dataset.fit);
    place.hidden = false;
    const terminal = new Terminal({
      fontFamily: getComputedStyle(place).fontFamily,
      fontSize: 13,
      scrollback: 5000,
      minimumContrastRatio: 4.5,
      theme: themeOf(place),
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    document.createElement = made;
    terminal.open(place);
    fit.fit();

    const socket = connect(panel.dataset.shell);
    const isOpen = () => socket.readyState === WebSocket.OPEN;
    const tell = (words) => isOpen() && socket.send(JSON.stringify(words));
    const draw = drawer(terminal, tell);
    let said = "";
    state.textContent = "Opening…";
    opener.hidden = true;
    closer.hidden = false;
    socket.addEventListener("open", () => {
      tell({ cols: terminal.cols, rows: terminal.rows });
      terminal.focus();
    });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") said = JSON.parse(data).says || "";
      else draw(new Uint8Array(data));
      state.textContent = said || "Open.";
    });
    terminal.onData((text) => isOpen() && socket.send(encoder.encode(text)));
    terminal.onBinary((text) =>
      isOpen() && socket.send(Uint8Array.from(text, (one) => one.charCodeAt(0))),
    );
    terminal.onResize(({ cols, rows }) => tell({ cols, rows }));
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.key !== "F6") return true;
      if (event.type === "keydown") closer.focus();
      return false;
    });

    const resized = new ResizeObserver(() => fit.fit());
    resized.observe(place);
    const paint = () => (terminal.options.theme = themeOf(place));
    const system = matchMedia("(prefers-color-scheme: dark)");
    document.addEventListener("abm:theme", paint);
    system.addEventListener("change", paint);
    const close = () => socket.close();
    closer.addEventListener("click", close, { once: true });
    socket.addEventListener("close", () => {
      closer.removeEventListener("click", close);
      document.removeEventListener("abm:theme", paint);
      system.removeEventListener("change", paint);
      resized.disconnect();
      terminal.options.disableStdin = true;
      state.textContent = said || "The connection to the shell has ended.";
      const hadFocus = panel.contains(document.activeElement);
      closer.hidden = true;
      opener.hidden = false;
      if (hadFocus) opener.focus();
      leave = () => terminal.dispose();
    });
  };

  for (const panel of document.querySelectorAll("[data-shell]")) {
    const opener = panel.querySelector("[data-shell-open]");
    opener.hidden = false;
    opener.addEventListener("click", () => begin(panel));
  }
})();
