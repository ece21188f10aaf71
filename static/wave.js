// A recording as a picture that can be heard: a canvas for the wave, an audio element for the sound.
// Players that bring their own <style> do not run under the Content-Security-Policy.
(() => {
  "use strict";
  const BARS = 240;
  const colourOf = (element) => getComputedStyle(element).color;
  let decoder = null;

  const peaksOf = (samples) => {
    const step = Math.max(1, Math.floor(samples.length / BARS));
    return Array.from({ length: BARS }, (_, index) => {
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
    const played = colourOf(canvas.parentElement);
    const ahead = colourOf(canvas);
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const gap = width / peaks.length;
    peaks.forEach((peak, index) => {
      const tall = Math.max(1.5, peak * height * 0.95);
      pen.fillStyle = index / peaks.length < share ? played : ahead;
      pen.fillRect(index * gap, (height - tall) / 2, Math.max(1, gap - 1), tall);
    });
  };

  const decoded = async (url) => {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${answer.status}`);
    decoder = decoder || new OfflineAudioContext(1, 1, 22050);
    return decoder.decodeAudioData(await answer.arrayBuffer());
  };

  const fill = async (place) => {
    let sound;
    try {
      sound = await decoded(place.dataset.wave);
    } catch {
      place.textContent = "This recording is no longer kept, or it cannot be played here.";
      place.classList.add("wave-gone");
      return;
    }
    const peaks = peaksOf(sound.getChannelData(0));
    const [canvas, audio] = place.children;
    audio.src = place.dataset.wave;
    place.dataset.seconds = sound.duration.toFixed(2);
    const redraw = () => draw(canvas, peaks, audio.currentTime / sound.duration || 0);
    new ResizeObserver(redraw).observe(canvas);
    for (const moved of ["timeupdate", "seeked", "ended"]) audio.addEventListener(moved, redraw);
    document.addEventListener("abm:theme", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    canvas.addEventListener("click", (event) => {
      audio.currentTime = (event.offsetX / canvas.clientWidth) * sound.duration;
      audio.play();
    });
    redraw();
  };

  // Fetched when it comes into view: a page keeps ten recordings, and most are never looked at.
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      fill(target);
    }
  });

  const make = (place) => {
    if (place.dataset.made) return;
    place.dataset.made = "yes";
    const canvas = document.createElement("canvas");
    canvas.className = "wave-picture";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Waveform");
    const audio = document.createElement("audio");
    audio.controls = true;
    place.append(canvas, audio);
    seen.observe(place);
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
