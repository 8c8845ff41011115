// Runs steps with wechatpay-axios-plugin, unmodified but for baseURL. Reads {sandbox, steps} from standard input and
// prints one result a step. The plugin verifies each answer itself; a refused one is reported by its error code.
const { readFileSync } = require('node:fs');
const { Wechatpay, Rsa, Aes, Formatter } = require('wechatpay-axios-plugin');

const { sandbox, steps } = JSON.parse(readFileSync(0, 'utf8'));
const certificate = readFileSync(sandbox.platform_cert_file);
const publicKey = readFileSync(sandbox.platform_public_key_file);
const certs = { [sandbox.platform_cert_serial]: certificate, [sandbox.platform_public_key_id]: publicKey };
const serial = sandbox.mode === 'public_key' ? sandbox.platform_public_key_id : sandbox.platform_cert_serial;

const wxpay = new Wechatpay({
  mchid: sandbox.mchid,
  serial: sandbox.merchant_cert_serial,
  privateKey: readFileSync(sandbox.merchant_private_key_file),
  certs: { [serial]: certs[serial] },
  baseURL: `${sandbox.base_url}/`,
  headers: { 'Wechatpay-Serial': serial },
});

function readCallback({ headers, body }) {
  const message = Formatter.joinedByLineFeed(headers['Wechatpay-Timestamp'], headers['Wechatpay-Nonce'], body);
  const key = certs[headers['Wechatpay-Serial']];
  if (!Rsa.verify(message, headers['Wechatpay-Signature'], key)) return { verified: false };
  const { resource } = JSON.parse(body);
  const plain = Aes.AesGcm.decrypt(
    resource.ciphertext, sandbox.apiv3_key, resource.nonce, resource.associated_data,
  );
  return { verified: true, resource: JSON.parse(plain) };
}

async function run(step) {
  if (step.callback) return readCallback(step.callback);
  const { method, path, data, params } = step;
  try {
    const call = wxpay.chain(path.slice(1));
    const { status, data: answer } = method === 'post' ? await call.post(data) : await call[method]({ params });
    return { status, data: answer };
  } catch (error) {
    const { response, code, message } = error;
    const forged = typeof code === 'string' && code.startsWith('EV3_');
    return forged || !response ? { error: `${code} ${message}` } : { status: response.status, data: response.data };
  }
}

(async () => {
  const results = [];
  for (const step of steps) results.push(await run(step));
  process.stdout.write(JSON.stringify(results));
})();
