// Judges kept requests with npm's standardwebhooks. Arguments: folder, first secret, second secret.

const fs = require('node:fs');
const path = require('node:path');
const { Webhook } = require('standardwebhooks');

const [folder, first, second] = process.argv.slice(2);
const stranger = 'whsec_' + Buffer.alloc(32, 'x').toString('base64');

function takes(secret, headers, body) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

const names = fs.readdirSync(folder).filter((name) => name.endsWith('.json'));
names.sort((one, other) => parseInt(one) - parseInt(other));
for (const name of names) {
  const { headers, body } = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
  const rotated = name === names.at(-1);
  const old = { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) - 3600) };
  const expected = [
    ['the first secret', takes(first, headers, body), true],
    ['the second secret', takes(second, headers, body), rotated],
    ["a stranger's secret", takes(stranger, headers, body), false],
    ['a changed body', takes(first, headers, body + ' '), false],
    ['an old time', takes(first, old, body), false],
  ];
  for (const [what, taken, should] of expected) {
    if (taken !== should) {
      console.error(`node: ${name} with ${what}: taken = ${taken}\n${JSON.stringify({ headers, body })}`);
      process.exit(1);
    }
  }
}
console.log(`node: ${names.length} messages, each taken with its secrets and with nothing else`);
