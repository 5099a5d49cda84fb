// Two FHIR clients that this project did not write (npm fhir-kit-client, fhirclient) read our FHIR face: node js_clients.mjs BASE PATIENT
import { Client } from 'fhir-kit-client';
import FHIR from 'fhirclient';
const [base, patient] = process.argv.slice(2);
const told = {};
const kit = new Client({ baseUrl: base });
told.version = (await kit.capabilityStatement()).fhirVersion;
let page = await kit.search({ resourceType: 'RiskAssessment', searchParams: { patient, _count: 2 } });
told.total = page.total;
const ids = [];
while (page) {
  ids.push(...(page.entry || []).map((e) => e.resource.id));
  page = await kit.nextPage({ bundle: page });
}
told.risks = ids.length;
told.distinct = new Set(ids).size;
const plans = await kit.search({ resourceType: 'CarePlan', searchParams: { patient } });
const plan = plans.entry[0].resource;
told.read = (await kit.read({ resourceType: 'CarePlan', id: plan.id })).status;
told.twin = (await kit.operation({ name: '$twin', resourceType: 'Patient', id: patient, method: 'get', input: { biomarker: 'sbp' } })).resourceType;
try { await kit.read({ resourceType: 'CarePlan', id: 'none' }); } catch (e) { told.missing = e.response?.status ?? e.status ?? String(e); }
const smart = FHIR({ headers: {}, url: `${base}/` }, { writeHead() {}, end() {} }).client({ serverUrl: base });
const all = await smart.request(`RiskAssessment?patient=${patient}&_count=2`, { pageLimit: 0, flat: true });
told.flat = all.length;
const whole = await smart.request(`CarePlan/${plan.id}`, { resolveReferences: ['goal.0'] });
told.goal = whole.goal[0].resourceType;
try { await smart.request('CarePlan/none'); } catch (e) { told.smartMissing = e.status ?? e.statusCode ?? String(e).slice(0, 80); }
console.log(JSON.stringify(told));
