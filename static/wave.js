// A recording as a picture that can be heard: a canvas for the wave, an audio element for the sound.
(() => {
  "use strict";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let context = null;

  const peaksOf = (samples, count) => {
    const step = Math.max(1, Math.floor(samples.length / count));
    return Array.from({ length: count }, (_, index) => {
      let peak = 0;
      for (let at = index * step; at < (index + 1) * step && at < samples.length; at += 1) {
        peak = Math.max(peak, Math.abs(samples[at]));
      }
      return peak;
    });
  };

  const draw = (canvas, peaks, share) => {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const gap = width / peaks.length;
    peaks.forEach((peak, index) => {
      const tall = Math.max(1.5, peak * height * 0.95);
      pen.fillStyle = index / peaks.length < share ? colour("--accent") : colour("--wave");
      pen.fillRect(index * gap, (height - tall) / 2, Math.max(1, gap - 1), tall);
    });
  };

  const make = async (place) => {
    if (place.dataset.made) return;
    place.dataset.made = "yes";
    const url = place.dataset.wave;
    const audio = document.createElement("audio");
    audio.controls = true;
    audio.preload = "metadata";
    audio.src = url;
    const canvas = document.createElement("canvas");
    canvas.className = "wave-picture";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Waveform");
    place.append(canvas, audio);
    const answer = await fetch(url);
    if (!answer.ok) {
      place.textContent = "This recording is no longer kept.";
      return;
    }
    context = context || new OfflineAudioContext(1, 1, 22050);
    const sound = await context.decodeAudioData(await answer.arrayBuffer());
    const peaks = peaksOf(sound.getChannelData(0), 240);
    place.dataset.seconds = sound.duration.toFixed(2);
    const redraw = () => draw(canvas, peaks, audio.currentTime / sound.duration || 0);
    new ResizeObserver(redraw).observe(canvas);
    audio.addEventListener("timeupdate", redraw);
    canvas.addEventListener("click", (event) => {
      audio.currentTime = (event.offsetX / canvas.clientWidth) * sound.duration;
      audio.play();
    });
    redraw();
  };

  const find = (scope) => {
    for (const place of scope.querySelectorAll("[data-wave]")) make(place);
  };
  find(document);
  document.addEventListener("htmx:load", (event) => {
    if (event.detail.elt.matches("[data-wave]")) make(event.detail.elt);
    find(event.detail.elt);
  });
})();
