// A certified provider of OpenID Connect for tests: node oidc_provider.mjs MODULES PORT CALLBACK PEOPLE.
// People sign in by name with any password; the file PEOPLE has their groups by name.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, port, callback, people] = process.argv.slice(2);
const { default: Provider } = await import(
  pathToFileURL(`${modules}/oidc-provider/lib/index.js`).href
);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "abm",
      client_secret: "the secret of abm, which is long enough",
      redirect_uris: [callback],
    },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
  pkce: { required: () => true },
  cookies: { keys: ["a key of a test"] },
  findAccount: (_, name) => ({
    accountId: name,
    claims: () => ({
      sub: name,
      preferred_username: name,
      email: `${name}@id.example`,
      groups: JSON.parse(readFileSync(people))[name] ?? [],
    }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
