// The API's page: Swagger UI, as it comes, in abm's colours and with the page's own session.
(() => {
  const place = document.querySelector("[data-openapi]");
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  // Swagger UI has a dark look of its own, which goes by a class.
  const paint = () => {
    const theme = root.dataset.theme || (system.matches ? "dark" : "light");
    root.classList.toggle("dark-mode", theme === "dark");
  };
  new MutationObserver(paint).observe(root, { attributeFilter: ["data-theme"] });
  system.addEventListener("change", paint);
  paint();

  window.SwaggerUIBundle({
    url: place.dataset.openapi,
    domNode: place,
    deepLinking: true,
    docExpansion: "none",
    defaultModelsExpandDepth: -1,
    filter: true,
    tagsSorter: "alpha",
    validatorUrl: null,
    requestInterceptor: (request) => {
      request.headers["X-CSRFToken"] = place.dataset.token;
      return request;
    },
  });
})();
