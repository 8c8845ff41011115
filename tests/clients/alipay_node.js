// Runs steps with alipay-sdk, unmodified but for gateway and endpoint. Reads {sandbox, steps} from standard input and
// prints one result a step. Answers are verified by the SDK itself.
const { readFileSync } = require('node:fs');
const { AlipaySdk } = require('alipay-sdk');

const { sandbox, steps } = JSON.parse(readFileSync(0, 'utf8'));
const certificates = {
  appCertPath: sandbox.app_cert_file,
  alipayRootCertPath: sandbox.alipay_root_cert_file,
  alipayPublicCertPath: sandbox.alipay_cert_file,
};
const publicKey = { alipayPublicKey: readFileSync(sandbox.alipay_public_key_file, 'utf8') };
const sdk = new AlipaySdk({
  appId: sandbox.app_id,
  privateKey: readFileSync(sandbox.app_private_key_file, 'utf8'),
  keyType: 'PKCS8',
  gateway: sandbox.gateway_url,
  endpoint: sandbox.gateway_url.replace('/gateway.do', ''),
  encryptKey: sandbox.aes_key,
  camelcase: false,
  ...(sandbox.mode === 'certificate' ? certificates : publicKey),
});

async function run(step) {
  if (step.notify) return { verified: sdk.checkNotifySign(step.notify) };
  try {
    if (step.verb) {
      const { data, responseHttpStatus } = await sdk.curl(step.verb, step.path, step.options);
      return { data, status: responseHttpStatus };
    }
    // Encrypted answers it decrypts but cannot verify (alipay-sdk-nodejs-all #82): it looks for a brace to begin with.
    const encrypted = step.encrypted === true;
    const data = await sdk.exec(
      step.method, { bizContent: step.content, needEncrypt: encrypted }, { validateSign: !encrypted },
    );
    return { data };
  } catch (error) {
    return { error: `${error.name} ${error.code} ${error.message}` };
  }
}

(async () => {
  const results = [];
  for (const step of steps) results.push(await run(step));
  process.stdout.write(JSON.stringify(results));
})();
