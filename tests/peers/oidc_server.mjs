// An OpenID Provider that this project did not write (npm oidc-provider), as a SMART authorization server in front of a FHIR server.
import { Provider } from 'oidc-provider';
const [port, fhir, clientsJson, patient] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const scopes = (process.env.SCOPES || '').split(' ').filter(Boolean);
const provider = new Provider(issuer, {
  clients: JSON.parse(clientsJson),
  scopes: ['openid', 'offline_access', 'launch', 'launch/patient', 'fhirUser', ...scopes],
  claims: { openid: ['sub'], fhirUser: ['fhirUser'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true, methods: ['S256'] },
  extraParams: ['aud', 'launch'],
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client, code) => client.grantTypeAllowed('refresh_token'),
  features: { devInteractions: { enabled: false }, revocation: { enabled: true }, introspection: { enabled: true } },
  enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'] },
  ttl: { AccessToken: 300, Session: 600, Grant: 600, Interaction: 600, IdToken: 300 },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, fhirUser: `${issuer}/fhir/Practitioner/doc-1` }) }),
  interactions: { url: (ctx, i) => `/interaction/${i.uid}` },
  renderError: async (ctx, out, error) => { ctx.type = 'json'; ctx.body = out; console.error(error.message, error.error_description || ''); },
});
provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) {
    const details = await provider.interactionDetails(ctx.req, ctx.res);
    let result;
    if (details.prompt.name === 'login') result = { login: { accountId: 'doc-1' } };
    else {
      const grant = new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
      grant.addOIDCScope(details.params.scope);
      result = { consent: { grantId: await grant.save() } };
    }
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  }
  if (ctx.path === '/fhir/.well-known/smart-configuration') {
    ctx.body = { issuer, jwks_uri: `${issuer}/jwks`, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`,
      revocation_endpoint: `${issuer}/token/revocation`, capabilities: ['launch-ehr', 'sso-openid-connect', 'permission-v2'],
      code_challenge_methods_supported: ['S256'], grant_types_supported: ['authorization_code'] };
    return;
  }
  if (ctx.path.startsWith('/fhir')) {
    const bearer = (ctx.get('authorization').match(/^Bearer (.+)$/) || [])[1];
    if (ctx.path !== '/fhir/metadata' && !(bearer && await provider.AccessToken.find(bearer))) { ctx.status = 401; ctx.body = {}; return; }
    const chunks = []; for await (const c of ctx.req) chunks.push(c);
    const headers = { accept: ctx.get('accept') || 'application/fhir+json' };
    if (ctx.get('content-type')) headers['content-type'] = ctx.get('content-type');
    const r = await fetch(fhir + ctx.url.slice(5), { method: ctx.method, headers, body: chunks.length ? Buffer.concat(chunks) : undefined });
    ctx.status = r.status; ctx.set('content-type', r.headers.get('content-type') || 'application/json');
    ctx.body = Buffer.from((await r.text()).replaceAll(fhir, `${issuer}/fhir`));
    return;
  }
  await next();
  if (ctx.oidc?.route === 'token' && ctx.body?.access_token) ctx.body.patient = patient;
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
