// Passkeys: a form with data-passkey="create" or "get" asks the browser for one and posts it.
// The options stand in the page (#passkey-options), or come from data-passkey-options.
(() => {
  const bytes = (text) => Uint8Array.from(
    atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const withBytes = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  async function optionsOf(form) {
    const inPage = document.getElementById("passkey-options");
    if (!form.dataset.passkeyOptions) return JSON.parse(inPage.textContent).publicKey;
    const answer = await fetch(form.dataset.passkeyOptions, {
      headers: { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" },
    });
    if (!answer.ok) throw new Error("abm did not answer. Load the page again.");
    return (await answer.json()).request_options.publicKey;
  }

  async function create(options) {
    const choice = { ...options.authenticatorSelection, residentKey: "required",
      requireResidentKey: true, userVerification: "required" };
    const made = await navigator.credentials.create({ publicKey: {
      ...options, challenge: bytes(options.challenge), authenticatorSelection: choice,
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: withBytes(options.excludeCredentials),
    } });
    return packed(made, {
      attestationObject: text(made.response.attestationObject),
      transports: made.response.getTransports ? made.response.getTransports() : [],
    });
  }

  async function get(options) {
    const found = await navigator.credentials.get({ publicKey: {
      ...options, challenge: bytes(options.challenge),
      allowCredentials: withBytes(options.allowCredentials),
    } });
    const handle = found.response.userHandle;
    return packed(found, {
      authenticatorData: text(found.response.authenticatorData),
      signature: text(found.response.signature),
      userHandle: handle ? text(handle) : null,
    });
  }

  function packed(credential, response) {
    return {
      id: credential.id, rawId: text(credential.rawId), type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment,
      clientExtensionResults: credential.getClientExtensionResults(),
      response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
    };
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-passkey]");
    if (!form) return;
    event.preventDefault();
    const error = form.querySelector("[data-passkey-error]");
    error.hidden = true;
    try {
      const options = await optionsOf(form);
      const made = form.dataset.passkey === "create" ? await create(options) : await get(options);
      form.elements.credential.value = JSON.stringify(made);
      form.submit();
    } catch (problem) {
      error.textContent = problem.name === "NotAllowedError"
        ? "The browser gave no passkey. Try again, or sign in another way." : problem.message;
      error.hidden = false;
    }
  });
})();
