// Sends a large file in parts, waits out a broken line, and goes on from where the server stands.
(() => {
  "use strict";
  const WAITS = [500, 1000, 2000, 5000, 10_000];
  const PATIENCE = 12;

  class Stopped extends Error {}
  class Refused extends Error {}

  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const inWords = (bytes) =>
    bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

  const asked = async (form, url, options, stop) => {
    const headers = { "HX-Request": "true", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
    const answer = await fetch(url, { ...options, headers, signal: stop.signal });
    if (answer.ok) return answer.json();
    // A gap closes by asking where the server stands; a fault of the server's may pass.
    if (answer.status === 416 || answer.status >= 502) throw new Error(answer.statusText);
    document.getElementById("messages").innerHTML = await answer.text();
    throw new Refused();
  };

  const patiently = async (view, stop, step) => {
    for (let failures = 0; ; failures += 1) {
      try {
        return await step(failures);
      } catch (error) {
        if (stop.signal.aborted) throw new Stopped();
        if (error instanceof Refused || failures >= PATIENCE) throw error;
        view.say("The line is broken; trying again…");
        await sleep(WAITS[Math.min(failures, WAITS.length - 1)]);
      }
    }
  };

  const send = async (form, file, state, view, stop) => {
    const start = form.dataset.upload;
    if (!state.token) {
      const body = new URLSearchParams({ name: file.name, size: file.size, host: form.elements.host.value });
      const made = await asked(form, start, { method: "POST", body }, stop);
      state.token = made.token;
    }
    const url = `${start}${encodeURIComponent(state.token)}/`;
    let { received } = await patiently(view, stop, () => asked(form, url, { method: "GET" }, stop));
    const size = Number(form.dataset.partBytes);
    while (received < file.size) {
      view.show(received, file.size);
      received = await patiently(view, stop, async (failures) => {
        const at = failures ? (await asked(form, url, { method: "GET" }, stop)).received : received;
        if (at >= file.size) return at;
        const body = file.slice(at, at + size);
        const told = await asked(form, `${url}?offset=${at}`, { method: "POST", body }, stop);
        return told.received;
      });
    }
    view.show(received, file.size);
    const done = await patiently(view, stop, () => asked(form, `${url}load/`, { method: "POST" }, stop));
    location.assign(done.url);
  };

  const viewOf = (form) => {
    const bar = form.querySelector("[data-upload-bar]");
    const text = form.querySelector("[data-upload-text]");
    return {
      say: (words) => {
        text.textContent = words;
      },
      show: (received, size) => {
        bar.hidden = false;
        bar.value = (100 * received) / size;
        text.textContent = `${inWords(received)} of ${inWords(size)} sent`;
      },
    };
  };

  const tend = (form) => {
    if (form.dataset.tended) return;
    form.dataset.tended = "yes";
    const button = form.querySelector("[data-upload-send]");
    const stopper = form.querySelector("[data-upload-stop]");
    const view = viewOf(form);
    let state = {};
    let stop = null;
    form.addEventListener("change", () => {
      state = {};
      button.textContent = "Upload and load";
    });
    stopper.addEventListener("click", () => stop && stop.abort());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const [file] = form.elements.file.files;
      if (!file || button.disabled) return;
      button.disabled = true;
      stopper.hidden = false;
      stop = new AbortController();
      try {
        await send(form, file, state, view, stop);
        view.say("It is here and is being loaded.");
      } catch (error) {
        button.disabled = false;
        button.textContent = state.token ? "Go on" : "Upload and load";
        if (error instanceof Stopped || stop.signal.aborted) view.say("Stopped. Go on sends the rest.");
        else if (!(error instanceof Refused)) view.say("abm does not answer. Go on sends the rest.");
      }
      stopper.hidden = true;
    });
  };

  const tendAll = () => {
    for (const form of document.querySelectorAll("form[data-upload]")) tend(form);
  };
  document.addEventListener("DOMContentLoaded", tendAll);
  document.addEventListener("htmx:afterSwap", tendAll);
})();
