// A CDS Hooks client with other people's JWTs (npm jose), as the specification has it: discovery, prefetch from the FHIR server by the
// templates, a signed call, feedback. node cds_client.mjs SERVICE FHIR PATIENT ISSUER KEYS(JWK of a private key) HOOK [DRAFTS]
import { SignJWT, importJWK } from 'jose';
import { randomUUID } from 'node:crypto';
const [service, fhir, patient, iss, keyJson, hook, drafts] = process.argv.slice(2);
const jwk = JSON.parse(keyJson);
const key = await importJWK(jwk, jwk.alg);
const sign = (aud) => new SignJWT({}).setProtectedHeader({ alg: jwk.alg, kid: jwk.kid, typ: 'JWT' }).setIssuer(iss).setAudience(aud)
  .setIssuedAt().setExpirationTime('5m').setJti(randomUUID()).sign(key);
const call = async (path, body) => {
  const url = `${service}/cds-services${path}`;
  const headers = { accept: 'application/json', authorization: `Bearer ${await sign(url)}` };
  if (body) headers['content-type'] = 'application/json';
  const reply = await fetch(url, { method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body) });
  return { status: reply.status, body: await reply.json() };
};
const found = (await call('')).body.services.find((s) => s.hook === hook);
const prefetch = {};
await Promise.all(Object.entries(found.prefetch).map(async ([name, template]) => {
  const reply = await fetch(`${fhir}/${template.replaceAll('{{context.patientId}}', patient)}`, { headers: { accept: 'application/fhir+json' } });
  if (reply.ok) prefetch[name] = await reply.json();
}));
const context = { userId: 'Practitioner/example', patientId: patient };
if (drafts) Object.assign(context, JSON.parse(drafts));
const answer = await call(`/${found.id}`, { hook, hookInstance: randomUUID(), fhirServer: fhir, context, prefetch });
const told = { service: found.id, keys: Object.keys(prefetch).length, status: answer.status, cards: answer.body.cards };
const card = (answer.body.cards || []).find((c) => c.suggestions) || (answer.body.cards || [])[0];
if (card) {
  const entry = card.suggestions
    ? { card: card.uuid, outcome: 'accepted', acceptedSuggestions: [{ id: card.suggestions[0].uuid }], outcomeTimestamp: new Date().toISOString() }
    : { card: card.uuid, outcome: 'overridden', overrideReason: { reason: card.overrideReasons?.[0], userComment: 'seen' }, outcomeTimestamp: new Date().toISOString() };
  told.feedback = (await call(`/${found.id}/feedback`, { feedback: [entry] })).status;
}
const bare = await fetch(`${service}/cds-services/${found.id}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
told.unsigned = bare.status;
console.log(JSON.stringify(told));
