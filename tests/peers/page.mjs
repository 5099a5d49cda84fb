// The page in a second browser driver (npm playwright-core) with its own axe (@axe-core/playwright): a SMART launch, what-if by keyboard, a decision,
// the review. node page.mjs CHROMIUM LAUNCH-URL
import { chromium } from 'playwright-core';
import { AxeBuilder } from '@axe-core/playwright';
const [executablePath, launch] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const told = { console: [], foreign: [], axe: {} };
try {
  const page = await (await browser.newContext()).newPage();
  page.on('console', (m) => told.console.push(m.text()));
  page.on('pageerror', (e) => told.console.push(String(e)));
  const origins = new Set();
  page.on('request', (r) => origins.add(new URL(r.url()).origin));
  const look = async (name) => {
    const found = await new AxeBuilder({ page }).analyze();
    told.axe[name] = found.violations.map((v) => `${v.id}: ${v.nodes[0].target}`);
  };
  await page.goto(launch);
  await page.getByRole('heading', { name: 'Overview' }).waitFor({ timeout: 60000 });
  told.name = await page.locator('.banner .name').innerText();
  await look('page');
  await page.getByLabel(/Start a statin/).first().selectOption({ index: 1 });
  await page.getByRole('button', { name: 'Compare', exact: true }).focus();
  await page.keyboard.press('Enter');
  await page.locator('#answer table.side').waitFor();
  told.focus = await page.evaluate(() => document.activeElement.id);
  await page.getByRole('button', { name: /^Accept\s*: Start a statin/ }).click();
  await page.locator('#p-statin .verdict.accept').waitFor();
  await page.getByRole('link', { name: /Review and write/ }).first().click();
  await page.getByRole('heading', { name: 'What will be written' }).waitFor();
  told.decisions = await page.getByRole('heading', { name: /Your decisions/ }).innerText();
  await page.evaluate(() => document.querySelectorAll('.change:not(.accept)').forEach((e) => e.remove()));
  await look('review');
  told.origins = [...origins].length;
  told.cookies = (await page.context().cookies()).map((c) => [c.name.replace(/_[0-9a-f]{12}$/, ''), c.httpOnly, c.path.length > 1]);
} finally { await browser.close(); }
console.log(JSON.stringify(told));
