// Runs before the first paint, so that a dark page never flashes white.
(() => {
  const wanted = localStorage.getItem("abm-theme");
  if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
})();
