// The system page's tests of the way between this browser and abm, which a proxy may spoil.
(() => {
  "use strict";
  const panel = document.querySelector("[data-probes]");
  const SOCKET_MS = 5000;
  const KEPT_BACK_MS = 450; // Of 900 that the pieces are apart from first to last.

  const tell = (key, state, text) => {
    const row = panel.querySelector(`[data-probe="${key}"]`);
    row.querySelector(".state").className = `state state-${state}`;
    row.querySelector("[data-probe-text]").textContent = text;
    row.querySelector("[data-probe-help]").hidden = !["failed", "degraded"].includes(state);
  };

  const ask = async (url) => {
    const answer = await fetch(url, { cache: "no-store" });
    if (!answer.ok) throw new Error(`abm answered ${answer.status}`);
    return answer;
  };

  const askSeen = async () => {
    const seen = await (await ask(panel.dataset.seen)).json();
    const scheme = location.protocol.replace(":", "");
    const isSame = seen.scheme === scheme;
    tell(
      "scheme",
      isSame ? "available" : "failed",
      isSame ? `${scheme}, as abm sees it` : `You use ${scheme}, abm sees ${seen.scheme}.`,
    );
    const isHost = seen.host === location.host;
    tell(
      "host",
      isHost ? "available" : "failed",
      isHost ? `${seen.host}, as abm sees it` : `You use ${location.host}, abm sees ${seen.host}.`,
    );
    const first = seen.forwarded_for.split(",")[0].trim();
    const isTold = !first || first === seen.address;
    tell(
      "address",
      isTold ? "available" : "degraded",
      isTold
        ? `abm sees you at ${seen.address}.`
        : `abm sees you at ${seen.address}; a proxy says that you are ${first}.`,
    );
  };

  const askSocket = () =>
    new Promise((done, fail) => {
      const url = new URL(panel.dataset.socket, location.href);
      url.protocol = url.protocol.replace("http", "ws");
      const socket = new WebSocket(url);
      const late = setTimeout(() => {
        socket.close();
        fail(new Error("It did not open within 5 s; this page polls."));
      }, SOCKET_MS);
      socket.onopen = () => {
        clearTimeout(late);
        socket.close();
        done();
      };
      socket.onerror = () => {
        clearTimeout(late);
        fail(new Error("It does not open; pages poll instead."));
      };
    });

  const piecesApart = async () => {
    const reader = (await ask(panel.dataset.stream)).body.getReader();
    let first = 0;
    let last = 0;
    for (;;) {
      const { done } = await reader.read();
      if (done) break;
      last = performance.now();
      first ||= last;
    }
    return Math.round(last - first);
  };

  const askStream = async () => {
    if ((await piecesApart()) >= KEPT_BACK_MS) return;
    // A browser that is busy, as while a page loads, sees late what came early.
    const apart = await piecesApart();
    if (apart < KEPT_BACK_MS)
      throw new Error(`All pieces came within ${apart} ms; abm sent them within 900 ms.`);
  };

  const run = async () => {
    for (const row of panel.querySelectorAll("[data-probe]"))
      tell(row.dataset.probe, "starting", "Being tested…");
    const failed = (...keys) => (error) => {
      for (const key of keys) tell(key, "failed", error.message);
    };
    await Promise.all([
      askSeen().catch(failed("scheme", "host", "address")),
      askSocket().then(() => tell("socket", "available", "It opens."), failed("socket")),
      askStream().then(
        () => tell("stream", "available", "They arrive piece by piece."),
        failed("stream"),
      ),
    ]);
  };

  panel.querySelector("[data-probe-again]").addEventListener("click", run);
  run();
})();
