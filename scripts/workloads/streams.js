// JSON, maps, typed arrays and compression on node's worker pool. usage: streams.js FILE.jsonl
const fs = require('fs'), zlib = require('zlib');
const lines = fs.readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean);
const groups = new Map();
for (const line of lines) {
  const record = JSON.parse(line);
  if (!groups.has(record.group)) groups.set(record.group, []);
  groups.get(record.group).push(Buffer.from(JSON.stringify(record.extra)));
}
let pending = 0, total = 0;
const chunks = [...groups.entries()].flatMap(([name, rows]) =>
  Array.from({length: Math.ceil(rows.length / 4)}, (_, i) => Buffer.concat(rows.slice(i * 4, i * 4 + 4))));
function next() {
  if (!chunks.length) { if (!pending) console.log(groups.size, total); return; }
  const chunk = chunks.pop();
  pending++;
  zlib.deflate(chunk, (error, packed) => zlib.inflate(packed, (error2, back) => {
    total += back.length; pending--; next();
  }));
}
for (let i = 0; i < 8; i++) next();
