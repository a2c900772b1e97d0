// An HTTP service in steady state: JSON bodies, hashes, compressed answers, a bounded cache of buffers.
const http = require('http'), zlib = require('zlib'), crypto = require('crypto');
const cache = new Map();

function answer(request, response, body) {
  const key = request.url + body.length % 50;
  let buffer = cache.get(key);
  if (!buffer) {
    buffer = Buffer.from(JSON.stringify({ key, hash: crypto.createHash('sha256').update(key).digest('hex'),
                                          rows: Array.from({ length: key.length * 9 }, (_, n) => ({ n, text: key + n })) }));
    cache.set(key, buffer);
    if (cache.size > 400) cache.delete(cache.keys().next().value);
  }
  if (/gzip/.test(request.headers['accept-encoding'] || ''))
    zlib.gzip(buffer, (error, packed) => response.end(error ? '' : packed));
  else
    response.end(buffer);
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', part => parts.push(part));
  request.on('end', () => {
    if (request.url.startsWith('/quit')) { response.end(); server.close(); server.closeAllConnections(); return; }
    answer(request, response, Buffer.concat(parts));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
